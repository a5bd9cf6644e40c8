"""Tables of findings as files that are written batch by batch: CSV and Parquet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from zoo.core.errors import MissingExtraError, UsageError

#: Rows of a Parquet file that are packed together.
_GROUP = 2**17


class Format(Protocol):
    """A kind of file.

    Attributes:
        name: Its ending without the dot.
    """

    name: str

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """The next rows; the first ones have the columns' names with them."""
        ...

    def whole(self, pieces: Path) -> Path:
        """The file that a file of all pieces, one behind the other, stands for: itself, or one beside it."""
        ...


def format_of(out: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        ValueError: Neither `.csv` nor `.parquet`.
        ImportError: Parquet without pyarrow.
    """
    if out.suffix == ".csv":
        return Csv()
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: findings are written as .csv or .parquet, got {out.suffix or 'no ending'!r}")
    if find_spec("pyarrow") is None:
        raise MissingExtraError(f"{out}: Parquet", "pyarrow", "parquet", "or write .csv")
    return Parquet()


class Csv:
    """UTF-8, numbers with six digits, nothing where there is none."""

    name = "csv"

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        return table.to_csv(index=False, header=first, float_format="%.6g", lineterminator="\n").encode()

    def whole(self, pieces: Path) -> Path:
        """See `Format`."""
        return pieces


class Parquet:
    """Numbers with all their bits, null where there is none.

    Nothing can be added to a Parquet file, so that the pieces are an Arrow stream, which is packed in the end.
    """

    name = "parquet"

    def piece(self, table: pd.DataFrame, first: bool) -> bytes:
        """See `Format`."""
        import pyarrow as pa

        batch = pa.RecordBatch.from_pandas(table, _schema(table), preserve_index=False)
        return (batch.schema.serialize().to_pybytes() if first else b"") + batch.serialize().to_pybytes()

    def whole(self, pieces: Path) -> Path:
        """Packs the stream, with some ten thousand images in memory at a time."""
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
    """By the columns' kinds and not by their values: a batch may have no probability at all, or only some."""
    import pyarrow as pa

    kinds = {"f": pa.float32(), "b": pa.bool_()}
    return pa.schema([(name, kinds.get(table[name].dtype.kind, pa.string())) for name in table])
