"""Atomic writing of files and folders, hashes of files, and keys made from contents.

Content is first written beside its target and renamed when it is completely on disk; `zoo.core.exchange` describes how,
and what happens if the process is killed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.core.errors import WriteError, ZooError
from zoo.core.exchange import beside, locked, real_path, take_place
from zoo.core.exchange import recover as recover
from zoo.core.exchange import recover_inside as recover_inside

#: Error codes of a disk, a quota or a file that is full, and of places where nothing may be written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)

#: Name of the hash in sealed JSON data.
_SEAL = "seal"


@contextmanager
def whole_folder(target: str | Path) -> Iterator[Path]:
    """Writes a folder atomically: an empty folder becomes `target` when the block ends without an error.

    If the block raises an error or deletes the folder, `target` stays as it was. If the process is killed, `target` is
    the complete old or the complete new folder. Where two renames are needed (see `zoo.core.exchange`), this holds
    after `recover`, which readers of such a folder call first.

    Args:
        target: The folder to create or replace. A link stays, and the folder that it points to is replaced.

    Yields:
        The folder to fill.

    Raises:
        NotADirectoryError: `target` is a file.
        WriteError: The disk is full, or nothing may be written there; `target` stays as it was.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from zoo.core.files import whole_folder
    >>> target = Path(tempfile.mkdtemp()) / "release"
    >>> with whole_folder(target) as new:
    ...     _ = (new / "a.txt").write_text("1")
    >>> [file.name for file in target.iterdir()]
    ['a.txt']
    """
    target = real_path(target)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    with told(target), beside(target) as new:
        yield new
        if not new.exists():
            return
        for folder, _, names in os.walk(new, topdown=False):
            for path in (Path(folder, name) for name in names):
                if not path.is_symlink():
                    _settle(path, new)
            sync(Path(folder))
        with locked(target.parent):
            take_place(new, target)
            sync(target.parent)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Writes a file atomically: the file written in the block becomes `path` if the block ends without an error.

    Args:
        path: The file to create or replace. Missing folders are created. A link stays, and its target is replaced.

    Yields:
        The temporary path to write to; it has the same file name.

    Raises:
        WriteError: The disk is full, or nothing may be written there; `path` stays as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "a.txt")) as new:
    ...         _ = new.write_text("1")
    ...     Path(folder, "a.txt").read_text()
    '1'
    """
    path = real_path(path)
    with told(path), beside(path) as folder:
        new = folder / path.name
        yield new
        _settle(new, folder)
        new.replace(path)
        sync(path.parent)


@contextmanager
def told(target: str | Path, kept: str = "what was there before is unchanged") -> Iterator[None]:
    """Raises a `WriteError` that names `target` where something cannot be written in the block.

    Libraries say so in their own ways: by an `OSError` with a number, or by its text within another error. An error
    about a file that may not be read is left as it is.

    Args:
        target: What is written.
        kept: What is left, for the message.

    Raises:
        WriteError: The disk is full, a file would be too large, or nothing may be written there.

    >>> with told("a.csv", "nothing is lost"):
    ...     raise OSError(errno.ENOSPC, "")
    Traceback (most recent call last):
    zoo.core.errors.WriteError: a.csv: cannot be written: No space left on device (nothing is lost)
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        if not (reason := _unwritable(error, Path(target))):
            raise
        raise WriteError(f"{target}: cannot be written: {reason} ({kept})") from error


def _unwritable(error: Exception, target: Path) -> str:
    """Why something cannot be written; "" if the error says nothing of it."""
    if isinstance(error, OSError) and error.errno is not None:
        about = Path(error.filename) if isinstance(error.filename, str) else target
        ours = about == target or target.parent in (about, *about.parents)
        if error.errno in _FULL or (error.errno in _FORBIDDEN and ours):
            return os.strerror(error.errno)
    text = str(error)
    return next((os.strerror(n) for n in _FULL if os.strerror(n) in text), "")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes bytes to a file atomically; see `whole_file`."""
    with whole_file(path) as new:
        new.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes text to a file atomically, in UTF-8 and without changing line ends; see `whole_file`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, data: object) -> None:
    """Writes JSON to a file atomically, indented; numbers must be finite. See `whole_file`."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to disk."""
    if path.is_dir() and sys.platform == "win32":
        return  # a folder cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hex digits; the file is read in blocks.

    >>> import os
    >>> sha256(Path(os.devnull))[:8]
    'e3b0c442'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(facts: object, digits: int = 32) -> str:
    """A key for JSON data: the first hex digits of the SHA-256 of its JSON text, independent of the order of keys.

    Args:
        facts: JSON-compatible data; tuples count as lists.
        digits: Number of hex digits, at most 64.

    >>> from zoo.core.files import content_key
    >>> content_key({"a": 1, "b": (2, 3)}, 8) == content_key({"b": [2, 3], "a": 1}, 8)
    True
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def seal(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Adds a hash of JSON data to it, so that a file of it that was altered is noticed when it is read (`sealed`).

    >>> sealed(seal({"a": 1})), sealed(seal({"a": 1}) | {"a": 2})
    (True, False)
    """
    return {**facts, _SEAL: content_key(facts)}


def sealed(facts: Mapping[str, Any], *, required: bool = False) -> bool:
    """Whether JSON data is what `seal` returned; data without a seal, of earlier versions, unless one is `required`."""
    rest = {name: value for name, value in facts.items() if name != _SEAL}
    return facts[_SEAL] == content_key(rest) if _SEAL in facts else not required


def _settle(file: Path, like: Path) -> None:
    """Gives a file the permissions of a new one under the user's umask (some writers set fewer), and flushes it."""
    file.chmod(file.stat().st_mode | like.stat().st_mode & 0o666)
    sync(file)
