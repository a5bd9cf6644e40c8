"""Release folders on this machine: written whole, copied, installed under a name, found again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.core.files import recover, whole_folder
from zoo.release import manifest
from zoo.release.documents import SMALL
from zoo.release.read import read_release


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends well, and vanishes when it does not.

    Raises:
        ReleaseError: `target` is there and is no release: it is not replaced.
    """
    recover(target)
    if target.exists() and not (target / manifest.MANIFEST).is_file():
        raise ReleaseError(f"{target} exists and is no release: choose another place")
    with whole_folder(target) as new:
        yield new


def copy(source: str | Path, target: str | Path) -> Path:
    """Copies the files that a release's manifest lists, after checking them, whole or not at all; returns `target`.

    Args:
        source: As for `local`.
        target: Where it shall lie.
    """
    source, target = local(source), Path(target)
    names = _checked(source)
    with whole(target) as new:
        _copy_files(source, names, new)
        shutil.copyfile(source / manifest.MANIFEST, new / manifest.MANIFEST)
    return target


def carry(target: Path, files: Mapping[str, Path]) -> None:
    """Puts further files into a release, and into its manifest, in one step; they replace those of the same names.

    Args:
        target: The release.
        files: Name in the release -> the file.
    """
    names = _checked(target)
    with whole(target) as new:
        _copy_files(target, [name for name in names if name not in files], new)
        for name, file in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new / name)
        listing = manifest.read_json(target / manifest.MANIFEST)
        # An edited card stays listed as it was released.
        kept = {name: listing["files"][name] for name in (manifest.CARD,) if name in listing["files"]}
        listing["files"] = dict(sorted((manifest.describe(new) | kept).items()))
        manifest.write_json(new / manifest.MANIFEST, listing)


def _checked(source: Path) -> list[str]:
    """Names of a release's files, each of which is the one that the manifest means."""
    found = read_release(source)
    found.check(found.files.keys() - {*SMALL, *found.weights()})
    # The card may have been taken away, as it may be edited.
    card = source / manifest.CARD
    if card.is_file() and card.stat().st_size > manifest.max_bytes(manifest.CARD):
        raise ReleaseError(f"{card}: {card.stat().st_size:,} bytes are too many for a card")
    return [name for name in found.files if name != manifest.CARD or card.is_file()]


def _copy_files(source: Path, names: Iterable[str], target: Path) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def install(source: str | Path, name: str) -> Path:
    """Copies a run's or a folder's release to where `zoo.load(name)` finds it; returns that folder."""
    return copy(source, home.release_dir(name))


def find(name: str) -> Path | None:
    """The folder of a release installed as `name`, or None."""
    return home.release_dir(name) if name in home.installed() else None


def local(source: str | Path) -> Path:
    """The release folder that is meant by an installed name, a release folder, or a finished run's folder.

    Raises:
        FileNotFoundError: None of these; says what was looked for.
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
    raise FileNotFoundError(
        f"{source!s} is neither an installed model ({', '.join(home.installed()) or 'none'}) nor a folder"
    )
