"""`zoo submit`: writes the competition's submission file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import read_columns, same_name, shortened
from zoo.core.errors import ImageError, TableError
from zoo.core.files import whole_file
from zoo.core.joining import join
from zoo.core.paths import file_name
from zoo.core.progress import Progress
from zoo.data.images.listing import find_images
from zoo.evaluation.decision import probabilities
from zoo.evaluation.studies.rule import StudyRule
from zoo.evaluation.studies.rule import join as join_images
from zoo.gate.verdict import Tally
from zoo.inference.predictor import Predictor
from zoo.inference.studies import described, studies_of
from zoo.labels.columns import IMAGE_IDS
from zoo.runs.writing import Counts, printable, scored

#: Number of unreadable images that a message names.
_NAMED = 10


def write_submission(
    predictor: Predictor,
    sources: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    sample: Path | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    studies: str | Path | None = None,
) -> Counts:
    """Writes the competition's submission: the name of each image and a probability for each finding.

    A submission needs a row for every image. An unreadable image gets each finding's mean over the readable images,
    which affects the ranking least; a finding that the model was not trained on gets 0.5. Messages name both. Images
    that the quality checks reject keep their probabilities, and a message counts them.

    Args:
        predictor: The model, with its limits for an image.
        sources: Image files and folders.
        out: CSV file, written atomically.
        progress: Receives the progress after each batch.
        sample: The competition's sample submission, or a list of image names. Its rows, identifiers and columns are
            kept; `zoo.core.joining.join` finds the image of each identifier. By default there is a row for each image,
            in order, under "Image_name", and a column for each of the model's findings.
        batch_size: Images per batch; the runtime's default if None.
        strict: Whether to stop at the first unreadable image.
        studies: How the study of an image is found ("name", "folder" or a table), to give each image the probabilities
            of its study, since the competition's labels are constant within one; None leaves each image alone.

    Raises:
        UsageError: The study of an image is unknown.
        TableError: The columns of the sample are not the model's findings, it names a missing image, or an identifier
            matches two images.
        ImageError: No image can be read; with `strict`, an image cannot be read.
    """
    found = find_images(sources, progress.message)
    form = _of_names(found) if sample is None else _read_sample(sample, sources, found, progress)
    own = _own_headers(form, predictor.labels)  # before an image is read
    whose = None if studies is None else studies_of(form.paths, studies, list(map(str, sources)))
    if whose is not None and len(whose):
        progress.message(described(whose, studies or ""))
    tally = Tally()
    values, errors = _probabilities(predictor, form.paths, progress, batch_size, strict, whose, tally)
    if said := tally.share("in the file with their probabilities, as every image"):
        progress.message(f"{said}{tally.first}")
    table = pd.DataFrame(_filled(values, errors, predictor.labels, progress)[form.rows], columns=own)
    table.insert(0, form.id_header, printable(form.ids))
    with whole_file(out) as new:
        table[list(form.headers or table.columns)].to_csv(new, index=False, float_format="%.7g", lineterminator="\n")
    unreadable = int(np.isin(form.rows, list(errors)).sum())
    return Counts(len(table), unreadable, tally.counts["rejected"], tally.counts["doubtful"])


@dataclass(frozen=True, eq=False)
class _Form:
    """The rows and columns of a submission.

    Attributes:
        id_header: Name of the column of identifiers.
        ids: (n,) identifiers.
        paths: (m,) the different images.
        rows: (n,) int, the image of each row.
        source: Where this is from, for messages.
        headers: All columns in order, that of the identifiers too; () where the model decides.
    """

    id_header: str
    ids: Sequence[str]
    paths: Sequence[str]
    rows: np.ndarray
    source: str = ""
    headers: tuple[str, ...] = ()


def _own_headers(form: _Form, findings: Sequence[str]) -> list[str]:
    """The header of each finding.

    Raises:
        TableError: There are other columns than these; names the missing and the extra ones.
    """
    if not form.headers:
        return list(findings)
    own = {same_name(header): header for header in form.headers if header != form.id_header}
    wanted = {same_name(finding): finding for finding in findings}
    differences = {
        "missing": [finding for name, finding in wanted.items() if name not in own],
        "extra": [header for name, header in own.items() if name not in wanted],
    }
    found = "; ".join(f"{what} {shortened(names, 14)}" for what, names in differences.items() if names)
    if found:
        raise TableError(f"{form.source}: the columns are not the model's {len(findings)} findings: {found}")
    return [own[name] for name in wanted]


def _of_names(paths: Sequence[str]) -> _Form:
    """A row for each image under its file name."""
    names = [file_name(path) for path in paths]
    first: dict[str, str] = {}
    for name, path in zip(names, paths, strict=True):
        if first.setdefault(name, path) != path:
            raise TableError(
                f"two images are called {name!r}: {first[name]!r} and {path!r}: a submission names images without "
                "their folders; give one of the folders, or a sample (--sample) with as much of the path as is needed"
            )
    return _Form("Image_name", names, paths, np.arange(len(paths)))


def _read_sample(sample: Path, sources: Sequence[Path], found: Sequence[str], progress: Progress) -> _Form:
    """The sample's rows and columns, and the image of each row among those found."""
    table = read_columns(sample, strip=False)
    id_header = table.header(*IMAGE_IDS) or table.required("Image_name")
    ids = table.columns[id_header]
    for row, text in enumerate(ids):
        if not text.strip():
            raise table.error(row, id_header, "the identifier is blank")
    names = list(dict.fromkeys(ids))
    joined = join(names, found, source=str(sample), roots=list(map(str, sources)), identity=os.path.realpath)
    missing = [name for name, row in zip(names, joined.rows, strict=True) if row < 0]
    if missing:
        raise TableError(
            f"{sample}: no image was found for {len(missing):,} of {len(names):,} identifiers, first {missing[0]!r}; "
            f"the first image found is {found[0]!r}"
        )
    for note in joined.notes:
        progress.message(note)
    unused = joined.unused(len(found))
    if len(unused):
        progress.message(
            f"images without a row in the sample: {len(unused):,} of {len(found):,}, first {found[unused[0]]!r}"
        )
    place = {name: row for row, name in enumerate(names)}
    paths = [found[row] for row in joined.rows]
    headers = tuple(table.columns) if len(table.columns) > 1 else ()
    return _Form(id_header, ids, paths, np.array([place[text] for text in ids]), str(sample), headers)


