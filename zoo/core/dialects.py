"""Reads tables of any origin: comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252; gzipped or zipped."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.core.csv import CsvColumns, same_name, shortened
from zoo.core.errors import TableError

#: Separators that are tried, in order of preference.
SEPARATORS = (",", ";", "\t", "|")

#: Extensions of tables.
TABLE_EXTENSIONS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip")

#: Name of a column whose header is empty; the number is its place, from 1.
UNNAMED = "Unnamed: "

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}
_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\t|]*', re.IGNORECASE)
_WORKBOOK = b"\xd0\xcf\x11\xe0"

#: Rows whose number of fields tells the separator.
_SAMPLE = 500


@dataclass(frozen=True)
class Form:
    """How a table is written.

    Attributes:
        separator: What separates its fields.
        encoding: Its encoding, by Python's name.
        notes: A sentence on each thing that is out of the ordinary.
    """

    separator: str = ","
    encoding: str = "utf-8-sig"
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Returns a phrase such as "separated by semicolons, UTF-16"."""
        shown = {"utf-8-sig": "UTF-8", "cp1252": "Windows-1252"}.get(self.encoding, self.encoding.upper())
        return f"separated by {_NAMES[self.separator]}, {shown}"


def read_any_columns(path: str | Path) -> tuple[CsvColumns, Form]:
    """Reads a table whose separator and encoding are found out; texts are stripped, empty rows are left out.

    A line "sep=;" before the header, as Excel understands it, decides the separator. Otherwise it is the one that gives
    most rows the number of fields that the header has. Empty columns at the end are left out.

    Args:
        path: The table: text, gzipped text, or a zip archive with one table in it.

    Returns:
        The texts, and how the file is written. A column without a name is called "Unnamed: 1" (by its place).

    Raises:
        FileNotFoundError: There is no such file.
        TableError: The file is no text (for example, a workbook), is damaged, has no rows, has two columns of one name,
            or a row is longer or shorter than the header.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.csv")
        ...     _ = path.write_text("sep=;\\nImage;Edema;\\na.png;1,0;\\n;;\\n", "utf-16")
        ...     table, form = read_any_columns(path)
        >>> dict(table.columns), str(form)
        ({'Image': ('a.png',), 'Edema': ('1,0',)}, 'separated by semicolons, UTF-16')
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    text, encoding, notes = _text(path)
    separator, skipped = _separator(path, text)
    records = _records(path, text, separator, skipped)
    if not records:
        raise TableError(f"{path}: the table is empty")
    header = _header(path, records[0][1])
    filled = [(line, fields) for line, fields in records[1:] if any(fields)]
    if not filled:
        raise TableError(f"{path}: the table has no rows")
    empty = len(records) - 1 - len(filled)
    if empty:
        notes.append(f"{empty:,} empty row{'s were' if empty > 1 else ' was'} left out")
    rows = [_fit(path, line, fields, len(header)) for line, fields in filled]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    bare = [name for name, texts in columns.items() if name.startswith(UNNAMED) and not any(texts)]
    for name in bare:
        del columns[name]
    return CsvColumns(path, tuple(line for line, _ in filled), columns), Form(separator, encoding, tuple(notes))


def _text(path: Path) -> tuple[str, str, list[str]]:
    """The text of a file, its encoding, and notes."""
    data = _unpacked(path, path.read_bytes())
    if data.startswith(_WORKBOOK):
        raise TableError(f"{path}: an Excel workbook, not a text table: save it as 'CSV UTF-8'")
    encoding = _encoding(data)
    notes: list[str] = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig" or b"\0" in data:
            raise TableError(f"{path}: not text ({error.reason} at byte {error.start})") from None
        text, encoding, notes = _windows(path, data, error)
    if "\0" in text:
        raise TableError(f"{path}: not a text table: it has bytes of value 0")
    return text, encoding, notes


def _windows(path: Path, data: bytes, problem: UnicodeDecodeError) -> tuple[str, str, list[str]]:
    """Excel's plain "CSV" is written in the code page of the machine, in the West Windows-1252."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise TableError(f"{path}: neither UTF-8 nor UTF-16 text ({problem.reason} at byte {problem.start})") from None
    if any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        raise TableError(f"{path}: not a text table ({problem.reason} at byte {problem.start})")
    around = " ".join(text[max(0, problem.start - 8) : problem.start + 8].split())
    return text, "cp1252", [f"not UTF-8, read as Windows-1252 (check its letters: {around!r})"]


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = [name for name in archive.namelist() if not name.startswith(("__MACOSX", "."))]
                if any(name.startswith("xl/") for name in names):
                    raise TableError(f"{path}: an Excel workbook, not a text table: save it as 'CSV UTF-8'")
                tables = [name for name in names if name.lower().endswith(TABLE_EXTENSIONS)]
                if len(tables) != 1:
                    raise TableError(f"{path}: an archive of {len(tables)} tables; give the one that is wanted")
                return archive.read(tables[0])
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise TableError(f"{path}: a damaged archive ({error})") from None
    return data


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # UTF-16 without a byte order mark: every second byte of Latin text is 0.
    head = data[: 2 * _SAMPLE]
    if len(head) > 3 and head[:1] != b"\0" and head[1::2].count(0) > 0.8 * len(head[1::2]):
        return "utf-16-le"
    if len(head) > 3 and head[0::2].count(0) > 0.8 * len(head[0::2]):
        return "utf-16-be"
    return "utf-8-sig"


