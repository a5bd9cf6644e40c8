"""Finds the images of a plain table: absolute paths, paths relative to the table or to a folder, or names in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zoo.core.counting import counted
from zoo.core.errors import TableError
from zoo.core.paths import is_absolute
from zoo.data.images.locating import Located, locate_images


def locate_rows(names: Sequence[str], table: Path, images: Path | None) -> Located:
    """Finds the image of each row.

    A path that exists, as it is or below the folder, is that file. All other names are joined to the images in the
    folder by the rules of `zoo.core.joining`.

    Args:
        names: (n,) distinct paths or names.
        table: The table; relative paths are relative to its folder if no other is given.
        images: Folder of the images, or None for the folder of the table.

    Raises:
        FileNotFoundError: `images` does not exist.
        TableError: A name matches two images, or two names match one; states both.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.png").write_bytes(b"")
        ...     found = locate_rows(["a.png", "b.png"], Path(folder) / "t.csv", None)
        ...     [Path(path).is_file() for path in found.paths]
        [True, False]
    """
    base = Path(images or table.parent).absolute()
    if not base.is_dir():
        raise FileNotFoundError(f"{base}: no such folder of images")
    homes = dict.fromkeys((base, table.parent.absolute()))
    direct = [_direct(name, homes, table.name) for name in names]
    _check_distinct(names, direct, table.name)
    outside = [row for row, path in enumerate(direct) if path and not Path(path).is_relative_to(base)]
    inside = [row for row in range(len(names)) if row not in set(outside)]
    folder = base if images or not all(direct) else _common_folder([path for path in direct if path], base)
    if folder is None:
        return Located([path or "" for path in direct], _note_outside(len(outside), base))
    found = locate_images([direct[row] or names[row] for row in inside], [folder], table.name, [table.name])
    paths = dict(zip(inside, found.paths, strict=True))
    located = [direct[row] or paths[row] for row in range(len(names))]
    return replace(found, paths=located, notes=(*found.notes, *_note_outside(len(outside), base)))


def _direct(name: str, homes: Sequence[Path] | dict[Path, None], source: str) -> str | None:
    """The file that a path names as it stands, or None."""
    if is_absolute(name):
        return _file(Path(name))
    options = [
        path
        for home in homes
        for text in dict.fromkeys((name, name.replace("\\", "/")))
        if (path := _file(home / text))
    ]
    different = {os.path.realpath(path): path for path in options}
    if len(different) > 1:
        first, second = list(different.values())[:2]
        raise TableError(f"{source}: {name!r} may mean {first!r} or {second!r}: write the whole path")
    return options[0] if options else None


def _file(path: Path) -> str | None:
    try:
        return os.path.normpath(path) if path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or no name of a file
        return None


def _check_distinct(names: Sequence[str], direct: Sequence[str | None], source: str) -> None:
    first: dict[str, str] = {}
    for name, path in zip(names, direct, strict=True):
        if path is not None and first.setdefault(path, name) != name:
            raise TableError(f"{source}: {first[path]!r} and {name!r} both mean {path!r}: keep one of the two rows")


def _common_folder(paths: Sequence[str], base: Path) -> Path | None:
    """The deepest folder of all images if it is below `base`, so that no more than it is searched for others."""
    try:
        common = Path(os.path.commonpath([str(Path(path).parent) for path in paths]))
    except ValueError:  # several drives
        return None
    return common if common.is_relative_to(base) else None


def _note_outside(outside: int, base: Path) -> tuple[str, ...]:
    return (f"{counted(outside, 'image is', 'images are')} outside {base}",) if outside else ()
