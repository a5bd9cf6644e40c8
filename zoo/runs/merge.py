"""`zoo merge`: makes one table of the parts that `zoo predict --shard` and `zoo embed --shard` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import TableError, UsageError
from zoo.core.files import whole_file
from zoo.core.progress import Progress
from zoo.inference import writers
from zoo.inference.parts import PLACE, Part, open_part, require_whole
from zoo.inference.resume import total

#: Rows that are put in order at a time.
_ROWS = writers.GROUP

#: Rows of a part that are read at a time.
_READ = 2**14

#: Files that are open beside the parts, at most.
_OTHER_FILES = 64


@dataclass(frozen=True)
class Merged:
    """What a merged table holds.

    Attributes:
        parts: Number of parts.
        units: Number of images, or of studies in a table by study.
        rows: Number of rows.
        images: Number of images.
        unreadable: How many of them have no prediction.
        rejected: How many of them the quality checks reject.
        doubtful: How many of them they doubt.
    """

    parts: int
    units: int
    rows: int
    images: int
    unreadable: int
    rejected: int
    doubtful: int


def merge(places: Sequence[Path], out: Path, progress: Progress) -> Merged:
    """Writes the table that one process would have written, from all parts of it; `out` appears when it is complete.

    Memory is bounded: the rows are put in order a piece at a time, in which each part has one row group.

    Args:
        places: The parts, or folders of parts.
        out: `.csv` or `.parquet` file to write; it is replaced if it exists.
        progress: Receives the progress.

    Raises:
        UsageError: A part is missing or given twice; names it. Or there is none, or more than can be open at once.
        TableError: Parts are of different lists, models or numbers of shards (the message shows both), a file is no
            part, or a row is missing or twice.
        ValueError: `out` has another extension.
    """
    kind = writers.format_of(out, "merged tables")
    writers.require_parquet("parts of a table")
    with ExitStack() as stack:
        paths = _files(places)
        _allow_open(len(paths))
        parts = [stack.enter_context(open_part(path)) for path in paths]
        require_whole(parts)
        parts.sort(key=lambda part: part.facts.index)
        with whole_file(out) as new:
            rows = _write(parts, new, kind, progress)
    done = total(part.done for part in parts)
    return Merged(len(parts), parts[0].facts.units, rows, done.items, done.failed, done.rejected, done.doubtful)


def _files(places: Sequence[Path]) -> list[Path]:
    """The parts in folders, and those given; one that is given twice counts once."""
    found: dict[Path, Path] = {}
    for place in places:
        inside = sorted(place.glob("[!_.]*.parquet")) if place.is_dir() else [place]
        if not inside:
            raise UsageError(f"{place}: no part in this folder: `zoo predict --shard I/N` writes parts")
        for path in inside:
            found.setdefault(path.absolute(), path)
    if not found:
        raise UsageError("no part was given: `zoo predict --shard I/N` writes parts")
    return list(found.values())


def _allow_open(files: int) -> None:
    """Lets this process have so many files open, which Linux and macOS allow where it is asked for.

    Raises:
        UsageError: The system does not allow it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    most, utmost = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHER_FILES
    if most == resource.RLIM_INFINITY or wanted <= most:
        return
    if utmost != resource.RLIM_INFINITY and wanted > utmost:
        raise UsageError(
            f"{counted(files, 'part')} are read at once, and this system lets a process open {utmost:,} files: raise "
            "the limit (`ulimit -Hn`), or score fewer shards"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, utmost))


def _write(parts: Sequence[Part], new: Path, kind: writers.Format, progress: Progress) -> int:
    """Writes the rows in the order of the list; returns their number."""
    import pyarrow.parquet as pq

    facts, schema, total = parts[0].facts, parts[0].schema, sum(part.rows for part in parts)
    step = max(1, _ROWS * facts.units // max(total, 1))
    with progress.task("merging rows", total) as advance:
        if kind.name == "parquet":
            with pq.ParquetWriter(new, schema) as writer:
                for table in _in_order(parts, step):
                    writer.write_table(table)
                    advance(len(table))
            return total
        csv = writers.Csv(facts.digits)
        with new.open("wb") as file:
            file.write(csv.piece(schema.empty_table().to_pandas(), first=True))
            for table in _in_order(parts, step):
                file.write(csv.piece(table.to_pandas(), first=False))
                advance(len(table))
    return total


def _in_order(parts: Sequence[Part], step: int) -> Iterator[Any]:
    """Yields the rows of `step` units after the other, in order, and without their places.

    Raises:
        TableError: A unit is missing or twice.
    """
    import pyarrow as pa

    readers = [_Reader(part) for part in parts]
    for start in range(0, parts[0].facts.units, step):
        end = min(start + step, parts[0].facts.units)
        tables = [reader.before(end) for reader in readers]
        owners = np.concatenate([np.unique(table.column(PLACE).to_numpy()) for table in tables])
        units, counts = np.unique(owners, return_counts=True)
        if len(units) != end - start or (counts != 1).any() or units[0] != start or units[-1] != end - 1:
            place = int(units[counts > 1][0]) if (counts > 1).any() else _first_gap(units, start)
            what = "twice" if (counts > 1).any() else "missing"
            raise TableError(
                f"{parts[0].path} and the others: number {place + 1:,} of the list is {what}: score the shards again"
            )
        table = pa.concat_tables(tables)
        order = np.argsort(table.column(PLACE).to_numpy(), kind="stable")
        yield table.take(pa.array(order)).drop_columns([PLACE]).cast(parts[0].schema)


def _first_gap(units: np.ndarray, start: int) -> int:
    wrong = np.flatnonzero(units != start + np.arange(len(units)))
    return start + int(wrong[0] if len(wrong) else len(units))


class _Reader:
    """Reads a part row group by row group, in order."""

    def __init__(self, part: Part) -> None:
        import pyarrow as pa

        self._batches = part.batches(_READ)
        self._held: Any = pa.schema([(PLACE, pa.int64()), *part.schema]).empty_table()
        self._open = True

    def before(self, end: int) -> Any:
        """The next rows whose unit comes before `end`."""
        import pyarrow as pa

        held = [self._held]
        while self._open and not (len(held[-1]) and held[-1].column(PLACE)[-1].as_py() >= end):
            batch = next(self._batches, None)
            if batch is None:
                self._open = False
            else:
                held.append(pa.Table.from_batches([batch]).replace_schema_metadata(None))
        table = pa.concat_tables(held)
        cut = int(np.searchsorted(table.column(PLACE).to_numpy(), end))
        self._held = table.slice(cut)
        return table.slice(0, cut)
