"""Which images can be read, and what their files contain: found in one pass, kept in a file, and brought up to date."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zoo.core.errors import ImageError
from zoo.core.files import write_text
from zoo.core.progress import Progress
from zoo.core.warn import Threads
from zoo.data import contents
from zoo.data.contents import Content
from zoo.data.images.reading import read_image

FORMAT = 2

#: A JPEG is read to its end also where it is scaled down.
_SIZE = 64

_CHUNK = 1024


@dataclass(frozen=True)
class Scan:
    """What a pass over images found.

    Attributes:
        unreadable: Path -> reason of each image that cannot be read, in the order of the paths.
        digests: Path -> digest of its file (`zoo.data.contents`).
    """

    unreadable: Mapping[str, str]
    digests: Mapping[str, str]


def scan(paths: Sequence[str], record: Path, root: str | Path, progress: Progress) -> Scan:
    """Decodes and hashes every image, each file read once; those that `record` knows are not read again.

    Args:
        paths: Image files.
        record: JSON file of an earlier pass; written anew where something is found.
        root: Folder of the data. A file is known by its path from there, so that the data may be moved.
        progress: Told of every file that is read.
    """
    names = {path: os.path.relpath(path, root).replace(os.sep, "/") for path in paths}
    earlier = _load(record)
    known = {path: earlier[name][0] for path, name in names.items() if name in earlier}
    same = contents.unchanged(known, paths)
    found = {path: (content, earlier[names[path]][1]) for path, content in same.items()}
    new = [path for path in names if path not in found]
    if new:
        with progress.task(f"reading {len(new):,} images", len(new)) as advance, Threads() as pool:
            left = iter(new)
            while chunk := list(islice(left, _CHUNK)):
                for path, result in zip(chunk, pool.map(_examine, chunk), strict=True):
                    found[path] = result
                    advance()
        _save(record, {names[path]: found[path] for path in names})
    errors = {path: found[path][1] for path in names}
    return Scan({path: why for path, why in errors.items() if why}, {path: found[path][0].digest for path in names})


def _examine(path: str) -> tuple[Content, str]:
    """The content of a file, and why it is no readable image or ""."""
    # Hashed first: the decoder then finds the file in memory.
    content = contents.of(path)
    try:
        read_image(path, size=_SIZE)
    except ImageError as error:
        return content, str(error).removeprefix(f"{path}: ")
    return content, ""


def _load(record: Path) -> dict[str, tuple[Content, str]]:
    """Name -> content and error of an earlier pass; nothing where there is none, or one of another form."""
    try:
        saved = json.loads(record.read_text("utf-8"))
        if saved["format"] != FORMAT:
            return {}
        files = saved["files"].items()
        return {name: (Content(int(n), int(time), str(digest)), str(why)) for name, (n, time, digest, why) in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # it only saves time


def _save(record: Path, found: Mapping[str, tuple[Content, str]]) -> None:
    files = {name: [*content, why] for name, (content, why) in found.items()}
    write_text(record, json.dumps({"format": FORMAT, "files": files}))
