"""What a table of labelled images holds: counts, gaps, copies, and the split that it would give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import SplitError
from zoo.core.progress import Silent, tell_warnings
from zoo.data.splits import SplitSpec, leaked_patients, make_split
from zoo.data.tables.canonical import COLUMNS
from zoo.data.tables.reading import findings_of, labels_of

#: Facts that may be missing, and of which each different value is counted if there are few.
_FACTS = tuple(name for name in COLUMNS if name not in ("Image_path", "Image_name"))
_GROUPED = ("Sex", "ViewCategory", "ViewPosition", "Source")

#: Values of a fact that are counted one by one.
_VALUES = 12


@dataclass(frozen=True)
class FindingCounts:
    """Labels of one finding, in rows; a patient counts as positive with one positive image.

    `positive_patients` is None if the table names no patient.
    """

    finding: str
    positive: int
    negative: int
    uncertain: int
    unknown: int
    positive_patients: int | None


@dataclass(frozen=True)
class FactCounts:
    """How many rows state a fact, how often each value occurs (() for facts with many values), and its range."""

    fact: str
    known: int
    missing: int
    values: tuple[tuple[str, int], ...] = ()
    range: str = ""


@dataclass(frozen=True)
class LeftOut:
    """An image of the table that cannot be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class Copies:
    """Images with the same content.

    Attributes:
        images: Their names.
        patients: Number of different patients among them, 0 if none is known; two or more may be one person, or a
            mistake.
        labels_differ: Whether their labels contradict each other.
    """

    images: tuple[str, ...]
    patients: int
    labels_differ: bool


@dataclass(frozen=True)
class Part:
    """One part of the split that would be made; `positives` are in the order of the findings.

    `patients` is None if the table names no patient.
    """

    part: str
    images: int
    patients: int | None
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class DataSummary:
    """What a table and its images hold.

    Attributes:
        data: The table or folder, as it was given.
        dataset: Format of the table.
        rows: Rows of the table.
        usable: Rows whose image can be read (or exists, if the images were not read).
        images_read: Whether the images were read.
        left_out: The other rows, with the reason.
        patients: Number of patients.
        without_patient: Rows that name none.
        findings: Labels of each finding, over the usable rows.
        facts: Gaps and values of the other columns, over the usable rows.
        copies: Groups of images with the same content.
        split: Parts of the split that training would make; () if it cannot be made.
        split_by: "patient" or "image".
        leaked_patients: Patients with images in several parts.
        split_notes: Why there is no split, or what to know of it.
        understood: How the table was read.
        notes: What was not understood, not used or left out.
    """

    data: str
    dataset: str
    rows: int
    usable: int
    images_read: bool
    left_out: tuple[LeftOut, ...]
    patients: int
    without_patient: int
    findings: tuple[FindingCounts, ...]
    facts: tuple[FactCounts, ...]
    copies: tuple[Copies, ...]
    split: tuple[Part, ...]
    split_by: str
    leaked_patients: int
    split_notes: tuple[str, ...]
    understood: tuple[str, ...]
    notes: tuple[str, ...]


def count_findings(table: pd.DataFrame) -> tuple[FindingCounts, ...]:
    """Counts the labels of each finding of a canonical table, in which -1 is uncertain.

    Example:
        >>> table = pd.DataFrame({"Patient_ID": ["7", "7", "8"], "Edema": [1.0, 1.0, np.nan]})
        >>> count_findings(table)[0].positive, count_findings(table)[0].positive_patients
        (2, 1)
    """
    found = []
    for finding in findings_of(table):
        values = table[finding].to_numpy(np.float64)
        patients = _patients(table, values == 1)
        positive, negative, uncertain = (int(np.sum(values == value)) for value in (1, 0, -1))
        unknown = int(np.isnan(values).sum())
        found.append(FindingCounts(finding, positive, negative, uncertain, unknown, patients))
    return tuple(found)


def _patients(table: pd.DataFrame, rows: np.ndarray) -> int | None:
    """The number of patients of some rows, each unknown one counted once; None if the table names no patient."""
    own = table["Patient_ID"][rows]
    return None if table["Patient_ID"].isna().all() else int(own.nunique()) + int(own.isna().sum())


