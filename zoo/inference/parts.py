"""Parts of a table: Parquet files that say which share of which list they hold, and what made them.

A part has the columns of the table, and before them `PLACE`, the place of a row's unit (image or study) in the whole
list. What it is a part of stands in the metadata of its schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.counting import counted, listed
from zoo.core.errors import CheckpointError, TableError, UsageError
from zoo.inference import writers
from zoo.inference.resume import Mark, differences, folder_of, has_begun
from zoo.inference.shards import Share

#: First column of a part: the place of the row's image or study in the whole list.
PLACE = "place in list"

_KEY, _COUNTS, _VERSION = "zoo_part", "zoo_counts", 1

#: Rows of a row group of a part: a merge holds one of each part.
_GROUP = 2**14

#: Shards named in a message.
_NAMED = 8


@dataclass(frozen=True)
class PartFacts:
    """What a part is.

    Attributes:
        index: Which share, from 0.
        of: How many shares there are.
        units: Number of images or studies in the whole list.
        own: How many of them this part holds.
        job: What determines the content of the whole table, by name: the hash of the list, the model, its runtime.
        digits: Digits of a number in CSV.
    """

    index: int
    of: int
    units: int
    own: int
    job: Mapping[str, str | int]
    digits: int = 6


def facts_of_share(share: Share, job: Mapping[str, str | int], digits: int = 6) -> PartFacts:
    """The facts of the part that holds a share; `job` is that of the whole table."""
    whole = dict(job) | share.whole
    return PartFacts(share.shard.index, share.shard.of, share.units, len(share.places), whole, digits)


class PartFormat(writers.Parquet):
    """The format of a part.

    Args:
        facts: What it is.
        metadata: Facts of the whole table, kept in the schema of the merged file as well.

    Attributes:
        facts: What it is.
        done: The counts of what is written; set by who writes.
    """

    def __init__(self, facts: PartFacts, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(dict(metadata or {}) | {_KEY: _text(facts)}, group=_GROUP)
        self.facts, self.done = facts, Mark()

    def facts_at_end(self) -> Mapping[str, str]:
        """The counts, which are known when all rows are written."""
        return {_COUNTS: json.dumps(asdict(self.done))}


def count(kind: writers.Format, done: Mark) -> None:
    """Tells a part how much of it is written; other formats keep no counts."""
    if isinstance(kind, PartFormat):
        kind.done = done


def placed(table: pd.DataFrame, places: np.ndarray) -> pd.DataFrame:
    """Puts the place of each unit before its rows.

    Args:
        table: The rows of some units, the same number for each.
        places: int64 (units,).

    Example:
        >>> placed(pd.DataFrame({"image": ["a", "a", "b", "b"]}), np.array([3, 7]))[PLACE].tolist()
        [3, 3, 7, 7]
    """
    each = len(table) // max(len(places), 1)
    table.insert(0, PLACE, np.repeat(places.astype(np.int64), each))
    return table


def nothing(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of an empty part; `table` is of any unit, since a table made of none has no types.

    Example:
        >>> nothing(pd.DataFrame({"image": ["a"]})).columns.tolist()
        ['place in list', 'image']
    """
    return placed(table, np.zeros(1, np.int64)).iloc[:0]


@dataclass(frozen=True, eq=False)
class Part:
    """An open part.

    Attributes:
        path: Its file.
        facts: What it is.
        done: Its counts.
        schema: The Arrow schema of the table it is a part of: without the column of places and the facts.
        rows: Its number of rows.
        batches: Yields its rows in order, as Arrow record batches of at most so many rows.
    """

    path: Path
    facts: PartFacts
    done: Mark
    schema: Any
    rows: int
    batches: Callable[[int], Iterator[Any]]


@contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """Opens a part.

    Raises:
        TableError: The file is no part: no Parquet file, or one without the facts of a part.
        FileNotFoundError: There is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such part")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{path}: not a part of a table, it cannot be read as Parquet ({_first_line(error)})"
        ) from None
    with file:
        schema = file.schema_arrow
        metadata = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
        facts, done = _facts(path, metadata.pop(_KEY, None), metadata.pop(_COUNTS, "{}"))
        if schema.names[:1] != [PLACE]:
            raise TableError(f"{path}: a part begins with a column {PLACE!r}, this file has {', '.join(schema.names)}")
        metadata.pop("ARROW:schema", None)
        if "pandas" in metadata:
            metadata["pandas"] = _without_place(metadata["pandas"])
        table = pa.schema(list(schema)[1:], metadata=metadata or None)

        def batches(rows: int) -> Iterator[Any]:
            yield from file.iter_batches(batch_size=rows)

        yield Part(path, facts, done, table, file.metadata.num_rows, batches)


def require_whole(parts: Sequence[Part]) -> None:
    """Refuses parts that are not all parts of one table, each once.

    Args:
        parts: One or more; they may have been closed.

    Raises:
        TableError: They are of different lists, models or numbers of shards; shows both.
        UsageError: One is missing or given twice; names it.
    """
    _require_one_job(parts)
    _require_all(parts)


def _require_one_job(parts: Sequence[Part]) -> None:
    """Refuses parts of different tables."""
    first = parts[0]
    for other in parts[1:]:
        one, two = first.facts.job, other.facts.job
        if changed := [name for name in {**one, **two} if one.get(name) != two.get(name)]:
            told = "; ".join(f"{name} {one.get(name)} and {two.get(name)}" for name in changed[:_NAMED])
            raise TableError(f"{first.path} and {other.path} are parts of different tables: {told}")
        if not first.schema.equals(other.schema):
            raise TableError(
                f"{first.path} and {other.path} have different columns: {', '.join(first.schema.names)} there and "
                f"{', '.join(other.schema.names)} here"
            )


def _require_all(parts: Sequence[Part]) -> None:
    """Refuses gaps and doubles."""
    by_index: dict[int, Path] = {}
    for part in parts:
        index = part.facts.index
        if index in by_index:
            raise UsageError(f"shard {index} of {part.facts.of} is given twice: {by_index[index]} and {part.path}")
        by_index[index] = part.path
    of = parts[0].facts.of
    if missing := [str(index) for index in range(of) if index not in by_index]:
        named = listed(missing, _NAMED)
        given = counted(len(parts), "part")
        one = len(missing) == 1
        what = f"shard {named} is missing: score it" if one else f"shards {named} are missing: score them"
        raise UsageError(f"of {of} shards, {given} came, and {what}, then give all of them")
    own, units = sum(part.facts.own for part in parts), parts[0].facts.units
    if own != units:
        raise TableError(f"{parts[0].path} and the others hold {own:,} images or studies, the list has {units:,}")


def complete(path: Path, facts: PartFacts) -> Mark | None:
    """Returns the counts of a finished part; None if there is none, or if a run that replaces it was stopped.

    Args:
        path: A part that may exist.
        facts: What it has to be.

    Raises:
        CheckpointError: It is of another job (the message names what differs), or it is no part.
    """
    if not path.exists() or has_begun(folder_of(path)):
        return None
    try:
        with open_part(path) as part:
            then, counts = part.facts, part.done
    except TableError as error:
        raise CheckpointError(f"{error}: --replace (restart=True) writes it anew, or choose another file") from None
    before, after = _flat(then), _flat(facts)
    if changes := differences(before, after):
        raise CheckpointError(
            f"{path} exists and is of another job ({'; '.join(changes[:8])}): --replace (restart=True) writes it anew, "
            "or choose another file"
        )
    return counts


def _flat(facts: PartFacts) -> dict[str, str | int]:
    return dict(facts.job) | {"shard": f"{facts.index}/{facts.of}"}


def _text(facts: PartFacts) -> str:
    return json.dumps(asdict(facts) | {"version": _VERSION})


def _facts(path: Path, text: str | None, counts: str) -> tuple[PartFacts, Mark]:
    if text is None:
        raise TableError(f"{path}: not a part of a table: `zoo predict --shard I/N` writes parts")
    try:
        data = json.loads(text)
        version = data.pop("version")
        if version != _VERSION:
            raise TableError(f"{path}: a part of version {version}, this version reads {_VERSION}: update xrayslam-zoo")
        facts, done = PartFacts(**data), Mark(**json.loads(counts))
        whole = all(type(number) is int for number in (facts.index, facts.of, facts.units, facts.own, facts.digits))
        if not whole or not 0 <= facts.index < facts.of or not isinstance(facts.job, dict):
            raise ValueError("numbers that do not fit")
    except TableError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TableError(f"{path}: what it is a part of cannot be read ({error}): score that shard again") from None
    return facts, done


def _without_place(text: str) -> str:
    """What pandas notes of the columns, without that of the places."""
    data = json.loads(text)
    data["columns"] = [column for column in data["columns"] if column["name"] != PLACE]
    return json.dumps(data)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
