"""Exported graphs and compiled models on this machine, below `ZOO_HOME`: made once, verified at each use."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from zoo.core import home
from zoo.core.errors import ReleaseError, WriteError
from zoo.core.files import content_key
from zoo.core.process import processor
from zoo.core.warn import warn_user
from zoo.export import exporting
from zoo.release import exports, layout
from zoo.release.exports import Export
from zoo.release.folder import ReleaseFolder
from zoo.release.manifest import MANIFEST, describe, read_json, to_json, write_json


def folder_of(
    found: ReleaseFolder,
    members: Sequence[str] | None,
    format: str,
    precision: str,
    values: exporting.Values = "logits",
) -> Path:
    """The folder for the graph of these members of a release, in this precision, with the installed versions."""
    names = [m.name for m in found.spec.members if members is None or m.name in members]
    # How far bfloat16 is from float32 depends on the processor: what was accepted on one is compared anew on another.
    where = processor() if precision == "bfloat16" else ""
    # "logits": the graphs of earlier versions divided them by the temperature, under other keys.
    versions = (exporting.versions(), layout.EXPORT_VERSION)
    facts = (values, found.manifest_sha256, names, format, precision, *versions, where)
    return home.home() / "exports" / content_key(facts)


@contextmanager
def compiled(graph: Export) -> Iterator[Path | None]:
    """The folder of OpenVINO's own cache of compiled models for one graph, locked; None where nothing can be written.

    OpenVINO knows a graph by the path of its `model.xml` alone: of a release that was replaced, whose graph has other
    numbers in `model.bin`, it would run the former one. Nor does it notice damage: a file with some bytes changed gave
    other logits. Files that are not those that the last block left are therefore removed, and compiled anew.
    """
    folder = home.home() / "compiled" / f"openvino-{content_key(graph.content, 16)}"
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder))
        except WriteError:
            yield None
            return
        known = _as_left(folder)
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
        yield folder
        # Other options, such as the number of cores, add a file.
        if folder.is_dir() and {path.name for path in folder.iterdir()} - {MANIFEST} != {*known}:
            with suppress(OSError):
                write_json(folder / MANIFEST, to_json(describe(folder)))


def _as_left(folder: Path) -> dict[str, Any]:
    """What is noted of the files of a folder; {} where nothing is, as after a kill, or where they are others now."""
    with suppress(ReleaseError, OSError):
        noted = read_json(folder / MANIFEST)
        return noted if noted == to_json(describe(folder)) else {}
    return {}


def obtain(folder: Path, make: Callable[[Path], object]) -> Export:
    """The export in a folder of the cache, which one process at a time makes where it is missing or damaged.

    Where nothing can be written, it is made in a temporary folder for this process alone, with a warning.

    Args:
        folder: A folder of `folder_of`.
        make: Writes the export into the folder, whole or not at all.

    Raises:
        ReleaseError: The export that `make` wrote cannot be read.
    """
    try:
        return _obtain(folder, make)
    except WriteError as error:
        elsewhere = _of_this_process() / folder.name
        if not elsewhere.exists():
            warn_user(f"{error}: the graph is made for this process alone")
        return _obtain(elsewhere, make)


def _obtain(folder: Path, make: Callable[[Path], object]) -> Export:
    found = peek(folder)
    if found is not None:
        return found
    with locked(folder):
        found = peek(folder)  # another process may have made it meanwhile
        if found is None:
            remove_remains(folder)
            make(folder)
            found = exports.read(folder)
    return found


@cache
def _of_this_process() -> Path:
    """A temporary folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_remains(folder: Path) -> None:
    """Removes a folder of the cache that lost its facts: `exporting.whole` would refuse to replace it."""
    if folder.exists() and not (folder / layout.FACTS).is_file():
        shutil.rmtree(folder)


def peek(folder: Path) -> Export | None:
    """The export in a folder of the cache, each file verified; None where it is missing or damaged."""
    with suppress(ReleaseError, OSError):
        return exports.read(folder)
    return None


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """In the block no other process holds the lock of this path; others wait for it.

    Raises:
        WriteError: Nothing can be written there.
    """
    with ExitStack() as held:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(place.with_name(f".{place.name}.lock")))
        except OSError as error:
            raise WriteError(f"{place}: cannot be written: {error.strerror or error}") from error
        yield