def _separator(path: Path, text: str) -> tuple[str, int]:
    """The separator, and the number of lines before the header."""
    first = text.split("\n", 1)[0].strip()
    if match := _SEP_LINE.fullmatch(first):
        if match[1] not in SEPARATORS:
            raise TableError(f"{path}: separated by {match[1]!r}; use a comma, semicolon, tab or bar")
        return match[1], 1
    fits = {separator: _fits(text, separator) for separator in SEPARATORS}
    return max(SEPARATORS, key=lambda separator: fits[separator]), 0


def _fits(text: str, separator: str) -> tuple[bool, float, int]:
    """How well a separator fits: whether it gives columns at all, the share of rows that fit, the number of columns."""
    widths: list[int] = []
    try:
        for fields in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if any(field.strip() for field in fields):
                widths.append(len(_trimmed(fields)) if not widths else len(fields))
            if len(widths) > _SAMPLE:
                break
    except csv.Error:
        return False, 0.0, 0
    if not widths or widths[0] < 2:
        return False, 0.0, 0
    rows = Counter(widths[1:])
    # A row may end in separators of empty columns.
    usual = max(rows, key=lambda width: rows[width], default=widths[0])
    share = rows[usual] / rows.total() if rows and usual >= widths[0] else 0.0 if rows else 1.0
    return True, round(share, 2), widths[0]


def _records(path: Path, text: str, separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        records = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: not a readable table: {error}") from None
    records = records[skipped:]
    first = next((i for i, (_, fields) in enumerate(records) if any(fields)), len(records))
    # A blank last line is how files end, not an empty row.
    return [record for record in records[first:] if record[1]]


def _trimmed(fields: Sequence[str]) -> list[str]:
    kept = list(fields)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _header(path: Path, fields: Sequence[str]) -> list[str]:
    header = [field or f"{UNNAMED}{place}" for place, field in enumerate(_trimmed(fields), 1)]
    name, times = Counter(map(same_name, header)).most_common(1)[0]
    if times > 1:
        twice = [field for field in header if same_name(field) == name]
        raise TableError(
            f"{path}: columns {shortened(twice)} have one name (case, spaces and signs do not count): "
            "rename or delete one, or write a line of column names first if there is none"
        )
    return header


def _fit(path: Path, line: int, fields: list[str], width: int) -> list[str]:
    if len(fields) < width or any(fields[width:]):
        raise TableError(
            f"{path}, line {line}: {len(fields)} fields, but the header has {width} (a text with the separator in it "
            "needs quotes; a file that was cut off ends in a short row; titles and merged lines above the header have "
            "to be deleted)"
        )
    return fields[:width]
