"""A CSV file, packed or not, read by column name; it knows on which line of the file each value stands."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.core.errors import TableError, closest

#: How tables write that a value is not there.
MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "<na>"))

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
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

    def header(self, *names: str) -> str | None:
        """The file's spelling of the first of `names` that it has (see `same_name`), or None."""
        own = {same_name(header): header for header in self.columns}
        return next((own[same_name(name)] for name in names if same_name(name) in own), None)

    def required(self, name: str, hint: str = "") -> str:
        """The file's spelling of a column.

        Raises:
            TableError: There is no such column; names the closest one, or all, and then says `hint`.
        """
        header = self.header(name)
        if header is None:
            near = closest(name, self.columns, n=1)
            there = f"the closest is {near[0]!r}" if near else f"it has {shortened(self.columns)}"
            raise TableError(f"{self.path}: column {name!r} is missing; {there}{hint and '; ' + hint}")
        return header

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a column that has to be there, by any spelling of its name; errors as `required`."""
        return self.columns[self.required(name)]

    def numbers(self, header: str, *, missing: frozenset[str] = MISSING) -> np.ndarray:
        """A column as float64, NaN where nothing is there.

        Raises:
            TableError: A text that is no number.
        """
        values = np.empty(len(self))
        for row, text in enumerate(self.columns[header]):
            try:
                values[row] = np.nan if text.lower() in missing else float(text)
            except ValueError:
                raise self.error(row, header, f"a number is needed, got {text!r}") from None
        return values

    def is_numeric(self, header: str) -> bool:
        """Whether the column's first text, leaving out what is missing, is a number."""
        first = next((text for text in self.columns[header] if text.lower() not in MISSING), "")
        try:
            float(first)
        except ValueError:
            return False
        return True

    def error(self, row: int, header: str, problem: str) -> TableError:
        """The error for a value in `row` (counted from 0), to be raised by the caller."""
        return TableError(f"{self.path}, line {self.lines[row]}, column {header!r}: {problem}")


def read_columns(path: str | Path, *, strip: bool = True) -> CsvColumns:
    """Reads a comma-separated UTF-8 file, gzipped or not; rows without any text are left out.

    Args:
        path: The file.
        strip: Whether texts lose the blanks around them, which the header loses in any case.

    Raises:
        FileNotFoundError: No such file.
        TableError: No text, a damaged archive, no header, no rows, two columns of one name, or a row longer or
            shorter than the header (a file cut off in the middle ends in a short one).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    records = _records(path, strip)
    if len(records) < 2:
        raise TableError(f"{path}: the table has no rows")
    header = _header(path, [field.strip() for field in records[0][1]])
    rows = [_fit(path, line, fields, len(header)) for line, fields in records[1:]]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return CsvColumns(path, tuple(line for line, _ in records[1:]), columns)


def same_name(name: str) -> str:
    """The form in which two spellings of a name are compared: case, spaces and signs do not count."""
    return re.sub(r"[\W_]+", "", name.lower())


def shortened(names: Iterable[str], most: int = 8) -> str:
    """Names in quotes, the first `most` of them."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(repr, found[:most])) + more


def _records(path: Path, strip: bool) -> list[tuple[int, list[str]]]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    # utf-8-sig: a byte order mark would become a part of the first column's name.
    opened = gzip.open if packed else Path.open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            records = [(reader.line_num, [f.strip() for f in fields] if strip else fields) for fields in reader]
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path}: not a readable CSV file: {error}") from None
    return [(line, fields) for line, fields in records if any(map(str.strip, fields))]


def _header(path: Path, fields: list[str]) -> list[str]:
    # NIH's first release ends each line, the header too, in a comma: a column without name and content.
    while not fields[-1]:
        fields = fields[:-1]
    if len(fields) == 1 and re.search(r"[;\t|]", fields[0]):
        raise TableError(f"{path}: one column {fields[0][:40]!r}; the file must be separated by commas")
    name, times = Counter(same_name(field) for field in fields if field).most_common(1)[0]
    if times > 1:
        twice = [field for field in fields if same_name(field) == name]
        raise TableError(f"{path}: columns {shortened(twice)} have one name (case, spaces and signs do not count)")
    return fields


def _fit(path: Path, line: int, fields: list[str], width: int) -> list[str]:
    if len(fields) < width or any(fields[width:]):
        raise TableError(f"{path}, line {line}: {len(fields)} fields, but the header has {width}")
    return fields[:width]
