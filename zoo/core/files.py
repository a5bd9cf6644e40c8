"""Files and folders that appear under their name whole or not at all, and keys made of what a thing is.

Whatever is written lies first beside its target, and takes its name when all of it is on the disk; `zoo.core.exchange`
says how, and what happens after a kill.
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
    """A new, empty folder that becomes `target` when the block ends. It vanishes when the block raises or deletes it.

    Whenever the process is killed, `target` is the old folder or the new one, complete; after two renames
    (see `zoo.core.exchange`) once `recover` has been called, which a reader of such a folder calls first.

    Args:
        target: The folder to make, or to replace. A link to a folder stays, and the folder behind it is replaced.

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
    """A path, in a folder of its own, whose file becomes `path` when the block ends, and vanishes when it raises.

    Args:
        path: The file to make, or to replace. Missing folders are made. A link stays, and its file is replaced.

    Yields:
        The path to write to, with the name that the file will have.
    """
    path = real_path(path)
    with beside(path) as folder:
        new = folder / path.name
        yield new
        _settle(new, folder)
        new.replace(path)
        sync(path.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file whole or not at all; see `whole_file`."""
    with whole_file(path) as new:
        new.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes a file in UTF-8, with its line ends as they are, whole or not at all; see `whole_file`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, data: object) -> None:
    """Writes JSON (indented, numbers finite), whole or not at all; see `whole_file`."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Has the operating system put a file, or a folder's list of names, on the disk."""
    if path.is_dir() and sys.platform == "win32":
        return  # a folder cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(facts: object, digits: int = 32) -> str:
    """A name for what `facts` say: hex digits of the sha256 of their JSON, whatever the order of their keys.

    Args:
        facts: Anything that JSON holds; tuples count as lists.
        digits: How many of the 64 hex digits.

    >>> from zoo.core.files import content_key
    >>> content_key({"a": 1, "b": (2, 3)}, 8) == content_key({"b": [2, 3], "a": 1}, 8)
    True
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _settle(file: Path, like: Path) -> None:
    """Gives a file the permissions that the user's mask gives a new one (some writers leave out all others)."""
    file.chmod(file.stat().st_mode | like.stat().st_mode & 0o666)
    sync(file)
