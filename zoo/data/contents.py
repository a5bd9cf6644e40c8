"""Hashes of image files, computed once and then recognised by name and size.

A file is hashed again only if its size changed, or if its modification time changed and so did that of few others.
When a data set is attached to another machine, all files have new times though nothing has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

#: Up to this many files with a new time and the old size are hashed again; if there are more, the data set was
#: attached again.
REREAD = 1000

#: Number of hex digits of the sha256 that are kept: 128 bits, so that collisions do not occur by chance.
DIGITS = 32

_CHUNK = 1024


class Content(NamedTuple):
    """Size, modification time and hash of a file.

    Attributes:
        bytes: Size in bytes; -1 for a missing file.
        mtime_ns: Modification time in nanoseconds.
        digest: The first `DIGITS` hex digits of the sha256, "" if the file was not read.
    """

    bytes: int
    mtime_ns: int
    digest: str = ""


def state(path: str | Path) -> Content:
    """Returns size and time of a file without reading it."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # a name with a NUL
        return Content(-1, 0)
    return Content(found.st_size, found.st_mtime_ns)


def digest(path: str | Path) -> str:
    """Returns the digest of a file; "" if it cannot be read."""
    try:
        if not Path(path).is_file():  # opening a pipe would block
            return ""
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except (OSError, ValueError):
        return ""


def of(path: str | Path) -> Content:
    """Reads a file and returns its content.

    Example:
        >>> of("no such file")
        Content(bytes=-1, mtime_ns=0, digest='')
    """
    return state(path)._replace(digest=digest(path))


def read(paths: Sequence[str], on_file: Callable[[], None] | None = None, workers: int | None = None) -> list[Content]:
    """Reads all files and returns their contents in order; calls `on_file` after each."""
    found = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            for one in pool.map(of, paths[start : start + _CHUNK]):
                found.append(one)
                if on_file is not None:
                    on_file()
    return found


def unchanged(known: Mapping[str, Content], paths: Iterable[str]) -> dict[str, Content]:
    """Finds the files that have not changed.

    Args:
        known: Path -> content when the file was hashed.
        paths: Files to check.

    Returns:
        Path -> content with the present time, for each of `paths` that is known and has not changed. A file counts as
        changed if its size differs, or if it is among at most `REREAD` files with another time and its hash differs.
    """
    same: dict[str, Content] = {}
    touched: dict[str, Content] = {}
    for path in paths:
        before = known.get(path)
        if before is None or (now := state(path)).bytes != before.bytes:
            continue
        kept = now._replace(digest=before.digest)
        (same if now.mtime_ns == before.mtime_ns else touched)[path] = kept
    if len(touched) <= REREAD:
        found = read(list(touched))
        touched = {path: new for path, new in zip(touched, found, strict=True) if new.digest == touched[path].digest}
    return same | touched
