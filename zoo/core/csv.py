"""Reads CSV files, gzipped or not, by column name, and keeps the line number of each row for error messages."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from zoo.core.counting import listed
from zoo.core.errors import TableError, closest

#: Texts that mean a missing value.
MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "<na>"))

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class CsvColumns:
    """The text of a CSV file.

    Attributes:
        path: The file.
        lines: Line number in the file, from 1, of each row.
        columns: Header as the file spells it -> text of each row.

    >>> table = CsvColumns(Path("t.csv"), (2, 3), {"Patient ID": ("7", "na")})
    >>> table.header("patient_id"), table.numbers("Patient ID").tolist()
    ('Patient ID', [7.0, nan])
    """

    path: Path
    lines: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.lines)

    def header(self, *names: str) -> str | None:
        """The header of the first of `names` that the file has, in any spelling (see `same_name`), or None."""
        own = {same_name(header): header for header in self.columns}
        return next((own[same_name(name)] for name in names if same_name(name) in own), None)

    def required(self, name: str, hint: str = "") -> str:
        """The header of a column that must exist, in any spelling.

        Raises:
            TableError: There is no such column; the message names the closest header, or all, and ends with `hint`.
        """
        header = self.header(name)
        if header is None:
            near = closest(name, self.columns, n=1)
            there = f"the closest is {near[0]!r}" if near else f"it has {shortened(self.columns)}"
            raise TableError(f"{self.path}: column {name!r} is missing; {there}{hint and '; ' + hint}")
        return header

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a column that must exist, by any spelling of its name; errors as `required`."""
        return self.columns[self.required(name)]

    def numbers(self, header: str, *, missing: frozenset[str] = MISSING) -> np.ndarray:
        """A column as float64, with NaN for missing values.

        Raises:
            TableError: A text is not a number.
        """
        values = np.empty(len(self))
        for row, text in enumerate(self.columns[header]):
            try:
                values[row] = np.nan if text.lower() in missing else float(text)
            except ValueError:
                raise self.error(row, header, f"a number is needed, got {text!r}") from None
        return values

    def is_numeric(self, header: str) -> bool:
        """Whether the column's first value that is not missing is a number."""
        first = next((text for text in self.columns[header] if text.lower() not in MISSING), "")
        try:
            float(first)
        except ValueError:
            return False
        return True

    def error(self, row: int, header: str, problem: str) -> TableError:
        """Makes the error for a value in `row` (counted from 0), which the caller raises."""
        return TableError(f"{self.path}, line {self.lines[row]}, column {header!r}: {problem}")


def read_columns(path: str | Path, *, strip: bool = True) -> CsvColumns:
    """Reads a comma-separated UTF-8 file, gzipped or not; empty rows are left out.

    Args:
        path: The file.
        strip: Whether to strip spaces around texts; headers are always stripped.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: The file is not text or a damaged archive, has no header or no rows, has two columns of one name, or
            a row is longer or shorter than the header (a truncated file ends in a short row).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "t.csv")
    ...     _ = path.write_text("Image,Edema\\na.png,1\\n")
    ...     dict(read_columns(path).columns)
    {'Image': ('a.png',), 'Edema': ('1',)}
    """
    (whole,) = read_pieces(path, None, strip=strip)
    return whole


def read_pieces(path: str | Path, rows: int | None, *, strip: bool = True) -> Iterator[CsvColumns]:
    """Reads a file as `read_columns` does, so many rows at a time; None reads all rows at once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "t.csv")
    ...     _ = path.write_text("Image,Edema\\na.png,1\\nb.png,0\\nc.png,1\\n")
    ...     [len(piece) for piece in read_pieces(path, 2)]
    [2, 1]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    records = _records(path, strip)
    _, first = next(records, (0, None))
    piece = list(islice(records, rows))
    if first is None or not piece:
        raise TableError(f"{path}: the table has no rows")
    header = _header(path, [field.strip() for field in first])
    while piece:
        fitted = [_fit(path, line, fields, len(header)) for line, fields in piece]
        columns = dict(zip(header, zip(*fitted, strict=True), strict=True))
        yield CsvColumns(path, tuple(line for line, _ in piece), columns)
        piece = list(islice(records, rows))


def same_name(name: str) -> str:
    """Normalises a name for comparison: case, spaces and punctuation do not count.

    >>> same_name("Patient_ID") == same_name("patient id")
    True
    """
    return re.sub(r"[\W_]+", "", name.lower())


def shortened(names: Iterable[str], most: int = 8) -> str:
    """Lists names in quotes, at most `most` of them.

    >>> shortened(["a", "b", "c"], 2)
    "'a', 'b' and 1 more"
    """
    return listed([repr(name) for name in names], most)


def _records(path: Path, strip: bool) -> Iterator[tuple[int, list[str]]]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    # utf-8-sig, since a byte order mark would become part of the first column's name.
    opened = gzip.open if packed else Path.open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            for fields in reader:
                if any(map(str.strip, fields)):
                    yield reader.line_num, [field.strip() for field in fields] if strip else fields
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path}: not a readable CSV file: {error}") from None


def _header(path: Path, fields: list[str]) -> list[str]:
    # In NIH's first release every line, including the header, ends in a comma: an empty column without a name.
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
