"""Findings by study: which images are of one study, and tables with one row for each study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.errors import ImageError, TableError, UsageError
from zoo.core.joining import join as join_names
from zoo.data.images.dicom_header import Ids, hashed, is_dicom, read_facts
from zoo.data.images.limits import DEFAULT, Limits
from zoo.evaluation.decision import Decision
from zoo.evaluation.studies.rule import StudyRule, join
from zoo.gate.verdict import Verdict, of_study
from zoo.inference.stream import Prediction
from zoo.labels.columns import IMAGE_IDS, PATIENTS, STUDIES
from zoo.labels.studies import studies_of_columns, study_of_folder, study_of_name

if TYPE_CHECKING:
    import pandas as pd

    from zoo.inference.scoring import Scoring

#: Sources of studies that are rules, not tables.
RULES = ("name", "folder", "header", "auto")

#: Most images in a folder that is taken as one study; an examination has two to four as a rule.
MOST_IMAGES = 20

#: How to say which images belong together; ends the messages of this module.
HOW = (
    "--studies TABLE.csv (columns Image_name, Study and, if numbers of studies begin anew with each patient, "
    "Patient_ID), --studies folder (each folder is a study), --studies header (DICOM), or --studies name (files called "
    "<patient>_<study>_<image>)"
)


def studies_of(
    paths: Sequence[str],
    source: str | Path = "name",
    roots: Sequence[str] = ("",),
    *,
    ids: Ids = "hash",
    limits: Limits = DEFAULT,
) -> np.ndarray:
    """Returns the study of each image.

    Args:
        paths: n image files.
        source: "name" for file names by the competition's rule, `<patient>_<study>_<image>` in digits; "folder" if the
            images of a study are in a folder of their own; "header" for the Study Instance UID of DICOM files; "auto"
            for the header of DICOM files and the names of others; or a CSV file with columns of images and studies.
        roots: Folders that were searched for the images; a table may name images relative to them.
        ids: "uid" returns Study Instance UIDs as they are; otherwise they are hashed (`dicom_header.hashed`).
        limits: Limits on each image whose header is read.

    Returns:
        (n,) str, none of them blank.

    Raises:
        UsageError: The study of some images cannot be told in this way; the message counts them and says how else.
        TableError: The table lacks a column, or a name in it matches two images.
        FileNotFoundError: There is no such table.

    Example:
        >>> studies_of(["00000042_001_001.jpg", "00000042_001_002.jpg"]).tolist()
        ['00000042_001', '00000042_001']
    """
    if str(source) in ("header", "auto"):
        headers = [study_of_header(path, ids, limits) for path in paths]
        by_name = study_of_name if str(source) == "auto" else _no_study
        found = np.array([study or by_name(path) for study, path in zip(headers, paths, strict=True)], str)
    elif str(source) in ("name", "folder"):
        rule = study_of_name if str(source) == "name" else study_of_folder
        found = np.array([rule(path) for path in paths], str)
    else:
        found = _of_table(Path(source), paths, roots)
    if str(source) == "folder":
        _check_folders(found)
    unknown = np.flatnonzero(found == "")
    if len(unknown):
        raise UsageError(
            f"the study of {len(unknown):,} of {counted(len(paths), 'image')} is unknown from the {_where(source)} "
            "(first: "
            f"{paths[unknown[0]]!r}): give {HOW}"
        )
    return found


def described(studies: Sequence[str] | np.ndarray, source: str | Path) -> str:
    """Says how many studies there are, what told them, and how many images each has, so that a wrong guess is seen.

    Args:
        studies: (n,) study of each image, at least one.
        source: What told them, as in `studies_of`.

    Example:
        >>> described(["p1/s1", "p1/s1", "p2/s1"], "folder")
        "2 studies by folders, of 1 to 2 images (most: 2 in 'p1/s1')"
    """
    names, counts = np.unique(np.asarray(studies, str), return_counts=True)
    least, most = int(counts.min()), int(counts.max())
    size = counted(most, "image") if least == most else f"{least:,} to {most:,} images"
    where = f" (most: {most:,} in {str(names[counts.argmax()])!r})" if most > 1 else ""
    return f"{counted(len(names), 'study')} by {_where(source)}, of {size}{where}"


def join_prediction(
    images: Prediction, studies: Sequence[str] | np.ndarray, rule: StudyRule
) -> tuple[Prediction, np.ndarray]:
    """Joins the images of each study; images without a prediction take no part, and the study's error says so.

    The quality of a study is that of its worst image.

    Args:
        images: Predictions of whole studies.
        studies: (n,) study of each image.
        rule: How to join.

    Returns:
        A prediction with one row for each study, in the order in which they first appear, and their numbers of images.

    Example:
        >>> two = Prediction(["1.png", "2.png"], np.array([[1.0], [np.nan]]), ["", "2.png: empty"])
        >>> joined, counts = join_prediction(two, ["s", "s"], StudyRule(("mean",)))
        >>> joined.logits.tolist(), joined.errors, counts.tolist()
        ([[1.0]], ['1 of 2 images has no prediction: 2.png: empty'], [2])
    """
    joined = join(images.logits, studies, rule.how)
    failed: dict[str, list[str]] = {}
    words: dict[str, list[Verdict]] = {}
    for study, error, verdict in zip(np.asarray(studies, str).tolist(), images.errors, images.verdicts, strict=True):
        words.setdefault(study, []).append(verdict)
        if error:
            failed.setdefault(study, []).append(error)
    errors = []
    for study, count in zip(joined.names.tolist(), joined.images.tolist(), strict=True):
        bad = failed.get(study, [])
        some = (
            f"{len(bad)} of {counted(count, 'image')} {'has' if len(bad) == 1 else 'have'} no prediction: {bad[0]}"
            if bad
            else ""
        )
        errors.append(some)
    names = joined.names.tolist()
    return Prediction(names, joined.logits, errors, [of_study(words[name]) for name in names]), joined.images


def findings_by_study(
    batches: Iterable[Prediction], predictor: Scoring, studies: Sequence[str] | str, point: str | None = None
) -> pd.DataFrame:
    """Returns `Predictor.findings` by study, from the predictions of all images.

    Args:
        batches: Predictions of the n images.
        predictor: The model that made them.
        studies: The study of each image, or "name" or "folder" to tell it from the images' paths.
        point: Operating point; the default one if None.

    Raises:
        UsageError: There are not n studies, one is blank or unknown, or the model has no thresholds.
    """
    parts = list(batches)
    names = [name for part in parts for name in part.names]
    none = np.empty((0, len(predictor.labels)), np.float32)
    whole = Prediction(
        names,
        np.concatenate([none, *(p.logits for p in parts)]),
        [error for part in parts for error in part.errors],
        [verdict for part in parts for verdict in part.verdicts],
    )
    whose = studies_of(names, studies) if isinstance(studies, str) else np.array(list(studies), str)
    if len(whose) != len(names) or (whose == "").any():
        raise UsageError(
            f"studies must name the study of each of {counted(len(names), 'image')}, got {len(whose)} of them"
        )
    if predictor.decision is None:
        raise UsageError(f"{predictor!r} has no thresholds: none were fitted for these members")
    joined, images = join_prediction(whole, whose, predictor.decision.study_rule)
    return long_table(joined, images, predictor.labels, predictor.decision, point)


def long_table(
    studies: Prediction, images: np.ndarray, findings: Sequence[str], decision: Decision, point: str | None = None
) -> pd.DataFrame:
    """Returns one row per study and finding: those of `Predictor.findings`, with "study" and "images" first.

    Args:
        studies: One row for each study.
        images: Number of images of each study.
        findings: Names of the columns of the logits.
        decision: Calibration and thresholds.
        point: Operating point; the default one if None.
    """
    from zoo.inference import tables

    table = tables.long_table(studies, findings, decision, point).rename(columns={"image": "study"})
    table.insert(1, "images", np.repeat(images, len(findings)))
    return table


def wide_table(
    studies: Prediction,
    images: np.ndarray,
    findings: Sequence[str],
    decision: Decision | None,
    trained: Sequence[bool],
) -> pd.DataFrame:
    """Returns one row per study: study, images, the probability of each finding, error, quality, reason."""
    from zoo.inference import tables

    table = tables.wide_table(studies, findings, decision, trained).rename(columns={"image": "study"})
    table.insert(1, "images", images)
    return table


def _of_table(table: Path, paths: Sequence[str], roots: Sequence[str]) -> np.ndarray:
    if not table.is_file():
        raise FileNotFoundError(f"{table}: no such table of studies; give {HOW}")
    source = read_columns(table)
    images, study, patient = source.header(*IMAGE_IDS), source.header(*STUDIES), source.header(*PATIENTS)
    if images is None or study is None:
        what = "images (such as Image_name)" if images is None else "studies (such as Study)"
        raise TableError(f"{table}: no column of {what}; it has {', '.join(map(repr, source.columns))}")
    names = list(source.texts(images))
    if len(set(names)) < len(names):
        first = next(i for i, name in enumerate(names) if name in names[:i])
        raise source.error(first, images, f"{names[first]!r} is named twice")
    whose = source.texts(patient) if patient is not None else ("",) * len(source)
    studies = studies_of_columns(whose, source.texts(study))
    joined = join_names(names, paths, source=str(table), roots=roots)
    found = np.full(len(paths), "", object)
    rows = np.flatnonzero(joined.rows >= 0)
    found[joined.rows[rows]] = studies[rows]
    return found.astype(str)


def study_of_header(path: str, ids: Ids = "hash", limits: Limits = DEFAULT) -> str:
    """The study of a DICOM file by its Study Instance UID, hashed unless `ids` is "uid"; "" for another file."""
    try:
        uid = read_facts(path, limits)[1].study if Path(path).is_file() and is_dicom(path) else ""
    except ImageError:  # the image gets a row with the reason, or its study is told as unknown
        uid = ""
    return uid if ids == "uid" or not uid else hashed(uid)


def _no_study(path: str) -> str:
    return ""


def _check_folders(studies: np.ndarray) -> None:
    """Refuses folders that hold more images than a study has.

    Raises:
        UsageError: A folder does; the message counts them.
    """
    names, counts = np.unique(studies[studies != ""], return_counts=True)
    large = np.flatnonzero(counts > MOST_IMAGES)
    if len(large):
        first = large[np.argmax(counts[large])]
        raise UsageError(
            f"{len(large):,} of {len(names):,} folders hold more than {MOST_IMAGES} images, which is no study (most: "
            f"{counts[first]:,} of {len(studies):,} images in {str(names[first])!r}): each study needs a folder of its "
            f"own; or give {HOW}"
        )


def _where(source: str | Path) -> str:
    known = {"name": "file names", "folder": "folders", "header": "headers of DICOM files"}
    return (known | {"auto": "headers of DICOM files and file names"}).get(str(source), f"table {source}")
