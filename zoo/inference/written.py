"""Reads the tables that `writers` and clusters write, piece by piece: CSV, Parquet, and folders of Parquet parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo.core.csv import CsvColumns, read_pieces
from zoo.core.errors import TableError
from zoo.inference.parts import PLACE, open_part, require_whole
from zoo.inference.writers import require_parquet

#: A piece has about so many cells; the columns are told from so many rows.
_CELLS, _HEAD = 2**20, 1000

#: Fact of a part that tells what it is a part of, and the mark of a cluster's folder that is complete.
_PART, _SUCCESS = "zoo_part", "_SUCCESS"


class Piece(Protocol):
    """Some rows of a table."""

    def __len__(self) -> int: ...

    def texts(self, name: str) -> Sequence[str]:
        """A column as text, "" for a missing value."""
        ...

    def numbers(self, header: str) -> np.ndarray:
        """A column as float64 (true is 1), NaN for a missing value; raises `TableError` for text."""
        ...

    def error(self, row: int, header: str, problem: str) -> TableError:
        """Makes the error for a value in `row` of this piece."""
        ...


@dataclass(frozen=True)
class Written:
    """A table that is not in memory.

    Attributes:
        path: The file or folder.
        headers: Its columns.
        facts: What the file states of its origin, name -> text; {} for CSV.
    """

    path: Path
    headers: tuple[str, ...]
    facts: Mapping[str, str]
    _files: tuple[Path, ...]

    def head(self, headers: Sequence[str]) -> CsvColumns:
        """Returns up to 1,000 rows of the beginning of these columns, as text.

        Raises:
            TableError: There are no rows.
        """
        first = next((piece for piece in self.pieces(headers, _HEAD) if len(piece)), None)
        if first is None:
            raise TableError(f"{self.path}: the table has no rows")
        texts = {header: tuple(first.texts(header)) for header in headers}
        return CsvColumns(self.path, tuple(range(1, len(first) + 1)), texts)

    def pieces(self, headers: Sequence[str], most: int = _CELLS) -> Iterator[Piece]:
        """Yields all rows in order, with these columns alone in Parquet, at most `most` at a time."""
        if self._files[0].suffix != ".parquet":
            yield from read_pieces(self.path, min(most, max(1, _CELLS // len(self.headers))))
            return
        start = 0
        for file in self._files:
            with _parquet(file) as opened:
                if (names := _names(opened)) != self.headers:
                    raise TableError(f"{file}: its columns are not those of {self._files[0].name}: {', '.join(names)}")
                rows = min(most, max(1, _CELLS // max(len(headers), 1)))
                for batch in _batches(file, opened, rows, headers):
                    yield _Batch(file, start, batch)
                    start += len(batch)


def open_written(path: str | Path) -> Written:
    """Opens a table: `.csv` (gzipped or not), `.parquet`, or the complete folder of `zoo predict --engine ray`.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It is no table, or a part or an incomplete folder of one.
        UsageError: A part of a folder is missing.
        MissingExtraError: Parquet, and pyarrow is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "t.csv")
    ...     _ = path.write_text("image,Edema\\na.png,0.5\\n")
    ...     table = open_written(path)
    ...     [piece.numbers("Edema").tolist() for piece in table.pieces(table.headers)]
    [[0.5]]
    """
    path = Path(path)
    files = _files(path)
    if files[0].suffix != ".parquet":
        return Written(path, tuple(next(read_pieces(path, 1)).columns), {}, files)
    require_parquet(f"{path}: Parquet")
    with _parquet(files[0]) as opened:
        stated = (opened.metadata.metadata or {}).items()
        facts = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in stated}
        names = _names(opened)
    return Written(path, names, _origin(path, files, facts), files)


def _files(path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such table")
        return (path,)
    if not (path / _SUCCESS).is_file():
        raise TableError(
            f"{path}: a folder without manifest.json is no release, and one without {_SUCCESS} no complete table of "
            "`zoo predict --engine ray` (of shares, `zoo merge` makes one table)"
        )
    if not (files := tuple(sorted(path.glob("part-*.parquet")))):
        raise TableError(f"{path}: holds no part of a table")
    return files


def _origin(path: Path, files: Sequence[Path], facts: dict[str, str]) -> Mapping[str, str]:
    """The facts of a file; those of a cluster's folder stand in its parts, of which all have to be there."""
    if _PART not in facts:
        return facts
    if not path.is_dir():
        raise TableError(f"{path}: one part of a table: make the whole of it with `zoo merge`")
    parts = []
    for file in files:
        with open_part(file) as part:
            parts.append(part)
    require_whole(parts)
    job = parts[0].facts.job
    same = ("decision", "runtime", "zoo", "rejected images")
    stated = {"manifest_sha256": job.get("model")} | {name: job.get(name) for name in same}
    return {name: str(fact) for name, fact in stated.items() if fact}


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {next(iter(str(error).splitlines()), '')}") from None


def _batches(path: Path, opened: Any, rows: int, headers: Sequence[str]) -> Iterator[Any]:
    """Yields the rows of a file, which may turn out to be damaged."""
    import pyarrow as pa

    try:
        yield from opened.iter_batches(rows, columns=list(headers))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: damaged: {next(iter(str(error).splitlines()), '')}") from None


def _names(opened: Any) -> tuple[str, ...]:
    return tuple(name for name in opened.schema_arrow.names if name != PLACE)


class _Batch:
    """Rows of a Parquet file; `start` are before them."""

    def __init__(self, path: Path, start: int, batch: Any) -> None:
        self._path, self._start, self._batch = path, start, batch

    def __len__(self) -> int:
        return len(self._batch)

    def texts(self, name: str) -> Sequence[str]:
        return ["" if value is None else str(value) for value in self._batch.column(name).to_pylist()]

    def numbers(self, header: str) -> np.ndarray:
        import pyarrow as pa

        column = self._batch.column(header)
        kind = column.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise self.error(0, header, f"numbers are needed, got {kind}")
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)

    def error(self, row: int, header: str, problem: str) -> TableError:
        return TableError(f"{self._path}, row {self._start + row + 1}, column {header!r}: {problem}")
