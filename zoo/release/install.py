"""Writes, copies, installs and finds release folders on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.core.files import recover, whole_folder
from zoo.release import manifest
from zoo.release.layout import SMALL
from zoo.release.read import read_release


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Yields a new folder that replaces `target` if the block succeeds, and is deleted otherwise.

    Raises:
        ReleaseError: `target` exists and is not a release, so it is not replaced; or it comes with the package.
    """
    if target.parent == home.INCLUDED:
        raise ReleaseError(
            f"{target.name!r} comes with the package and is not changed: copy it (zoo install {target.name} --as NAME)"
        )
    recover(target)
    if target.exists() and not (target / manifest.MANIFEST).is_file():
        raise ReleaseError(f"{target} exists and is no release: choose another place")
    with whole_folder(target) as new:
        yield new


def copy(source: str | Path, target: str | Path) -> Path:
    """Copies the files listed in a release's manifest after checking them, all or none; returns `target`.

    Args:
        source: Installed name, release folder, or folder of a finished run.
        target: Folder of the copy.
    """
    source, target = local(source), Path(target)
    names = _checked(source)
    with whole(target) as new:
        _copy_files(source, names, new)
        shutil.copyfile(source / manifest.MANIFEST, new / manifest.MANIFEST)
    return target


def carry(target: Path, files: Mapping[str, Path]) -> None:
    """Adds files to a release and its manifest in one step, replacing files of the same names.

    Args:
        target: Folder of the release.
        files: Name in the release -> path of the file.
    """
    names = _checked(target)
    with whole(target) as new:
        _copy_files(target, [name for name in names if name not in files], new)
        for name, file in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new / name)
        listing = manifest.read_json(target / manifest.MANIFEST)
        # An edited card keeps its original entry in the manifest.
        held = manifest.describe(new)
        kept = {name: listing["files"][name] for name in (manifest.CARD,) if name in listing["files"]}
        listing["files"] = manifest.to_json(held) | kept
        manifest.write_json(new / manifest.MANIFEST, listing)


def _checked(source: Path) -> list[str]:
    """Returns the names of a release's files after checking them against the manifest."""
    found = read_release(source)
    found.check(found.files.keys() - {*SMALL, *found.weights()})
    # The card may be missing, since people may edit it.
    card = source / manifest.CARD
    if card.is_file() and card.stat().st_size > manifest.max_bytes(manifest.CARD):
        raise ReleaseError(f"{card}: {card.stat().st_size:,} bytes are too many for a card")
    return [name for name in found.files if name != manifest.CARD or card.is_file()]


def _copy_files(source: Path, names: Iterable[str], target: Path) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def install(source: str | Path, name: str) -> Path:
    """Copies the release of a run or folder to where `zoo.load(name)` finds it; returns the new folder."""
    return copy(source, home.release_dir(name))


def find(name: str) -> Path | None:
    """Returns the folder of the release installed as `name`, or of the one that comes with the package, or None."""
    return home.find_release(name)


def local(source: str | Path) -> Path:
    """Returns the release folder for an installed name, a release folder, or the folder of a finished run.

    Raises:
        FileNotFoundError: `source` is none of these; lists the places that were searched.
    """
    if (installed := find(str(source))) is not None:
        return installed
    place = Path(source).expanduser()
    for candidate in (place, place / "release"):
        recover(candidate)
        if (candidate / manifest.MANIFEST).is_file():
            return candidate
    if place.is_dir():
        raise FileNotFoundError(
            f"{place} holds no release: neither {manifest.MANIFEST} nor release/{manifest.MANIFEST}"
        )
    known = ", ".join([*home.installed(), *home.included()]) or "none"
    raise FileNotFoundError(f"{source!s} is neither an installed model ({known}) nor a folder")
