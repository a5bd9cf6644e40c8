"""Finds unreadable images and hashes all image files in one pass; the result is saved and later brought up to date."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zoo.core.counting import counted
from zoo.core.errors import ImageError
from zoo.core.files import write_text
from zoo.core.progress import Progress
from zoo.core.warn import Threads
from zoo.data import contents
from zoo.data.contents import Content
from zoo.data.images.reading import read_image

FORMAT = 2

#: Size to which images are decoded; a JPEG is read to its end also when it is scaled down.
_SIZE = 64

_CHUNK = 1024


@dataclass(frozen=True)
class Scan:
    """The result of `scan`.

    Attributes:
        unreadable: Path -> reason, for each image that cannot be read, in the order of the paths.
        digests: Path -> digest of its file (`zoo.data.contents`).
    """

    unreadable: Mapping[str, str]
    digests: Mapping[str, str]


def scan(paths: Sequence[str], record: Path, root: str | Path, progress: Progress) -> Scan:
    """Decodes and hashes every image; files that are unchanged since an earlier pass are not read again.

    Args:
        paths: Image files.
        record: JSON file with the result of an earlier pass; rewritten if there are new or changed files.
        root: Folder of the data. Paths are stored relative to it, so that the data may be moved.
        progress: Receives the progress after each file.
    """
    names = {path: os.path.relpath(path, root).replace(os.sep, "/") for path in paths}
    earlier = _load(record)
    known = {path: earlier[name][0] for path, name in names.items() if name in earlier}
    same = contents.unchanged(known, paths)
    found = {path: (content, earlier[names[path]][1]) for path, content in same.items()}
    new = [path for path in names if path not in found]
    if new:
        with progress.task(f"reading {counted(len(new), 'image')}", len(new)) as advance, Threads() as pool:
            left = iter(new)
            while chunk := list(islice(left, _CHUNK)):
                for path, result in zip(chunk, pool.map(_examine, chunk), strict=True):
                    found[path] = result
                    advance()
        _save(record, {names[path]: found[path] for path in names})
    errors = {path: found[path][1] for path in names}
    return Scan({path: why for path, why in errors.items() if why}, {path: found[path][0].digest for path in names})


def _examine(path: str) -> tuple[Content, str]:
    """The content of a file, and the reason why it cannot be read as an image or ""."""
    # Hashed first, so that the decoder finds the file in memory.
    content = contents.of(path)
    try:
        read_image(path, size=_SIZE)
    except ImageError as error:
        return content, str(error).removeprefix(f"{path}: ")
    return content, ""


def _load(record: Path) -> dict[str, tuple[Content, str]]:
    """Name -> content and error from an earlier pass; empty if there is none, or one in another format."""
    try:
        saved = json.loads(record.read_text("utf-8"))
        if saved["format"] != FORMAT:
            return {}
        files = saved["files"].items()
        return {name: (Content(int(n), int(time), str(digest)), str(why)) for name, (n, time, digest, why) in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # the record only saves time


def _save(record: Path, found: Mapping[str, tuple[Content, str]]) -> None:
    files = {name: [*content, why] for name, (content, why) in found.items()}
    write_text(record, json.dumps({"format": FORMAT, "files": files}))