def _probabilities(
    predictor: Predictor,
    paths: Sequence[str],
    progress: Progress,
    batch_size: int | None,
    strict: bool,
    studies: np.ndarray | None,
    tally: Tally,
) -> tuple[np.ndarray, dict[int, str]]:
    """(m, k) probabilities, NaN for an unreadable image without others of its study, and place -> reason of these."""
    parts: list[np.ndarray] = []
    errors: dict[int, str] = {}
    done = 0
    for batch in scored(predictor, paths, progress, batch_size, strict):
        parts.append(batch.logits)
        tally.add(batch.names, batch.verdicts)
        errors |= {done + i: error for i, error in enumerate(batch.errors) if error}
        done += len(batch.errors)
    if len(errors) == done:
        raise ImageError(f"none of {counted(done, 'image')} can be read, and nothing was written; first {errors[0]}")
    logits = np.concatenate(parts)
    if studies is not None:
        rule = predictor.decision.study_rule if predictor.decision is not None else StudyRule.plain(logits.shape[1])
        joined = join_images(logits, studies, rule.how)
        logits = joined.logits[joined.rows_of(studies)]
        helped = [i for i in errors if not np.isnan(logits[i]).all()]
        errors = {i: error for i, error in errors.items() if i not in helped}
        progress.message(
            f"{counted(len(joined.names), 'study')} of {counted(len(paths), 'image')}: "
            + rule.described(predictor.labels)
            + (f"; unreadable images that get their study's probabilities: {len(helped):,}" if helped else "")
        )
    return probabilities(logits, predictor.decision), errors


def _filled(values: np.ndarray, errors: Mapping[int, str], findings: Sequence[str], progress: Progress) -> np.ndarray:
    """The probabilities with all gaps filled; messages say what was filled."""
    read = np.delete(values, list(errors), axis=0)
    untrained = np.isnan(read).all(axis=0)
    if untrained.any():
        names = ", ".join(finding for finding, is_untrained in zip(findings, untrained, strict=True) if is_untrained)
        progress.message(f"not trained, and 0.5 in every row: {names}")
    values = values.copy()
    values[:, untrained], read[:, untrained] = 0.5, 0.5
    if errors:
        values[list(errors)] = read.mean(axis=0)
        named = "; ".join(list(errors.values())[:_NAMED]) + (" ..." if len(errors) > _NAMED else "")
        progress.message(
            f"{len(errors):,} of {counted(len(values), 'image')} cannot be read, and get each finding's mean over "
            "the other "
            f"{len(read):,}: {named}"
        )
    return values
