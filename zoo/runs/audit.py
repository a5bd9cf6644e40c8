"""`zoo audit`: labels that look wrong and nearly equal images, listed for a reader; the data are not changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.errors import TableError
from zoo.core.files import whole_file
from zoo.core.progress import Progress, tell_warnings
from zoo.data.images.reading import read_image
from zoo.data.near_duplicates import BITS, hash_images, near_pairs
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.files.joining import match_ids
from zoo.evaluation.files.predictions import Predictions, predictions_in
from zoo.evaluation.files.rows import id_headers
from zoo.evaluation.label_errors import LabelErrors, find_label_errors
from zoo.report.audit_page import Audited, FindingErrors, NearCopy, Suspect, write_audit_page
from zoo.training.probes.spec import OUT_OF_FOLD

#: The files of an audit, in its folder.
LABEL_ERRORS, NEAR_DUPLICATES, PAGE = "label_errors.csv", "near_duplicates.csv", "audit.html"

#: Share of a finding's labels above which a weak model is a likelier cause than wrong labels.
_MANY = 0.1


def audit(
    data: Path,
    out: Path,
    progress: Progress,
    *,
    predictions: Path | None = None,
    dataset: str | None = None,
    columns: TableSpec | None = None,
) -> Audited:
    """Looks for wrong labels and near duplicates, and writes `label_errors.csv`, `near_duplicates.csv`, `audit.html`.

    Args:
        data: Folder of images and table, or the table.
        out: Folder of the files.
        progress: Receives the progress, and what was assumed or left out.
        predictions: Probabilities by models that were not trained on the image, as in `out_of_fold.csv` of `zoo probe`,
            or a run folder that holds this file. Without it no label is judged.
        dataset: Format of the table; by default it is found out.
        columns: Names of the columns, for a table of one's own.

    Raises:
        TableError: The table, its images or the predictions cannot be used.
        FileNotFoundError: A file does not exist.
    """
    notes: list[str] = []

    def say(text: str) -> None:
        notes.append(text)
        progress.message(text)

    with tell_warnings(progress) as warned:
        dataset = reading.dataset_of(data, dataset, columns=columns)
        table = reading.read_table(dataset, data, uncertain="keep", columns=columns, say=say)
    notes += warned
    table, skipped = reading.drop_missing(table)
    with progress.task(f"comparing {counted(len(table), 'image')}", len(table)) as advance:
        hashes = hash_images(list(table["Image_path"]), on_file=advance)
    readable = [path not in hashes.unreadable for path in table["Image_path"]]
    table, unreadable = reading.drop_unreadable(table, hashes.unreadable)
    for row in pd.concat([skipped, unreadable]).itertuples():
        notes.append(f"left out: {row.Image_name}: {row.Reason}")
    if left_out := len(skipped) + len(unreadable):
        progress.message(f"images that are missing or cannot be read, left out: {left_out:,}; the page names them")
    copies = _near_copies(table, hashes.bits[readable])
    judged: tuple[FindingErrors, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    if predictions is not None:
        judged, suspects = _judge(table, predictions, say)
    found = Audited(str(data), len(table), judged, suspects, copies, tuple(notes))
    _write(found, dict(zip(table["Image_name"], table["Image_path"], strict=True)), out)
    return found


def as_text(found: Audited) -> str:
    """The counts, for a terminal."""
    lines = [
        f"{counted(found.images, 'image')}: {len(found.copies):,} nearly equal pairs, {found.leaks:,} of two "
        "patients (leaks)"
    ]
    if not found.findings:
        return "\n".join([*lines, "no predictions were given, so no label was judged"])
    known = sum(f.known for f in found.findings)
    lines.append(
        f"{len(found.suspects):,} of {known:,} known labels look wrong; an upper estimate, for a reader to decide"
    )
    lines += [f"  {f.finding}: {f.absent or f'{f.listed:,} of {f.known:,}'}" for f in found.findings]
    return "\n".join(lines)


def _near_copies(table: pd.DataFrame, bits: np.ndarray) -> tuple[NearCopy, ...]:
    names, patients = list(table["Image_name"]), _patients(table)
    labels, findings = reading.labels_of(table, found := reading.findings_of(table)), np.array(found)
    copies = []
    for pair in near_pairs(bits):
        one, other = patients[pair.first], patients[pair.second]
        kind = "patient unknown" if "" in (one, other) else "same patient" if one == other else "leak"
        reason = f"{pair.distance} of {BITS} bits differ; {f'patients {one} and {other}' if kind == 'leak' else kind}"
        differ = findings[np.abs(labels[pair.first] - labels[pair.second]) == 1]
        reason += f"; labels contradict: {', '.join(differ)}" if len(differ) else ""
        copies.append(NearCopy(names[pair.first], one, names[pair.second], other, pair.distance, kind, reason))
    return tuple(sorted(copies, key=lambda copy: copy.kind != "leak"))


def _judge(
    table: pd.DataFrame, path: Path, say: Callable[[str], None]
) -> tuple[tuple[FindingErrors, ...], tuple[Suspect, ...]]:
    """Judges the labels of each finding that has predictions, and ranks those that look wrong over all findings."""
    path = path / OUT_OF_FOLD if path.is_dir() else path
    predicted = _read_predictions(path, reading.findings_of(table), say)
    joined = match_ids(predicted.ids, table["Image_name"].to_numpy(str), path.name, "the table")
    for note in (*predicted.notes, *joined.notes):
        say(note)
    table = table.iloc[joined.rows[joined.rows >= 0]]
    chances = predicted.values[joined.rows >= 0]
    shared = [finding for finding in predicted.findings if finding in reading.findings_of(table)]
    if not shared:
        raise TableError(f"{path}: predicts {', '.join(predicted.findings)}, none of which the table labels")
    labels = reading.labels_of(table, shared)
    names, patients = list(table["Image_name"]), _patients(table)
    judged, suspects = [], []
    for j, finding in enumerate(shared):
        own = chances[:, predicted.findings.index(finding)]
        errors = find_label_errors(labels[:, j], own)
        judged.append(FindingErrors(finding, errors.known, len(errors.rows), errors.absent))
        for row in errors.rows:
            label, chance = int(labels[row, j]), float(own[row])
            reason = _reason(label, chance, errors)
            suspects.append(Suspect(names[row], patients[row], finding, label, chance, 0, reason))
    if weak := [f.finding for f in judged if f.listed > _MANY * f.known]:
        say(
            f"more than {_MANY:.0%} of the labels of {', '.join(weak)} look wrong: the model is more likely too weak "
            "for these; read the list from its top, not its length"
        )
    # The probability of the label that was given, smallest first, is also the order by the margin within each finding.
    suspects.sort(key=lambda s: s.probability if s.label else 1 - s.probability)
    return tuple(judged), tuple(dataclasses.replace(s, rank=i) for i, s in enumerate(suspects, 1))


def _read_predictions(path: Path, findings: Sequence[str], say: Callable[[str], None]) -> Predictions:
    source = read_columns(path)
    if source.header("fold") is None:
        say(
            f"{path.name} has no column 'fold': if the model was trained on these images, wrong labels look right to it"
        )
    own = [finding for finding in findings if source.header(finding) is not None]
    (identifiers,) = id_headers([source])
    predicted = predictions_in(source, identifiers, schema=own or "auto", drop_missing=True, own_labels=False)
    if predicted.kind != "probabilities":
        raise TableError(f"{path}: probabilities (0..1) are needed, got {predicted.kind}")
    absent = [finding for finding in findings if finding not in predicted.findings]
    if absent:
        say(f"{path.name} does not predict {', '.join(absent)}: their labels were not judged")
    return predicted


def _reason(label: int, chance: float, errors: LabelErrors) -> str:
    usual = errors.thresholds[1] if label == 0 else 1 - errors.thresholds[0]
    words = ("negative", "positive")
    return f"predicted {chance:.3f}; images labelled {words[1 - label]} have {usual:.3f} on average"


def _write(found: Audited, paths: Mapping[str, str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, kind, rows in (
        (LABEL_ERRORS, Suspect, found.suspects),
        (NEAR_DUPLICATES, NearCopy, found.copies),
    ):
        header = [field.name for field in dataclasses.fields(kind)]
        with whole_file(out / name) as file:
            pd.DataFrame([dataclasses.astuple(row) for row in rows], columns=header).to_csv(file, index=False)
    write_audit_page(found, lambda name: read_image(paths[name])[..., 0], out / PAGE)


def _patients(table: pd.DataFrame) -> list[str]:
    return ["" if pd.isna(patient) else str(patient) for patient in table["Patient_ID"]]
