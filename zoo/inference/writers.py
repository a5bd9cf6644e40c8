"""Writes tables of findings batch by batch as CSV and Parquet files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from zoo.core.errors import MissingExtraError, UsageError

#: Rows per row group of a Parquet file.
_GROUP = 2**17


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


def format_of(out: Path) -> Format:
    """Returns the format for a file's extension.

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
        raise UsageError(f"{out}: findings are written as .csv or .parquet, got {out.suffix or 'no ending'!r}")
    if find_spec("pyarrow") is None:
        raise MissingExtraError(f"{out}: Parquet", "pyarrow", "parquet", "or write .csv")
    return Parquet()


class Csv:
    """CSV in UTF-8, with numbers to six digits and empty fields for missing values."""

    name = "csv"

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        return table.to_csv(index=False, header=first, float_format="%.6g", lineterminator="\n").encode()

    def whole(self, pieces: Path) -> Path:
        """See `Format`."""
        return pieces


class Parquet:
    """Parquet, with numbers in full precision and nulls for missing values.

    A Parquet file cannot be appended to, so the pieces form an Arrow stream that is converted at the end.
    """

    name = "parquet"

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        import pyarrow as pa

        batch = pa.RecordBatch.from_pandas(table, _schema(table), preserve_index=False)
        return (batch.schema.serialize().to_pybytes() if first else b"") + batch.serialize().to_pybytes()

    def whole(self, pieces: Path) -> Path:
        """Converts the stream to Parquet, with about ten thousand images in memory at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = pieces.with_name("whole")
        with pa.ipc.open_stream(pieces) as stream, pq.ParquetWriter(whole, stream.schema) as writer:
            held: list[Any] = []
            for batch in stream:
                held.append(batch)
                if sum(map(len, held)) >= _GROUP:
                    writer.write_table(pa.Table.from_batches(held))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held))
        return whole


def _schema(table: pd.DataFrame) -> Any:
    """Derives the schema from the columns' kinds, not their values, as a batch may lack probabilities."""
    import pyarrow as pa

    kinds = {"f": pa.float32(), "b": pa.bool_()}
    return pa.schema([(name, kinds.get(table[name].dtype.kind, pa.string())) for name in table])
