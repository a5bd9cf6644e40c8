"""What a name means: the release behind an installed name, a pinned one, a folder, or a reference to a Hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from zoo.core import home
from zoo.core.errors import HubError, UnknownNameError, UsageError, UsageTypeError
from zoo.core.files import recover
from zoo.hub import download, pins, pull
from zoo.hub.pins import Pin
from zoo.hub.reference import SCHEME, Reference, check_repo, parse
from zoo.names import registry
from zoo.names.catalog import CATALOG
from zoo.release import install
from zoo.release.exports import INT8
from zoo.release.folder import ReleaseFolder
from zoo.release.inspect import Inspection
from zoo.release.inspect import inspect as inspect_folder
from zoo.release.read import read_release
from zoo.release.verify import Check
from zoo.release.verify import verify as verify_folder

#: Where a release is: a folder of this machine, or a repository of a Hub.
Place = Path | Pin | Reference


def find(
    name: str | Path,
    members: Sequence[str] | None = None,
    *,
    exports: Sequence[str] = (),
    force_download: bool = False,
) -> ReleaseFolder:
    """The release behind a name, read and checked; fetched from a Hub where it lies there.

    A plain name is, in this order, an installed release, what the catalog entry's environment variable says, or a pin
    of the user's. A guess could load other weights, so there is none.

    Args:
        name: A plain name; "hf://owner/repo" or "hf://owner/repo@revision"; or a folder: a `Path`, or a string such as
            "./release" or "/data/release".
        members: Only the weights of these are fetched and checked; all by default.
        exports: Of the exports that it carries, those to fetch too; `zoo.release.exports` checks one where it is read.
        force_download: Fetches from the Hub also what the cache holds.

    Raises:
        UnknownNameError: No such model or member; names the closest ones.
        FileNotFoundError: A model of the catalog without weights on this machine, or no such folder.
        ValueError: A string that could be a folder as well as something else; says how each is written.
        HubError: A reference that cannot be one, or a Hub that cannot give it.
        ReleaseError: The release is incomplete or altered.
    """
    place = locate(name)
    if isinstance(place, Path):
        return read_release(place, members)
    reference, known = _on_hub(place)
    return pull.pull(reference, members, exports=exports, manifest_sha256=known, force_download=force_download)


def inspect(name: str | Path) -> Inspection:
    """What the release behind a name says of itself; of one on a Hub no weights are fetched."""
    place = locate(name)
    if isinstance(place, Path):
        return inspect_folder(place)
    reference, known = _on_hub(place)
    folder, found, sizes = pull.peek(reference, manifest_sha256=known)
    return inspect_folder(folder, root=download.cache_of(folder), source=str(found), others=sizes)


def verify(name: str | Path) -> list[Check]:
    """Checks all of the release behind a name that can be checked without its data."""
    place = locate(name)
    if isinstance(place, Path):
        return verify_folder(place)
    reference, known = _on_hub(place)
    folder, found = pull.obtain(reference, exports=(INT8,), manifest_sha256=known)
    return verify_folder(folder, root=download.cache_of(folder), source=str(found))


def locate(name: str | Path) -> Place:
    """Where the release behind a name is, by the rules of `find`; nothing of it is read.

    Raises:
        UnknownNameError, FileNotFoundError, ValueError, HubError: As for `find`.
    """
    place = _locate(name)
    if isinstance(place, Path):
        recover(place)  # writing it may have been killed
    return place


def _locate(name: str | Path) -> Place:
    if isinstance(name, os.PathLike):
        return Path(name).expanduser()
    if not isinstance(name, str):
        raise UsageTypeError(f"a model is a name, a folder or an {SCHEME} reference, got a {type(name).__name__}")
    if not name.strip():
        raise UsageError("the name of the model is blank")
    if "://" in name or name.startswith("hf:"):
        return parse(name)
    if "/" in name or "\\" in name:
        _check_unambiguous(name)
        return Path(name).expanduser()
    if (installed := install.find(name)) is not None:
        return installed
    variable = os.environ.get(CATALOG[name].environment) if name in CATALOG else None
    if variable:
        return parse(variable) if variable.startswith(SCHEME) else Path(variable).expanduser()
    if (pin := pins.read().get(name)) is not None:
        return pin
    raise _unknown(name)


def _on_hub(place: Pin | Reference) -> tuple[Reference, str]:
    """The reference, and the sha256 of its manifest where that is pinned."""
    return (place.reference, place.manifest_sha256) if isinstance(place, Pin) else (place, "")


def _check_unambiguous(text: str) -> None:
    """Refuses "owner/repo": whether the folder or the repository is meant must be said."""
    try:
        check_repo(text.partition("@")[0])
    except HubError:
        return
    raise UsageError(
        f"{text!r} can be a folder or a repository: write './{text}' for the folder, '{SCHEME}{text}' for the Hub"
    )


def _unknown(name: str) -> Exception:
    """Why a plain name means nothing here, and what would give it a meaning."""
    if Path(name).is_dir():
        return UsageError(f"{name!r} is no installed model but a folder here: write './{name}' to load the folder")
    if name not in CATALOG:
        hint = f"A folder is written './FOLDER', a repository '{SCHEME}owner/repo'."
        return UnknownNameError("model", name, registry.list_models(kind="ensemble"), hint)
    entry = CATALOG[name]
    return FileNotFoundError(
        f"{name!r} has no weights on this machine. Give it some: (1) train and install them: {entry.how}; "
        f"(2) install a release you have: zoo install FOLDER --as {name}; "
        f"(3) pin a release on a Hub: zoo catalog add {name} {SCHEME}owner/repo; "
        f"(4) name a release folder or {SCHEME}owner/repo in {entry.environment}, or pass it: zoo.load('./FOLDER'). "
        f"Looked in {home.home() / 'releases'}."
    )
