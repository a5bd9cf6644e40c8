"""Writes a file in pieces that can be resumed after a kill, with the same bytes as an uninterrupted run."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from zoo.core.errors import CheckpointError
from zoo.core.files import sync, told
from zoo.data.contents import Content

_HINT = "--replace (restart=True) drops it and begins again"

#: Digits of the CRC-32 before each line of a record, and maximum length of a fact in a message.
_CRC_DIGITS, _SHOWN = 8, 60

_NUMBERS = ("items", "failed", "size", "crc", "rejected", "doubtful")


@dataclass(frozen=True)
class Mark:
    """State of a partial file up to which it is complete.

    Attributes:
        items: Number of finished items.
        failed: Number of these that failed.
        size: Size of the file in bytes.
        crc: CRC-32 of these bytes.
        rejected: Number of items that the quality checks reject.
        doubtful: Number of items that they doubt.
    """

    items: int = 0
    failed: int = 0
    size: int = 0
    crc: int = 0
    rejected: int = 0
    doubtful: int = 0


def total(marks: Iterable[Mark]) -> Mark:
    """Adds up the counts of items of several files, or of batches of one.

    >>> total([Mark(5, 1), Mark(3, rejected=2)])
    Mark(items=8, failed=1, size=0, crc=0, rejected=2, doubtful=0)
    """
    each = [(mark.items, mark.failed, mark.rejected, mark.doubtful) for mark in marks]
    items, failed, rejected, doubtful = (sum(column) for column in zip((0, 0, 0, 0), *each, strict=True))
    return Mark(items, failed, rejected=rejected, doubtful=doubtful)


@dataclass
class _Record:
    """Verified state of a record: the last mark, the files of its items, and the record's length and last CRC."""

    done: Mark
    files: list[tuple[str, Content]]
    length: int = 0
    crc: int = 0


class Journal:
    """A file being written, from `open_journal`.

    Attributes:
        done: Last mark.
        files: Files that the items were made from, with their content, as given to `append`.
    """

    def __init__(self, found: _Record, rows: BinaryIO, record: BinaryIO) -> None:
        self.done, self.files, self._crc = found.done, found.files, found.crc
        self._rows, self._record = rows, record

    def append(
        self,
        piece: bytes,
        items: int,
        failed: int = 0,
        files: Sequence[tuple[str, Content]] = (),
        rejected: int = 0,
        doubtful: int = 0,
    ) -> None:
        """Adds the results of `items` more items, with the counts of `Mark`; after it returns they survive a kill."""
        before = self.done
        self._rows.write(piece)
        self._rows.flush()
        size, crc = before.size + len(piece), zlib.crc32(piece, before.crc)
        counts = before.rejected + rejected, before.doubtful + doubtful
        self.done = Mark(before.items + items, before.failed + failed, size, crc, *counts)
        self.files += files
        # The mark follows its bytes, so that a kill between the two loses only this piece.
        line, self._crc = _line(asdict(self.done) | {"files": [[path, *held] for path, held in files]}, self._crc)
        self._record.write(line)
        self._record.flush()


def folder_of(out: Path) -> Path:
    """Returns the path of the partial file: in the same folder, so that one rename completes it.

    >>> folder_of(Path("findings.csv")).name
    '.findings.csv.partial'
    """
    return out.with_name(f".{out.name}.partial")


def has_begun(folder: Path) -> bool:
    """Whether a partial file waits in its folder for a run that goes on with it.

    >>> has_begun(Path("no such folder"))
    False
    """
    return (folder / "record.jsonl").exists()


@contextmanager
def open_journal(
    out: Path, job: Mapping[str, str | int], *, restart: bool = False, whole: Callable[[Path], Path] = lambda rows: rows
) -> Iterator[Journal]:
    """Starts a file, or continues it if an earlier run of the same job was interrupted.

    A run may end at any instant, by SIGKILL or a power failure. The next run continues from the longest part of the
    file that its record verifies bit by bit; each line of the record has a CRC-32 of itself and all earlier lines. If
    the block raises an error, the partial file is kept for the next run; if it succeeds, the file replaces `out`, and
    nothing else is left.

    Args:
        out: Path of the finished file.
        job: Facts that determine the bytes of the file: name -> text or number.
        restart: Whether to delete an earlier partial file and start again.
        whole: Given the path of the written file, returns the file to move to `out`: the same, or one made beside it.

    Raises:
        CheckpointError: The earlier run was of another job (the message lists the facts that differ), is still running,
            or has an unreadable record.
        WriteError: The disk is full, or nothing may be written there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = Path(folder) / "findings.csv"
        ...     with open_journal(out, {"model": "demo"}) as journal:
        ...         journal.append(b"a.png,0.5", items=1)
        ...     out.read_text()
        'a.png,0.5'
    """
    folder = folder_of(out)
    stays = "the results so far are kept; the same command goes on from there"
    with told(out, stays), _made(folder), _alone(folder / "lock", out):
        rows, record = folder / "rows", folder / "record.jsonl"
        if restart:
            _drop(rows, record)
        found = _stopped(rows, record, job, out)
        with rows.open("ab") as file, record.open("ab") as lines:
            file.truncate(found.done.size)
            lines.truncate(found.length)
            if not found.length:
                line, found.crc = _line(job, 0)
                lines.write(line)
                lines.flush()
            journal = Journal(found, file, lines)
            try:
                yield journal
            except BaseException:
                if not journal.done.items:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            os.fsync(file.fileno())
        finished = whole(rows)
        sync(finished)
        finished.replace(out)
        sync(out.parent)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    yield


