"""A CSV file read by column name, which knows on which line of the file each value stands."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import TableError, closest


@dataclass(frozen=True)
class CsvColumns:
    """The text of a CSV file.

    Attributes:
        path: The file.
        lines: Line of the file, from 1, of each row.
        columns: Header as the file spells it -> one stripped text a row.
    """

    path: Path
    lines: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.lines)

    def header(self, name: str) -> str | None:
        """The file's spelling of `name` (case, spaces and underscores do not count), or None."""
        return next((h for h in self.columns if same_name(h) == same_name(name)), None)

    def required(self, name: str) -> tuple[str, ...]:
        """The texts of a column.

        Raises:
            TableError: There is no such column; names the closest one.
        """
        header = self.header(name)
        if header is None:
            near = closest(name, self.columns, n=1)
            hint = f"the closest is {near[0]!r}" if near else f"there are {', '.join(map(repr, self.columns))}"
            raise TableError(f"{self.path}: column {name!r} is missing; {hint}")
        return self.columns[header]

    def error(self, row: int, column: str, problem: str) -> TableError:
        """The error for a value in `row` (counted from 0), to be raised by the caller."""
        return TableError(f"{self.path}, line {self.lines[row]}, column {column!r}: {problem}")


def read_columns(path: str | Path) -> CsvColumns:
    """Reads a comma-separated UTF-8 file (with or without a byte order mark); rows without any text are left out.

    Raises:
        FileNotFoundError: No such file.
        TableError: No text, no header, no rows, two columns of one name, or a row longer or shorter than the header
            (a file cut off in the middle ends in a short one).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    records = _records(path)
    if len(records) < 2:
        raise TableError(f"{path}: the table has no rows")
    header = _header(path, records[0][1])
    rows = [_fit(path, line, fields, len(header)) for line, fields in records[1:]]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return CsvColumns(path, tuple(line for line, _ in records[1:]), columns)


def same_name(name: str) -> str:
    """The form in which two spellings of a column name are compared."""
    return " ".join(name.replace("_", " ").lower().split())


def _records(path: Path) -> list[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            records = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise TableError(f"{path}: not a readable CSV file: {error}") from None
    return [(line, fields) for line, fields in records if any(fields)]


def _header(path: Path, fields: list[str]) -> list[str]:
    # NIH's first release ends each line, the header too, in a comma: a column without name and content.
    while fields and not fields[-1]:
        fields = fields[:-1]
    name, times = Counter(map(same_name, fields)).most_common(1)[0]
    if times > 1:
        raise TableError(f"{path}: column {name!r} is there {times} times (spaces and underscores count as one)")
    return fields


def _fit(path: Path, line: int, fields: list[str], width: int) -> list[str]:
    if len(fields) < width or any(fields[width:]):
        raise TableError(f"{path}, line {line}: {len(fields)} fields, but the header has {width}")
    return fields[:width]
