"""The image files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.core.errors import ImageError

#: Extensions that `list_images` takes for images; their content decides when they are read.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def list_images(folder: str | Path) -> list[Path]:
    """All images below `folder` as `walk_images` finds them."""
    return [Path(path) for path in walk_images(folder)]


def walk_images(folder: str | Path) -> Iterator[str]:
    """Paths of all images below `folder` by their extension, sorted; hidden files and folders are left out.

    Folders that are links are not entered: they could lead round in a circle. Of a million files in many folders one
    folder's names are held at a time.

    Raises:
        FileNotFoundError: `folder` is not a folder.
        PermissionError: It or a folder below it cannot be read: films would be missing in silence.
        ImageError: It holds no image.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    found = False
    for path in _walk(str(folder)):
        yield path
        found = True
    if not found:
        raise ImageError(f"{folder}: no image in this folder or below it ({', '.join(EXTENSIONS)})")


def find_images(sources: Sequence[Path]) -> list[str]:
    """Paths of the image files named, and of those in the folders named, in that order.

    Raises:
        FileNotFoundError: A source that is not there.
        ImageError: A folder without images.
    """
    found: list[str] = []  # a hundred bytes each; as `Path` they would take ten times that
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"no such file or folder: {source}")
        found += walk_images(source) if source.is_dir() else [str(source)]
    return found


def _walk(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        # Folders among the files, so that the paths come out as sorting them by their parts would have it.
        names = sorted((e.name, e.path, e.is_dir(follow_symlinks=False)) for e in entries if e.name[0] != ".")
    for name, path, is_folder in names:
        if is_folder:
            yield from _walk(path)
        elif name.lower().endswith(EXTENSIONS):
            yield path
