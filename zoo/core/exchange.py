"""Replaces folders atomically, and recovers after a process was killed in between.

A new folder is first written to `.NAME-xxxxxxxx.part/new` beside its target. It replaces an existing folder in one step
(`renameat2`). If the system or the file system does not support that, two renames are needed; the names `ready` and
`old` in `.NAME-xxxxxxxx.part` then show the state between them, so that `recover` can finish the exchange.

The writing process holds a lock (`flock`) on its `.part` folder, which the system releases when the process ends in any
way. The next write or `recover` of the same name therefore deletes what a killed process left, but nothing that a
running process is writing. On systems without such locks (Windows, some network file systems) nothing is deleted.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.(?P<name>.+)-[0-9a-f]{8}\.part")

#: Names in a `.part` folder: unfinished content, finished content before its last rename, and the replaced content.
_NEW, _READY, _OLD = "new", "ready", "old"

#: Longest time to wait for the lock of a folder.
WAIT_SECONDS = 2.0

#: Error codes of file systems without locks, and of those that cannot exchange two names.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Creates an empty folder beside `target`, locked by this process, and deletes it at the end of the block.

    Args:
        target: A path as returned by `real_path`; missing parents are created.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent, beside(Path(parent, "x")) as new:
    ...     new.is_dir()
    True
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent) as alone:
        _finish(target)
        if alone:
            _sweep(target)
        part = target.with_name(f".{target.name}-{secrets.token_hex(4)}.part")
        part.mkdir()
        held = _hold(part, wait=False)
    try:
        new = part / _NEW  # not the locked folder itself, since writers lock the folder they write to
        new.mkdir()
        yield new
    finally:
        _release(held)
        # The folder now holds the replaced content, or unfinished content after an error. If it cannot be deleted, that
        # must not hide the error or make a finished write fail; the next write tries again.
        shutil.rmtree(part, ignore_errors=True)
        recover(target)


def recover(target: str | Path) -> None:
    """Finishes an interrupted exchange of `target`, and deletes what killed processes left beside it.

    Call this before reading a folder that was written by `whole_folder`. If there is nothing to do, it only lists the
    parent folder.
    """
    target = real_path(target)
    if _leftovers(target):
        with locked(target.parent) as alone:
            _finish(target)
            if alone:
                _sweep(target)


def recover_inside(folder: str | Path) -> None:
    """Calls `recover` for every name in a folder."""
    names: set[str] = set()
    with suppress(OSError), os.scandir(folder) as entries:  # no such folder, or one that may not be listed
        names = {left["name"] for entry in entries if (left := _PART.fullmatch(entry.name))}
    for name in sorted(names):
        recover(Path(folder, name))


def take_place(new: Path, target: Path) -> None:
    """Renames the finished folder `new` to `target`; a replaced folder is then at `new` or beside it."""
    if not os.path.lexists(target):
        new.rename(target)
    elif not _exchange(new, target):
        ready = new.rename(new.with_name(_READY))
        target.rename(new.with_name(_OLD))
        ready.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False if the system or the file system does not support it."""
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    if (error := ctypes.get_errno()) in _NO_EXCHANGE:
        return False
    raise OSError(error, os.strerror(error), str(one), None, str(other))


def _finish(target: Path) -> None:
    """Finishes an exchange that stopped between its two renames; the caller holds the lock of the parent folder."""
    for part in _leftovers(target):
        # Without `ready` the exchange was finished, and the target was deleted later.
        if not os.path.lexists(target) and (part / _OLD).is_dir() and (part / _READY).is_dir():
            (part / _READY).rename(target)


def _sweep(target: Path) -> None:
    """Deletes what killed processes left beside `target`; the caller holds the lock of the parent folder."""
    for path in _leftovers(target):
        held = _hold(path, wait=False)
        if held is not None:
            shutil.rmtree(path, ignore_errors=True)  # folders of other users stay
            _release(held)


def _leftovers(target: Path) -> list[Path]:
    with suppress(OSError), os.scandir(target.parent) as entries:  # no such folder, or one that may not be listed
        found = ((entry.path, _PART.fullmatch(entry.name)) for entry in entries)
        return [Path(path) for path, left in found if left and left["name"] == target.name]
    return []


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Locks `folder`, so that only one process and thread at a time renames files in it.

    Yields:
        Whether the lock was obtained. False on systems without locks, and if another program (such as `flock FOLDER zoo
        train ...`) holds the lock for longer than `WAIT_SECONDS`.
    """
    held = _hold(folder, wait=True)
    try:
        yield held is not None
    finally:
        _release(held)


def _hold(folder: Path, *, wait: bool) -> int | None:
    """Locks a folder; None if it is locked, deleted or another user's, or if there are no locks."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return None
    until = time.monotonic() + (WAIT_SECONDS if wait else 0)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError as error:
            busy = isinstance(error, BlockingIOError)
            if busy and time.monotonic() < until:
                time.sleep(0.01)
                continue
            os.close(handle)
            if busy or error.errno in _NO_LOCKS:
                return None
            raise


def _release(held: int | None) -> None:
    if held is not None:
        fcntl.flock(held, fcntl.LOCK_UN)  # closing is not enough: a forked child would keep the lock
        os.close(held)


def real_path(target: str | Path) -> Path:
    """Follows a link at `target`, since a rename would replace the link itself.

    >>> real_path("/a/../b")
    PosixPath('/b')
    """
    path = Path(os.path.abspath(target))  # noqa: PTH100 - `resolve` would follow the links of the parents
    # `resolve` raises an error for a link to itself.
    return Path(os.path.realpath(path)) if path.is_symlink() else path
