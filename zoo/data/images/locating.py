"""Names of a table or split, joined to the image files that they mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.core.joining import join
from zoo.core.paths import relative_path
from zoo.data.images.listing import LeftOut, walk_images


@dataclass(frozen=True, eq=False)
class Located:
    """Where the images of some names are.

    Attributes:
        paths: (n,) absolute path of each; for a name that is nowhere, one inside the first folder that does not exist.
        notes: What was disregarded to join them, one sentence each.
        unused: One sentence on the images that no name means and on what the folders hold besides, or "".
    """

    paths: list[str]
    notes: tuple[str, ...] = ()
    unused: str = ""

    def existing(self) -> list[str]:
        """The paths that are there."""
        return [path for path in self.paths if Path(path).is_file()]


def locate_images(names: Sequence[str], folders: Sequence[str | Path], source: str = "the table") -> Located:
    """Finds the image that each name means, among those in the folders and below them.

    Names are joined as `zoo.core.joining.join` says, to the images that `zoo.data.images.listing.walk_images` lists.
    No name leads out of the folders.

    Args:
        names: (n,) file names, paths or identifiers, each once.
        folders: Where the images are.
        source: What the names are from, for messages.

    Raises:
        FileNotFoundError: A folder that is not there.
        TableError: A name means two images, or two names mean one; shows both.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "film.1.png").write_bytes(b"")
        ...     _ = (Path(folder) / "film.png").write_bytes(b"")
        ...     [Path(path).name for path in locate_images(["film.1"], [folder]).paths]
        ['film.1.png']
    """
    roots = [str(Path(folder).absolute()) for folder in folders]
    left_out = LeftOut()
    paths = list(dict.fromkeys(path for root in roots for path in walk_images(root, left_out)))
    found = join(names, paths, source=source, roots=roots, identity=os.path.realpath)
    for row in found.unused(len(paths)):
        left_out.add(f"image without a row in {source}", _below(paths[row], roots))
    nowhere = Path(roots[0])
    located = [
        paths[row] if row >= 0 else str(nowhere / relative_path(name))
        for row, name in zip(found.rows, names, strict=True)
    ]
    return Located(located, found.notes, f"{', '.join(roots)}: left out {left_out}" if left_out.counts else "")


def _below(path: str, roots: Sequence[str]) -> str:
    """A path from the folder on in which it was found: "PA/1.png" explains why "AP/1.png" is not there."""
    return next((path[len(root) :].lstrip(os.sep) for root in roots if Path(path).is_relative_to(root)), path)
