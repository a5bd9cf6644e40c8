"""Finds the release of an installed name, a pinned name, a folder or a Hub reference."""

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
from zoo.names import ported_ensemble, porting, registry
from zoo.names.catalog import CATALOG
from zoo.release import install
from zoo.release.folder import ReleaseFolder
from zoo.release.inspect import Inspection
from zoo.release.inspect import inspect as inspect_folder
from zoo.release.layout import INT8
from zoo.release.read import read_release
from zoo.release.verify import Check
from zoo.release.verify import verify as verify_folder

#: Location of a release: a local folder, or a Hub repository.
Place = Path | Pin | Reference


def find(
    name: str | Path,
    members: Sequence[str] | None = None,
    *,
    exports: Sequence[str] = (),
    force_download: bool = False,
) -> ReleaseFolder:
    """Returns the release of a name, read and checked; it is downloaded if it is on a Hub.

    A plain name means, in this order, an installed release, one that comes with the package, the value of the catalog
    entry's environment variable, the user's pin, or weights of others in the catalog, which are fetched and installed
    on first use. There is no further search, because a guess could load different weights.

    Args:
        name: A plain name; "hf://owner/repo" or "hf://owner/repo@revision"; or a folder: a `Path`, or a string such as
            "./release" or "/data/release".
        members: Members whose weights are downloaded and checked; all by default.
        exports: Exports of the release to download as well; `zoo.release.exports` checks each one on reading.
        force_download: Whether to download files again that are already in the cache.

    Raises:
        UnknownNameError: There is no such model or member; names the closest ones.
        FileNotFoundError: A catalog model has no weights on this machine, or a folder does not exist.
        ValueError: A string could be a folder or something else; states how to write each.
        HubError: A reference is invalid, or the Hub cannot provide the release.
        ReleaseError: The release is incomplete or altered.
    """
    place = locate(name)
    if isinstance(place, Path):
        return read_release(place, members)
    reference, known = _on_hub(place)
    return pull.pull(reference, members, exports=exports, manifest_sha256=known, force_download=force_download)


def inspect(name: str | Path) -> Inspection:
    """Describes the release of a name from its own files; no weights are downloaded from a Hub.

    Args:
        name: A name, a folder or an hf:// reference, as `zoo.load` takes it.

    Returns:
        An `Inspection`; for a broken release it has `problems`.

    Raises:
        UnknownNameError, FileNotFoundError, ValueError, HubError: The errors of `find`.

    Example:
        >>> inspect("nih-lite").problems
        ()
    """
    place = locate(name)
    if isinstance(place, Path):
        return inspect_folder(place)
    reference, known = _on_hub(place)
    folder, found, sizes = pull.peek(reference, manifest_sha256=known)
    return inspect_folder(folder, root=download.cache_of(folder), source=str(found), others=sizes)


def verify(name: str | Path) -> list[Check]:
    """Checks everything in the release of a name that can be checked without its training data."""
    place = locate(name)
    if isinstance(place, Path):
        return verify_folder(place)
    reference, known = _on_hub(place)
    folder, found = pull.obtain(reference, exports=(INT8,), manifest_sha256=known)
    return verify_folder(folder, root=download.cache_of(folder), source=str(found))


def locate(name: str | Path) -> Place:
    """Returns the location of the release of a name by the rules of `find`, without reading the release.

    Raises:
        UnknownNameError, FileNotFoundError, ValueError, HubError: The errors of `find`.
    """
    place = _locate(name)
    if isinstance(place, Path) and place.parent != home.INCLUDED:
        recover(place)  # an earlier write may have been interrupted
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
    if porting.is_known(name):
        return porting.obtain(name)
    raise _unknown(name)


def _on_hub(place: Pin | Reference) -> tuple[Reference, str]:
    """Returns the Hub reference, and the sha256 of its manifest if that is pinned (else "")."""
    return (place.reference, place.manifest_sha256) if isinstance(place, Pin) else (place, "")


def _check_unambiguous(text: str) -> None:
    """Refuses "owner/repo", which could mean a folder or a repository."""
    try:
        check_repo(text.partition("@")[0])
    except HubError:
        return
    raise UsageError(
        f"{text!r} can be a folder or a repository: write './{text}' for the folder, '{SCHEME}{text}' for the Hub"
    )


def _unknown(name: str) -> Exception:
    """Returns an error that explains why a plain name is unknown here and how to make it known."""
    if Path(name).is_dir():
        return UsageError(f"{name!r} is no installed model but a folder here: write './{name}' to load the folder")
    if name not in CATALOG:
        hint = f"A folder is written './FOLDER', a repository '{SCHEME}owner/repo'."
        return UnknownNameError("model", name, registry.list_models(kind="ensemble"), hint)
    entry = CATALOG[name]
    return FileNotFoundError(
        f"{name!r} has no weights on this machine. These lines work at once: {_at_once()}. "
        f"Or give it weights of its own: (1) train and install them: {entry.how}; "
        f"(2) install a release you have: zoo install FOLDER --as {name}; "
        f"(3) pin a release on a Hub: zoo catalog add {name} {SCHEME}owner/repo; "
        f"(4) name a release folder or {SCHEME}owner/repo in {entry.environment}, or pass it: zoo.load('./FOLDER'). "
        f"Looked in {home.home() / 'releases'}."
    )


def _at_once() -> str:
    """Lines that load a model that needs no training: those that come with the package, and one that is fetched."""
    here = [f"zoo.load({name!r}), which comes with the package" for name in home.included()]
    fetched = f"zoo.load({ported_ensemble.NAME!r}), which fetches published networks and averages them"
    return "; ".join([*here, fetched])