def count_facts(table: pd.DataFrame) -> tuple[FactCounts, ...]:
    """Counts the gaps of each fact of a canonical table, and the values of those that have few."""
    found = []
    for fact in _FACTS:
        known = table[fact].dropna().astype(str)
        values: tuple[tuple[str, int], ...] = ()
        span = ""
        if fact in _GROUPED:
            counts = known.value_counts()
            values = tuple((str(value), int(n)) for value, n in counts.head(_VALUES).items())
        elif fact == "Age" and len(known):
            years = table[fact].dropna().astype(float)
            span = f"{years.min():.0f} to {years.max():.0f}, median {years.median():.0f}"
        found.append(FactCounts(fact, len(known), len(table) - len(known), values, span))
    return tuple(found)


def find_copies(table: pd.DataFrame, groups: Iterable[Sequence[str]]) -> tuple[Copies, ...]:
    """Describes groups of equal images, those of several patients first.

    Args:
        table: A canonical table.
        groups: Paths of images with the same content.
    """
    row_of = {path: row for row, path in enumerate(table["Image_path"])}
    labels = labels_of(table, findings_of(table))
    found = []
    for group in groups:
        rows = [row_of[path] for path in group]
        own = table["Patient_ID"].iloc[rows]
        differ = bool(((labels[rows] == 1).any(0) & (labels[rows] == 0).any(0)).any())
        found.append(Copies(tuple(table["Image_name"].iloc[rows]), int(own.nunique()), differ))
    return tuple(sorted(found, key=lambda copies: (-copies.patients, not copies.labels_differ)))


def would_be_split(table: pd.DataFrame, spec: SplitSpec) -> tuple[tuple[Part, ...], int, tuple[str, ...]]:
    """The split that training would make.

    Returns:
        Its parts, the number of patients in several of them, and what to know of it. If it cannot be made there are no
        parts, and the reason is among the sentences.
    """
    findings = findings_of(table)
    try:
        with tell_warnings(Silent()) as notes:
            split = make_split(table, findings, spec)
    except SplitError as error:
        return (), 0, (str(error),)
    labels = labels_of(table, findings)
    parts = []
    for part, rows in split.parts.items():
        patients = _patients(table, rows)
        positives, negatives = (tuple(map(int, (labels[rows] == value).sum(0))) for value in (1, 0))
        parts.append(Part(part, len(rows), patients, positives, negatives))
    return tuple(parts), leaked_patients(table, split), tuple(notes)


def left_out(skipped: pd.DataFrame) -> tuple[LeftOut, ...]:
    """The rows that a step dropped (`Image_name` and `Reason`) as a list."""
    return tuple(LeftOut(str(n), str(why)) for n, why in zip(skipped["Image_name"], skipped["Reason"], strict=True))


def warnings_of(summary: DataSummary) -> tuple[str, ...]:
    """What a person should look at before training, the most serious first."""
    found = []
    across = [copies for copies in summary.copies if copies.patients > 1]
    if across:
        n = counted(len(across), "group of equal images has", "groups of equal images have")
        found.append(f"{n} several patients, first {', '.join(across[0].images[:3])}: a split may leak")
    differ = sum(copies.labels_differ for copies in summary.copies)
    n = counted(differ, "group of equal images has", "groups of equal images have")
    found += [f"{n} labels that contradict each other"] if differ else []
    if not summary.split:
        found += list(summary.split_notes)
    return (*found, *_too_few(summary))


def _too_few(summary: DataSummary) -> list[str]:
    one = [f.finding for f in summary.findings if not f.positive or not f.negative]
    found = [f"cannot be learned, without positives or negatives: {', '.join(one)}"] if one else []
    lacking = {
        part.part: [
            f.finding for f, n in zip(summary.findings, part.positives, strict=True) if not n and f.finding not in one
        ]
        for part in summary.split
    }
    return found + [f"no positive in the {part} part: {', '.join(own)}" for part, own in lacking.items() if own]
