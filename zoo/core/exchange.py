"""Names taken in one step: a folder beside its target, held by its process, exchanged with it, recovered after a kill.

What is written lies first in `.NAME-xxxxxxxx.part/new`. A folder takes the place of an older one in one step
(`renameat2`). Where the system or the file system cannot do that, it takes two renames, and the names `ready` and `old`
below `.NAME-xxxxxxxx.part` tell what lies between them, so that `recover` can finish the exchange.

The process that writes holds a lock (`flock`) on its `.part` folder, which the system drops when the process ends,
however it ends. So the next write or `recover` of the same name can sweep what a killed process left, and leaves alone
what a living one is writing. Where there are no such locks (Windows, some network file systems) nothing is swept.
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

#: In such a folder: what is being written, what is written and about to take the name, and what had the name before.
_NEW, _READY, _OLD = "new", "ready", "old"

#: How long a folder's lock is waited for.
WAIT_SECONDS = 2.0

#: Answers of a file system that has no locks, and of one that cannot exchange two names.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A new, empty folder beside `target`, held by this process and gone with the block; parents are made.

    `target` is a path as `real_path` gives it.
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
        new = part / _NEW  # not the folder that is held: whoever writes into this one locks it for moments
        new.mkdir()
        yield new
    finally:
        _release(held)
        # By now it holds the older folder, or what was written before an error. Not being able to delete it must not
        # hide that error, nor turn a finished write into a failed one; the next write tries again.
        shutil.rmtree(part, ignore_errors=True)
        recover(target)


def recover(target: str | Path) -> None:
    """Finishes an exchange of `target` that a kill interrupted, and sweeps what dead processes left beside it.

    Costs a look into the parent folder where there is nothing to do. A reader of a folder written by `whole_folder`
    calls this first.
    """
    target = real_path(target)
    if _leftovers(target):
        with locked(target.parent) as alone:
            _finish(target)
            if alone:
                _sweep(target)


def recover_inside(folder: str | Path) -> None:
    """Does what `recover` does, for every name in a folder."""
    names: set[str] = set()
    with suppress(OSError), os.scandir(folder) as entries:  # no such folder, or one that may not be listed
        names = {left["name"] for entry in entries if (left := _PART.fullmatch(entry.name))}
    for name in sorted(names):
        recover(Path(folder, name))


def take_place(new: Path, target: Path) -> None:
    """Gives a finished folder the name of `target`; an older one then lies beside `new`, or at it."""
    if not os.path.lexists(target):
        new.rename(target)
    elif not _exchange(new, target):
        ready = new.rename(new.with_name(_READY))
        target.rename(new.with_name(_OLD))
        ready.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot."""
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
    """Finishes an exchange that stopped between its two renames; the parent is locked, so nobody is in the middle."""
    for part in _leftovers(target):
        # Without `ready` the exchange was finished, and the target was deleted since.
        if not os.path.lexists(target) and (part / _OLD).is_dir() and (part / _READY).is_dir():
            (part / _READY).rename(target)


def _sweep(target: Path) -> None:
    """Deletes what dead processes left beside `target`; the parent is locked."""
    for path in _leftovers(target):
        held = _hold(path, wait=False)
        if held is not None:
            shutil.rmtree(path, ignore_errors=True)  # what is another user's stays
            _release(held)


def _leftovers(target: Path) -> list[Path]:
    with suppress(OSError), os.scandir(target.parent) as entries:  # no such folder, or one that may not be listed
        found = ((entry.path, _PART.fullmatch(entry.name)) for entry in entries)
        return [Path(path) for path, left in found if left and left["name"] == target.name]
    return []


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """One process and thread at a time moves names in `folder`.

    Yields:
        Whether nobody else does. False where the system has no locks, and where somebody holds the folder for longer
        than `WAIT_SECONDS`: another program, such as `flock FOLDER zoo train ...`.
    """
    held = _hold(folder, wait=True)
    try:
        yield held is not None
    finally:
        _release(held)


def _hold(folder: Path, *, wait: bool) -> int | None:
    """Locks a folder; None where another one holds it, it has just gone or is another user's, or there are no locks."""
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
        fcntl.flock(held, fcntl.LOCK_UN)  # closing alone would leave it with a child that was forked meanwhile
        os.close(held)


def real_path(target: str | Path) -> Path:
    """Where a target lies, links followed: a rename would replace the link."""
    path = Path(os.path.abspath(target))  # noqa: PTH100 - `resolve` would follow the parents' links
    # `resolve` raises at a link to itself.
    return Path(os.path.realpath(path)) if path.is_symlink() else path
