"""Writes tables of findings batch by batch as CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from zoo.core.errors import MissingExtraError, UsageError

#: A row group of a Parquet file has about so many rows, or so many numbers in a table of many columns.
GROUP, CELLS = 2**17, 2**23


class Format(Protocol):
    """A file format.

    Attributes:
        name: File extension without the dot.
    """

    name: str

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """Encodes the next rows; the first piece includes the column names."""
        ...

    def whole(self, pieces: Path) -> Path:
        """Converts a file of all concatenated pieces to the finished file: the same path, or a new file beside it."""
        ...


def format_of(out: Path, what: str = "findings", metadata: Mapping[str, str] | None = None) -> Format:
    """Returns the format for a file's extension.

    Args:
        out: The file.
        what: What is written, for the message.
        metadata: Facts that a Parquet file keeps in its schema, name -> text.

    Raises:
        ValueError: The extension is neither `.csv` nor `.parquet`.
        ImportError: Parquet is requested but pyarrow is not installed.

    Example:
        >>> format_of(Path("findings.csv")).name
        'csv'
    """
    if out.suffix == ".csv":
        return Csv()
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: {what} are written as .csv or .parquet, got {out.suffix or 'no ending'!r}")
    require_parquet(f"{out}: Parquet", "or write .csv")
    return Parquet(metadata)


def require_parquet(what: str, hint: str = "") -> None:
    """Raises `MissingExtraError` if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise MissingExtraError(what, "pyarrow", "parquet", hint)


class Csv:
    """CSV in UTF-8, with empty fields for missing values.

    Args:
        digits: Digits of a number; nine keep every bit of a float32.
    """

    name = "csv"

    def __init__(self, digits: int = 6) -> None:
        self._format = f"%.{digits}g"

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        return table.to_csv(index=False, header=first, float_format=self._format, lineterminator="\n").encode()

    def whole(self, pieces: Path) -> Path:
        """See `Format`."""
        return pieces


class Parquet:
    """Parquet, with numbers in full precision and nulls for missing values.

    A Parquet file cannot be appended to, so the pieces form an Arrow stream that is converted at the end.

    Args:
        metadata: Facts to keep in the schema of the file, name -> text.
        group: Rows of a row group; `GROUP` by default.
    """

    name = "parquet"

    def __init__(self, metadata: Mapping[str, str] | None = None, group: int | None = None) -> None:
        self._metadata, self._group = dict(metadata or {}), group or GROUP

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        import pyarrow as pa

        batch = pa.RecordBatch.from_pandas(table, _schema(table, self._metadata), preserve_index=False)
        return (batch.schema.serialize().to_pybytes() if first else b"") + batch.serialize().to_pybytes()

    def whole(self, pieces: Path) -> Path:
        """Converts the stream to Parquet, with about ten thousand images (or 32 MB of features) in memory at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = pieces.with_name("whole")
        with pa.ipc.open_stream(pieces) as stream, pq.ParquetWriter(whole, stream.schema) as writer:
            held: list[Any] = []
            for batch in stream:
                held.append(batch)
                rows = sum(map(len, held))
                if rows >= self._group or rows * len(stream.schema) >= CELLS:
                    writer.write_table(pa.Table.from_batches(held))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held))
            if facts := self.facts_at_end():
                writer.add_key_value_metadata(dict(facts))
        return whole

    def facts_at_end(self) -> Mapping[str, str]:
        """Facts to keep in the file that are known only when all rows are written, name -> text."""
        return {}


def _schema(table: pd.DataFrame, metadata: Mapping[str, str]) -> Any:
    """Derives the schema from the columns' kinds, not their values, as a batch may lack probabilities."""
    import pyarrow as pa

    kinds = {"f": pa.float32(), "b": pa.bool_(), "i": pa.int64()}
    fields = [(name, kinds.get(table[name].dtype.kind, pa.string())) for name in table]
    return pa.schema(fields, metadata=dict(metadata) or None)
