"""Exported graphs and compiled models on this machine, below `ZOO_HOME`: made once, verified at each use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.core.files import content_key
from zoo.export import exporting
from zoo.release import exports, layout
from zoo.release.exports import Export
from zoo.release.folder import ReleaseFolder


def folder_of(
    found: ReleaseFolder,
    members: Sequence[str] | None,
    format: str,
    precision: str,
    values: exporting.Values = "logits",
) -> Path:
    """The folder for the graph of these members of a release, in this precision, with the installed versions."""
    names = [m.name for m in found.spec.members if members is None or m.name in members]
    # "logits": the graphs of earlier versions divided them by the temperature, under other keys.
    facts = (values, found.manifest_sha256, names, format, precision, exporting.versions(), layout.EXPORT_VERSION)
    return home.home() / "exports" / content_key(facts)


def compiled(graph: Export) -> Path:
    """The folder of OpenVINO's own cache of compiled models, for one graph.

    OpenVINO knows a graph by the path of its `model.xml` alone: of a release that was replaced, whose graph has other
    numbers in `model.bin`, it would run the former one.
    """
    return home.home() / "compiled" / f"openvino-{content_key(graph.content, 16)}"


def obtain(folder: Path, make: Callable[[Path], object]) -> Export:
    """The export in a folder of the cache, which one process at a time makes where it is missing or damaged.

    Args:
        folder: A folder of `folder_of`.
        make: Writes the export into the folder, whole or not at all.

    Raises:
        ReleaseError: The export that `make` wrote cannot be read.
    """
    found = peek(folder)
    if found is not None:
        return found
    with locked(folder):
        found = peek(folder)  # another process may have made it meanwhile
        if found is None:
            make(folder)
            found = exports.read(folder)
    return found


def peek(folder: Path) -> Export | None:
    """The export in a folder of the cache, each file verified; None where it is missing or damaged."""
    with suppress(ReleaseError, OSError):
        return exports.read(folder)
    return None


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """In the block no other process holds the lock of this path; others wait for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        yield
