"""A file that is written piece by piece and goes on after a kill, to the very bytes of an uninterrupted run."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from zoo.core.errors import CheckpointError


@dataclass(frozen=True)
class Mark:
    """How far a file is whole.

    Attributes:
        items: Items done.
        failed: How many of them failed.
        size: Bytes of the file.
        crc: CRC-32 of these bytes.
    """

    items: int = 0
    failed: int = 0
    size: int = 0
    crc: int = 0


class Journal:
    """A file in the making, from `open_journal`.

    Attributes:
        done: The last mark.
    """

    def __init__(self, done: Mark, rows: BinaryIO, record: BinaryIO) -> None:
        self.done = done
        self._rows, self._record = rows, record

    def append(self, piece: bytes, items: int, failed: int = 0) -> None:
        """Adds the results of `items` more items, `failed` of which failed; once it returns they survive a kill."""
        before = self.done
        self._rows.write(piece)
        self._rows.flush()
        size, crc = before.size + len(piece), zlib.crc32(piece, before.crc)
        self.done = Mark(before.items + items, before.failed + failed, size, crc)
        # The mark follows its bytes: a kill between the two costs this piece and no more.
        self._record.write(_line(asdict(self.done)))
        self._record.flush()


def folder_of(out: Path) -> Path:
    """Where a file lies until it is whole: beside its place, so that taking it is one step."""
    return out.with_name(f".{out.name}.partial")


@contextmanager
def open_journal(
    out: Path, job: Mapping[str, str | int], *, restart: bool = False, whole: Callable[[Path], Path] = lambda rows: rows
) -> Iterator[Journal]:
    """Begins a file, or goes on with it where an earlier run of the same job was stopped.

    A run may end at any instant, by SIGKILL or with the machine's power. What is gone on with is the longest
    beginning of the file that its record bears out to the bit. After an error in the block it stays for the next
    run; after the block it takes the place of `out`, and nothing else is left.

    Args:
        out: Where the file shall lie when it is whole.
        job: What makes its bytes: name of each fact -> text or number.
        restart: Drop what is there and begin again.
        whole: Gives the file that shall lie at `out` for the one that was written: itself, or one made beside it.

    Raises:
        CheckpointError: The earlier run was of another job, said with the facts that differ; or it still runs.
    """
    folder = folder_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock", out):
        rows, record = folder / "rows", folder / "record.jsonl"
        if restart:
            record.unlink(missing_ok=True)
        done, length = _stopped(rows, record, job, out)
        with rows.open("ab") as file, record.open("ab") as marks:
            file.truncate(done.size)
            marks.truncate(length)
            if not length:
                marks.write(_line(job))
                marks.flush()
            journal = Journal(done, file, marks)
            try:
                yield journal
            except BaseException:
                if not journal.done.items:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            os.fsync(file.fileno())
        whole(rows).replace(out)
        shutil.rmtree(folder, ignore_errors=True)


def _stopped(rows: Path, record: Path, job: Mapping[str, str | int], out: Path) -> tuple[Mark, int]:
    """The last mark of an earlier run that its file bears out, and the bytes of the record up to it."""
    if not rows.exists() or not record.exists():
        return Mark(), 0
    done, length, crc = Mark(), 0, 0
    with rows.open("rb") as file, record.open("rb") as lines:
        for line in lines:
            data = _parse(line)
            if not data:  # cut off
                break
            if not length:
                _require_same(data, job, out)
            else:
                mark = Mark(**data)
                crc = zlib.crc32(file.read(mark.size - done.size), crc)
                if file.tell() != mark.size or crc != mark.crc:
                    break
                done = mark
            length += len(line)
    return done, length


def _require_same(then: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    changes = [f"{name} was {then.get(name)}, is {now.get(name)}" for name in names]
    if changes:
        raise CheckpointError(
            f"{out}: a stopped run of another job waits in {folder_of(out).name} ({'; '.join(changes)}): give the "
            "first command again to go on with it, or --restart (restart=True) to drop it"
        )


@contextmanager
def _alone(lock: Path, out: Path) -> Iterator[None]:
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise CheckpointError(f"{out}: another process is writing this file") from None


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    """What a whole line holds; {} of one that was cut off."""
    try:
        data = json.loads(line) if line.endswith(b"\n") else {}
    except ValueError:
        data = {}
    return data if isinstance(data, dict) else {}