def _drop(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _stopped(rows: Path, record: Path, job: Mapping[str, str | int], out: Path) -> _Record:
    """Returns the part of an earlier run that can be continued.

    A truncated or altered line and all lines after it are dropped. A record whose first line is intact but not in our
    format is refused, because the origin of the rows beside it is unknown.
    """
    found = _Record(Mark(), [])
    if not rows.exists() or not record.exists():
        return found
    if not rows.is_file() or not record.is_file():
        raise CheckpointError(f"{folder_of(out)}: not what a stopped run leaves behind; {_HINT}")
    size = rows.stat().st_size
    with rows.open("rb") as file, record.open("rb") as lines:
        for line in lines:
            data, crc = _parse(line, found.crc)
            if not found.length:
                if data is None and line.endswith(b"\n"):
                    raise CheckpointError(f"{record}: the record of a stopped run cannot be read; {_HINT}")
                if data is None:
                    break
                _require_same(data, job, out)
            else:
                marked = _marked(data, found.done)
                if marked is None or marked[0].size > size:
                    break
                mark, files = marked
                read = zlib.crc32(file.read(mark.size - found.done.size), found.done.crc)
                if file.tell() != mark.size or read != mark.crc:
                    break
                found.done = mark
                found.files += files
            found.length, found.crc = found.length + len(line), crc
    return found


def _marked(data: Mapping[str, Any] | None, before: Mark) -> tuple[Mark, list[tuple[str, Content]]] | None:
    """Returns a mark and its files, or None if a line holds anything else or a mark before the previous one."""
    if data is None or data.keys() != {*_NUMBERS, "files"} or not isinstance(data["files"], list):
        return None
    numbers = {name: data[name] for name in _NUMBERS}
    if not all(type(number) is int and number >= 0 for number in numbers.values()):
        return None
    mark = Mark(**numbers)
    if mark.items < before.items or mark.size < before.size or mark.failed < before.failed:
        return None
    files = []
    for file in data["files"]:
        if not (isinstance(file, list) and [type(value) for value in file] == [str, int, int, str]):
            return None
        files.append((file[0], Content(*file[1:])))
    return (mark, files) if len(files) in (0, mark.items - before.items) else None


def _require_same(then: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    if changes := differences(then, now):
        raise CheckpointError(
            f"{out}: a stopped run of another job waits in {folder_of(out).name} ({'; '.join(changes[:8])}): give the "
            "first command again to go on with it, or --replace (restart=True) to drop it"
        )


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Says which facts of two jobs differ.

    >>> differences({"model": "a", "batch size": 2}, {"model": "b", "batch size": 2})
    ['model was a, is b']
    """
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [f"{_shown(name)} was {_shown(then.get(name))}, is {_shown(now.get(name))}" for name in names]


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@contextmanager
def _alone(lock: Path, out: Path) -> Iterator[None]:
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise CheckpointError(f"{out}: another process is writing this file") from None


def _line(data: Mapping[str, Any], crc: int) -> tuple[bytes, int]:
    """Returns a line of a record, given the CRC of the lines before it, and the CRC of all of them."""
    text = json.dumps(data).encode()
    crc = zlib.crc32(text, crc)
    return f"{crc:0{_CRC_DIGITS}x} ".encode() + text + b"\n", crc


def _parse(line: bytes, crc: int) -> tuple[dict[str, Any] | None, int]:
    """Returns the contents of a line, None if it is truncated or altered, and the CRC up to it."""
    text = line[_CRC_DIGITS + 1 : -1]
    crc = zlib.crc32(text, crc)
    if not line.endswith(b"\n") or line[: _CRC_DIGITS + 1] != f"{crc:0{_CRC_DIGITS}x} ".encode():
        return None, crc
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None, crc
    return (data if isinstance(data, dict) else None), crc
