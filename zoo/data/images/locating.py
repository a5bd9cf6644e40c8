"""Joins the names in a table or split to image files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.core.errors import TableError
from zoo.core.joining import join
from zoo.core.paths import is_file, relative_path, stem
from zoo.data.images.listing import LeftOut, walk_images


@dataclass(frozen=True, eq=False)
class Located:
    """Image files that names were joined to.

    Attributes:
        paths: (n,) absolute paths; for a name without an image, a path in the first folder that does not exist.
        notes: Differences that were disregarded when joining, one sentence each.
        unused: One sentence on images without a name and on other files in the folders, or "".
    """

    paths: list[str]
    notes: tuple[str, ...] = ()
    unused: str = ""

    def existing(self) -> list[str]:
        """Returns the paths of existing files."""
        return [path for path in self.paths if is_file(path)]


def locate_images(
    names: Sequence[str], folders: Sequence[str | Path], source: str = "the table", expected: Collection[str] = ()
) -> Located:
    """Finds the image of each name in the folders and their subfolders.

    Names are joined by the rules of `zoo.core.joining.join` to the images that `zoo.data.images.listing.walk_images`
    lists, so no name can refer to a file outside the folders.

    Args:
        names: (n,) file names, paths or identifiers, distinct.
        folders: Folders of the images.
        source: Origin of the names, for messages.
        expected: Names of files in the folders that are used otherwise, such as the table itself.

    Raises:
        FileNotFoundError: A folder does not exist.
        TableError: A name matches two images, or two names match one image; states both.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "image.1.png").write_bytes(b"")
        ...     _ = (Path(folder) / "image.png").write_bytes(b"")
        ...     [Path(path).name for path in locate_images(["image.1"], [folder]).paths]
        ['image.1.png']
    """
    roots = [str(Path(folder).absolute()) for folder in folders]
    left_out = LeftOut(expected=frozenset(expected))
    paths = list(dict.fromkeys(path for root in roots for path in walk_images(root, left_out)))
    found = join(names, paths, source=source, roots=roots, identity=os.path.realpath)
    for row in found.unused(len(paths)):
        left_out.add(f"image without a row in {source}", _below(paths[row], roots))
    owners = {} if min(found.rows, default=0) >= 0 else _owners(names, paths, found.rows)
    located = [
        paths[row] if row >= 0 else _nowhere(name, roots[0], owners, source)
        for row, name in zip(found.rows, names, strict=True)
    ]
    return Located(located, found.notes, f"{', '.join(roots)}: left out {left_out}" if left_out.counts else "")


def _owners(names: Sequence[str], paths: Sequence[str], rows: Iterable[int]) -> dict[str, str]:
    """The path of each image that a name has, with its extension and without, -> that name."""
    owners = {paths[row]: name for row, name in zip(rows, names, strict=True) if row >= 0}
    return owners | {str(Path(path).with_name(stem(Path(path).name))): name for path, name in owners.items()}


def _nowhere(name: str, root: str, owners: Mapping[str, str], source: str) -> str:
    """The path that a name without an image would have; an error if that, or it with an extension, is another's."""
    path = str(Path(root) / relative_path(name))
    if path in owners:
        raise TableError(
            f"{source}: {owners[path]!r} and {name!r} both mean {owners[path]!r}: keep one of the two rows"
        )
    return path


def _below(path: str, roots: Sequence[str]) -> str:
    """Shortens a path to start at its root folder, so that messages tell "PA/1.png" from "AP/1.png"."""
    return next((path[len(root) :].lstrip(os.sep) for root in roots if Path(path).is_relative_to(root)), path)
