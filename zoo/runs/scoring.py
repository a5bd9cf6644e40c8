"""Scores every labelled image of a data set with a release, for its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.progress import Progress, tell_warnings
from zoo.data.splits import patients_of
from zoo.data.studies import studies_of
from zoo.data.tables import reading as tables
from zoo.data.tables.crossing import read_for
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.files.study import Study
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import LeftOut, Unusable
from zoo.evaluation.scores import Scores
from zoo.evaluation.untrained import left_out
from zoo.gate.verdict import Tally
from zoo.inference.by_member import ByMember
from zoo.inference.predictor import Predictor
from zoo.runs import results

#: Largest number of images left out that a result lists; their number is always complete.
LISTED = 100


@dataclass(frozen=True, eq=False)
class Scored:
    """The readable images of a data set.

    Attributes:
        study: Scores and labels of the model, one row per image.
        path_of: Image -> its file.
        study_of: Image -> the examination it belongs to; see `zoo.data.studies`.
        left_out: Images of the table that have no scores; None if there are none.
        members: Member -> its logits (rows of `study`, findings), if they were asked for.
    """

    study: Study
    path_of: Mapping[str, str]
    study_of: Mapping[str, str]
    left_out: LeftOut | None = None
    members: Mapping[str, np.ndarray] = field(default_factory=dict)


def score(
    model: Predictor,
    data: Path,
    dataset: str | None,
    progress: Progress,
    columns: TableSpec | None = None,
    *,
    by_member: bool = False,
) -> Scored:
    """Scores the readable images of a table, and notes what was left out.

    Args:
        model: The release.
        data: Folder of images and table, or the table.
        dataset: Format of the table; None to find it out by the names of the files.
        progress: Receives the progress after each image.
        columns: Names of the columns, for a table of one's own.
        by_member: Whether to keep the logits of each member too; only on Keras, where they cost nothing.
    """
    tables.home_of(data)
    dataset = tables.dataset_of(data, dataset, columns=columns)
    with tell_warnings(progress) as notes:
        table, compared = read_for(model.labels, dataset, data, columns=columns, say=progress.message)
        table, missing = tables.drop_missing(table)
    progress.message(f"{data}: read as {dataset!r}")
    parts, errors, tally = [], [], Tally()
    with progress.task(f"scoring {counted(len(table), 'image')}", len(table)) as advance:
        for batch in (ByMember.of(model) if by_member else model).stream(table["Image_path"]):
            parts.append(batch.logits)
            errors += batch.errors
            tally.add(batch.names, batch.verdicts)
            for _ in batch.names:
                advance()
    reasons = dict(zip(table["Image_path"], map(_reason, errors), strict=True))
    logits = np.concatenate(parts)[[not error for error in errors]]
    logits, *each = np.split(logits, logits.shape[1] // len(model.labels), axis=1)
    table, unreadable = tables.drop_unreadable(table, reasons)
    patients = None if table["Patient_ID"].isna().all() else patients_of(table).astype(str)
    logits, labels, untrained = left_out(logits, tables.labels_of(table, model.labels), model.labels, model.trained)
    scores = Scores(logits, labels, model.labels, "test", patients=patients, tta=model.tta)
    notes += [untrained] if untrained else []
    notes += compared
    notes += _unknown_patients(table)
    if said := tally.share("evaluated as the others"):
        notes.append(said)
        progress.message(f"{said}{tally.first}")
    out = _left_out(missing, unreadable, len(table))
    if out is not None:
        counts = {"no file": len(missing), "not readable": len(unreadable)}
        said = ", ".join(f"{reason}: {count:,}" for reason, count in counts.items() if count)
        said = f"{out.images.positives:,} of {counted(out.images.n, 'image')} of the table were left out ({said})"
        notes.append(said)
        progress.message(said)
    ids = table["Image_name"].to_numpy(str)
    study = Study({model.name: scores}, ids, results.groups_of(table), {model.name: "logits"}, tuple(notes))
    files, studies = table["Image_path"].tolist(), studies_of(table)[0].tolist()
    alone = (left_out(z, labels, model.labels, model.trained)[0] for z in each)
    members = dict(zip(model.members, alone, strict=bool(each)))
    return Scored(study, dict(zip(ids, files, strict=True)), dict(zip(ids, studies, strict=True)), out, members)


def _reason(error: str) -> str:
    """What an error says after the name of the image."""
    return error.partition(": ")[2] or error


def _left_out(missing: pd.DataFrame, unreadable: pd.DataFrame, kept: int) -> LeftOut | None:
    out = pd.concat([unreadable, missing], ignore_index=True)
    if out.empty:
        return None
    n = kept + len(out)
    first = (Unusable(str(name), str(why)) for name, why in zip(out["Image_name"], out["Reason"], strict=True))
    return LeftOut(Estimate(len(out) / n, None, None, n, len(out)), tuple(islice(first, LISTED)))


def _unknown_patients(table: pd.DataFrame) -> list[str]:
    unknown = int(table["Patient_ID"].isna().sum())
    return [
        f"{unknown:,} of {counted(len(table), 'image')} have no patient: each is treated as a patient of its own"
    ] * bool(unknown)
