"""The folder of results of a cluster: a Parquet file for each piece of the list, and what follows when all are there.

part-00000.parquet ...   rows in the order of the list; each appears whole, and says what it is a part of
_unreadable.parquet      a row for each image without a prediction: image, error
_SUCCESS                 JSON: what was scored, by what, and the counts; written last
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.errors import CheckpointError, StateError
from zoo.core.files import whole_file, write_json
from zoo.inference import parts
from zoo.inference.parts import PartFacts, PartFormat
from zoo.inference.resume import Mark, total
from zoo.inference.stream import Prediction

SUCCESS, UNREADABLE, _TRIES = "_SUCCESS", "_unreadable.parquet", "_tries"

#: A piece at which so many workers have died is given up: something in it kills them.
MOST_TRIES = 10


@dataclass(frozen=True)
class Pieces:
    """How a list is cut, and what its parts state.

    Attributes:
        folder: Where the parts are.
        images: Number of images of the list.
        size: Images of a piece.
        job: What determines the rows, by name.
    """

    folder: Path
    images: int
    size: int
    job: Mapping[str, str | int]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return -(-self.images // self.size)

    def span(self, index: int) -> tuple[int, int]:
        """First image of a piece, and the one behind its last."""
        return index * self.size, min((index + 1) * self.size, self.images)

    def path(self, index: int) -> Path:
        """The part of a piece."""
        return self.folder / f"part-{index:05d}.parquet"

    def facts(self, index: int) -> PartFacts:
        """What the part of a piece states."""
        start, end = self.span(index)
        return PartFacts(index, self.count, self.images, end - start, self.job)

    def finished(self, index: int) -> Mark | None:
        """The counts of a part that is written; None if it is not.

        Raises:
            CheckpointError: The part is of another job; names what differs.
        """
        return parts.complete(self.path(index), self.facts(index))

    def write(self, index: int, batches: Iterator[Prediction], table_of: Callable[[Prediction], pd.DataFrame]) -> Mark:
        """Writes the part of a piece, which appears whole or not at all; returns its counts.

        Args:
            index: Which piece.
            batches: The predictions of its images, in order.
            table_of: Makes the rows of a batch.
        """
        kind, done = PartFormat(self.facts(index)), Mark()
        place = self.span(index)[0]
        with whole_file(self.path(index)) as new:
            rows = new.with_name("rows")
            with rows.open("wb") as file:
                for batch in batches:
                    n = len(batch.names)
                    table = parts.placed(table_of(batch), np.arange(place, place + n))
                    file.write(kind.piece(table, first=not done.items))
                    failed, rejected, doubtful = batch.counts
                    done = total([done, Mark(n, failed, rejected=rejected, doubtful=doubtful)])
                    place += n
            kind.done = done
            kind.whole(rows).replace(new)
        return done

    def begin(self, index: int) -> None:
        """Notes that a worker begins a piece.

        Raises:
            StateError: So many workers began it and did not end it that something in it must kill them.
        """
        tries = self.folder / _TRIES / f"{index:05d}"
        tries.parent.mkdir(exist_ok=True)
        with tries.open("ab") as file:
            file.write(b".")
            begun = file.tell()
        if begun > MOST_TRIES:
            start, end = self.span(index)
            raise StateError(
                f"{self.folder}: {MOST_TRIES} workers died at images {start + 1:,} to {end:,} of the list: one of them "
                "may take more memory than a worker has; look at the logs of Ray, or leave it out"
            )

    def forget_tries(self) -> None:
        """Forgets which pieces were begun; a new run tries each again."""
        shutil.rmtree(self.folder / _TRIES, ignore_errors=True)

    def finish(self, model: str) -> Mark:
        """Writes the table of unreadable images and the marker of success; returns the counts of all parts.

        Raises:
            CheckpointError: A part is not there.
        """
        marks, bad = [], []
        for index in range(self.count):
            mark = self.finished(index)
            if mark is None:
                raise CheckpointError(f"{self.path(index)} is missing: the same command writes it")
            marks.append(mark)
            if mark.failed or mark.rejected:
                bad.append(_unreadable(self.path(index)))
        none = pd.DataFrame({"image": pd.Series(dtype=str), "error": pd.Series(dtype=str)})
        with whole_file(self.folder / UNREADABLE) as new:
            pd.concat([none, *bad], ignore_index=True).to_parquet(new, index=False)
        done = total(marks)
        counts = {"images": done.items, "unreadable": done.failed, "rejected": done.rejected, "doubtful": done.doubtful}
        write_json(self.folder / SUCCESS, {"model": model, "parts": self.count, **counts, "job": dict(self.job)})
        self.forget_tries()
        return done


def refuse_other(folder: Path) -> None:
    """Refuses a folder that holds something else, so that nothing is mixed with results.

    Raises:
        CheckpointError: It is a file, or holds files that are no results.
    """
    if folder.is_file():
        raise CheckpointError(f"{folder} exists and is no folder: --engine ray writes a folder of parts")
    known = {SUCCESS, UNREADABLE, _TRIES}
    inside: Sequence[Path] = sorted(folder.iterdir()) if folder.is_dir() else []
    if other := [p.name for p in inside if p.name not in known and not p.name.startswith(("part-", "."))]:
        raise CheckpointError(f"{folder} exists and holds {other[0]!r}, which is no part of a result: choose another")


def drop(folder: Path) -> None:
    """Deletes the results of an earlier run."""
    for path in (*folder.glob("part-*.parquet"), folder / SUCCESS, folder / UNREADABLE):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / _TRIES, ignore_errors=True)


def summary(folder: Path) -> Mapping[str, object]:
    """What the marker of success states; empty if there is none.

    >>> summary(Path("no such folder"))
    {}
    """
    path = folder / SUCCESS
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _unreadable(part: Path) -> pd.DataFrame:
    table = pd.read_parquet(part, columns=["image", "error"])
    return table[~table["error"].isin(["", "not trained"])].drop_duplicates("image")
