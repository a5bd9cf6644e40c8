"""What image files contain: hashed once, then told by name and size.

A file is read again only where its size is another, or where a few files look rewritten. A changed time alone means
nothing: where data are attached to a machine anew, all files have new times.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

#: So many files with another time and the old size are read again; if there are more, the data were attached anew.
REREAD = 1000

#: Hex digits of a sha256 that are kept: 128 bits, which no two images share by chance.
DIGITS = 32

_CHUNK = 1024


class Content(NamedTuple):
    """A file as it was found.

    Attributes:
        bytes: Its size; -1 for a file that is not there.
        mtime_ns: When it was written.
        digest: The first `DIGITS` hex digits of its sha256, "" where it was not read.
    """

    bytes: int
    mtime_ns: int
    digest: str = ""


def state(path: str | Path) -> Content:
    """Size and time of a file, which is not read."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # a name with a NUL
        return Content(-1, 0)
    return Content(found.st_size, found.st_mtime_ns)


def digest(path: str | Path) -> str:
    """The digest of a file; "" where it cannot be read."""
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return ""
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except (OSError, ValueError):
        return ""


def of(path: str | Path) -> Content:
    """The content of a file; reads it."""
    return state(path)._replace(digest=digest(path))


def read(paths: Sequence[str], on_file: Callable[[], None] | None = None, workers: int | None = None) -> list[Content]:
    """The content of each file, in order; reads every file."""
    found = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            for one in pool.map(of, paths[start : start + _CHUNK]):
                found.append(one)
                if on_file is not None:
                    on_file()
    return found


def unchanged(known: Mapping[str, Content], paths: Iterable[str]) -> dict[str, Content]:
    """The files that still hold what is known of them, with their present time.

    Args:
        known: Path -> what it held.
        paths: Files to look at.

    Returns:
        Path -> content, of those of `paths` that are known and have not changed. The others are new, have another
        size, or are some of at most `REREAD` files with another time, which were read and found to be others.
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
