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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.core.exchange import beside, locked, real_path, take_place
from zoo.core.exchange import recover as recover
from zoo.core.exchange import recover_inside as recover_inside


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
    with beside(target) as new:
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

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "a.txt")) as new:
    ...         _ = new.write_text("1")
    ...     Path(folder, "a.txt").read_text()
    '1'
    """
    path = real_path(path)
    with beside(path) as folder:
        new = folder / path.name
        yield new
        _settle(new, folder)
        new.replace(path)
        sync(path.parent)


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


def _settle(file: Path, like: Path) -> None:
    """Gives a file the permissions of a new one under the user's umask (some writers set fewer), and flushes it."""
    file.chmod(file.stat().st_mode | like.stat().st_mode & 0o666)
    sync(file)
