"""Reads identifiers, patients, groups and parts of a split from a file of any origin, by column name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from zoo.core.csv import CsvColumns, shortened
from zoo.core.errors import TableError
from zoo.evaluation.subgroups import age_bands
from zoo.labels import facts as facts_of
from zoo.labels.columns import AGE, GROUPS, IDS, IMAGE_IDS, PATIENTS, SEX, SPLITS
from zoo.labels.parts import part_of

#: Patterns of the patient number in an image name: CheXpert's folders; NIH's 00000013_005.png and the competition's
#: 00000013_005_001.jpg.
_PATIENT_IN_ID = (
    re.compile(r"(?:^|.*[\\/])patient(\d+)(?:[\\/].*)?"),
    re.compile(r"(?:.*[\\/])?(\d{8})_\d{3}(?:_\d{3})?(?:\.\w+)?"),
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Numbers from one file, one per row and finding.

    Attributes:
        name: Name of the file in results and messages.
        ids: (n,) str, distinct.
        values: (n, k) float64.
        findings: The k column names.
        patients: (n,) str, or None if they are unknown.
        groups: Grouping ("sex", "age", "view", "position", "source") -> (n,) str, "" if unknown; ages are in bands.
        split: (n,) "train", "validation" or "test", or None if the file has no such column.
        notes: Assumptions, omissions and differences that were disregarded when joining, one sentence each.
    """

    name: str
    ids: np.ndarray
    values: np.ndarray
    findings: tuple[str, ...]
    patients: np.ndarray | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    split: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> Self:
        """Selects rows by position."""
        return replace(
            self,
            ids=self.ids[rows],
            values=self.values[rows],
            patients=None if self.patients is None else self.patients[rows],
            groups={name: group[rows] for name, group in self.groups.items()},
            split=None if self.split is None else self.split[rows],
        )

    def column(self, finding: str) -> np.ndarray:
        """Returns the (n,) values of one finding."""
        return self.values[:, self.findings.index(finding)]


def read_rows(
    table: CsvColumns, headers: Mapping[str, str], values: np.ndarray, id_header: str | None, name: str
) -> Rows:
    """Collects the identifiers, patients, groups and parts of a table's rows; of identical rows it keeps one.

    Args:
        table: Contents of the file.
        headers: Finding -> name of its column.
        values: (n, k) float64 values of these columns.
        id_header: Column of the identifiers; None uses line numbers.
        name: Name of the result.

    Raises:
        TableError: An identifier is blank, or two rows with one identifier have different values.
    """
    split, split_notes = _split(table)
    groups, age_notes = _groups(table)
    notes = (*split_notes, *age_notes)
    if id_header is None:
        ids, kept = np.array([f"line {line}" for line in table.lines]), np.arange(len(table))
    else:
        ids = np.array(table.columns[id_header])
        facts = [header for header in (table.header(*PATIENTS), table.header(*SPLITS)) if header]
        kept, same = _unique(table, id_header, [*headers.values(), *facts])
        notes += same
    archives = facts_of.archives([re.split(r"[\\/]", image)[-1] for image in ids.tolist()])
    if archives is not None:
        groups = {"source": np.array(archives)} | groups
    rows = Rows(name, ids, values, tuple(headers), patients_of(table, ids), groups, split, notes)
    return rows.take(kept)


def id_headers(tables: Sequence[CsvColumns], id_column: str | None = None) -> list[str | None]:
    """Finds the column that identifies the rows of each table: a common one, or else each table's image names.

    Returns:
        The column of each table; None for a single table without identifiers.

    Raises:
        TableError: `id_column` does not exist, or the tables have no identifiers in common.
    """
    if id_column is not None:
        return [table.required(id_column) for table in tables]
    for name in IDS:
        shared = [table.header(name) for table in tables]
        if all(header is not None for header in shared):
            return shared
    own = [table.header(*IMAGE_IDS) for table in tables]
    if all(header is not None for header in own) or len(tables) == 1:
        return own
    columns = "; ".join(f"{table.path.name} has {shortened(table.columns, 4)}" for table in tables[:3])
    raise TableError(f"no column identifies the rows of all files: {columns}: name it with --id COLUMN (id_column=...)")


def patients_of(table: CsvColumns, ids: np.ndarray) -> np.ndarray | None:
    """Finds the patient of each row from the patient column, or else from the image name; None if neither exists.

    A row whose patient is blank counts as a separate patient.

    Returns:
        (n,) str.

    Example:
        >>> from pathlib import Path
        >>> table = CsvColumns(Path("t.csv"), (2, 3), {"Image Index": ("00000013_005.png", "00000022_000.png")})
        >>> patients_of(table, np.array(table.columns["Image Index"])).tolist()
        ['13', '22']
    """
    header = table.header(*PATIENTS)
    texts = table.columns[header] if header is not None else ("",) * len(table)
    if any(map(facts_of.names_patient, texts)):
        return facts_of.patients(texts, ids.tolist()).astype(str)
    for pattern in _PATIENT_IN_ID:
        found = [pattern.fullmatch(str(text)) for text in ids]
        if all(found):
            return np.array([str(int(match[1])) for match in found if match])
    return None


def _unique(table: CsvColumns, id_header: str, used: Collection[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the positions of the rows to keep, and notes."""
    ids, columns = table.columns[id_header], [table.columns[header] for header in used]
    first: dict[str, int] = {}
    repeated = []
    for row, text in enumerate(ids):
        if not text:
            raise table.error(row, id_header, "the identifier is blank")
        if first.setdefault(text, row) == row:
            continue
        earlier = first[text]
        if other := next((h for h, c in zip(used, columns, strict=True) if c[row] != c[earlier]), None):
            raise table.error(
                row, id_header, f"{text!r} is on line {table.lines[earlier]} already, with another {other!r}; keep one"
            )
        repeated.append(text)
    kept = np.array(sorted(first.values()))
    if not repeated:
        return kept, ()
    return kept, (
        f"{table.path.name}: repeated rows, all the same, left out: {len(repeated):,}, first {repeated[0]!r}",
    )


def _groups(table: CsvColumns) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    found = {name: header for name, own in GROUPS.items() if (header := table.header(*own)) is not None}
    groups = {name: np.array([_known(text) for text in table.columns[header]]) for name, header in found.items()}
    notes: list[str] = []
    if (header := table.header(*AGE)) is not None:
        ages = facts_of.ages(table.columns[header])
        groups, notes = {"age": age_bands(ages.values)} | groups, ages.notes(header)
    if (header := table.header(*SEX)) is not None:
        sexes = facts_of.sexes(table.columns[header])
        groups, notes = {"sex": sexes.values.astype(str)} | groups, sexes.notes(header) + notes
    known = {name: group for name, group in groups.items() if (group != "").any()}
    return known, tuple(f"{table.path.name}: {note}" for note in notes)


def _known(text: str) -> str:
    return "" if facts_of.is_unknown(text) else text


def _split(table: CsvColumns) -> tuple[np.ndarray | None, tuple[str, ...]]:
    header = table.header(*SPLITS)
    if header is None:
        return None, ()
    parts = [part_of(text) for text in table.columns[header]]
    if all(parts):
        return np.array(parts), ()
    wrong = table.columns[header][parts.index("")]
    note = f"{table.path.name}: column {header!r} was not used: {wrong!r} is none of train, validation, test"
    return None, (note,)
