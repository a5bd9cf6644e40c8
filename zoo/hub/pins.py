"""The user's own names for releases on a Hub, each pinned to a commit and a manifest: `ZOO_HOME/catalog.json`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zoo.core import home
from zoo.core.errors import ReleaseError, UnknownNameError, UsageError
from zoo.core.files import write_json
from zoo.hub.reference import Reference, parse
from zoo.models import architectures
from zoo.release import manifest

#: Version of the file's form; a newer one is refused.
FORMAT_VERSION = 1

#: Seconds to wait for another process that writes the file.
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Pin:
    """An immutable reference to a release on a Hub.

    Attributes:
        repo: "owner/name".
        revision: Full hash of a commit.
        manifest_sha256: SHA-256 of `manifest.json`, which lists the SHA-256 of all other files.

    >>> Pin("owner/name", "0" * 40, "0" * 64).reference.pinned
    True
    """

    repo: str
    revision: str
    manifest_sha256: str

    def __post_init__(self) -> None:
        if not self.reference.pinned:
            raise ReleaseError(f"a pin needs the 40 hex digits of a commit, got {self.revision!r}")
        if not re.fullmatch("[0-9a-f]{64}", self.manifest_sha256):
            raise ReleaseError(f"manifest_sha256 has 64 hex digits, got {self.manifest_sha256[:80]!r}")

    @property
    def reference(self) -> Reference:
        """The reference to the pinned commit."""
        return Reference(self.repo, self.revision)


def read() -> dict[str, Pin]:
    """The pins by name, sorted.

    Raises:
        ReleaseError: The file is damaged, or of a newer format; names it and the entry.
    """
    path = _path()
    if not path.exists():
        return {}
    data = manifest.read_json(path)
    version, models = data.get("format_version"), data.get("models")
    if version != FORMAT_VERSION:
        raise ReleaseError(
            f"{path}: format_version {version!r} is not {FORMAT_VERSION}: update xrayslam-zoo to read it"
        )
    if not isinstance(models, dict):
        raise ReleaseError(f"{path}: 'models' must be an object, got {type(models).__name__}")
    return {name: _pin(path, name, models[name]) for name in sorted(models)}


def add(name: str, pin: Pin, *, replace: bool = False) -> None:
    """Pins a name; replaces an existing pin to the same repository.

    Raises:
        UsageError: The name is not valid, or already has another meaning.
    """
    with _changing() as pins:
        _check_free(name, pin.repo, pins, replace)
        pins[name] = pin


def add_reference(name: str, reference: str, *, replace: bool = False) -> Pin:
    """Downloads and checks a whole release of a Hub, then pins the name to its commit and manifest.

    Args:
        name: A new name, or a name of the catalog.
        reference: "hf://owner/repo" or "hf://owner/repo@revision"; a branch or tag is resolved now.
        replace: Whether the name may be pinned to another repository.

    Returns:
        The stored pin.

    Raises:
        UsageError: The name is taken, or cannot be the name of a model.
        HubError, ReleaseError: The release cannot be downloaded, or is not one; nothing is pinned.
    """
    from zoo.hub.pull import listing, pull

    wanted = parse(reference)
    _check_free(name, wanted.repo, read(), replace)
    if not wanted.pinned:
        wanted = Reference(wanted.repo, listing(wanted)[0])
    pin = Pin(wanted.repo, wanted.revision, pull(wanted).manifest_sha256)
    add(name, pin, replace=replace)
    return pin


def remove(name: str) -> None:
    """Removes the pin of a name; downloaded files stay in the client's cache.

    Raises:
        UnknownNameError: The name is not pinned.
    """
    with _changing() as pins:
        if name not in pins:
            raise UnknownNameError("pinned model", name, pins)
        del pins[name]


def _path() -> Path:
    return home.home() / "catalog.json"


def _pin(path: Path, name: str, entry: Any) -> Pin:
    fields = {field.name for field in dataclasses.fields(Pin)}
    if not isinstance(entry, dict) or set(entry) != fields or not all(isinstance(v, str) for v in entry.values()):
        raise ReleaseError(f"{path}: {name[:80]!r} must have the texts {', '.join(sorted(fields))} and no more")
    try:
        home.release_dir(name)  # the name must also serve as a folder's
        return Pin(**entry)
    except ValueError as error:
        raise ReleaseError(f"{path}: {name[:80]!r}: {error}") from None


def _check_free(name: str, repo: str, pins: Mapping[str, Pin], replace: bool) -> None:
    folder = home.release_dir(name)
    if name in architectures.ARCHITECTURES:
        raise UsageError(f"{name!r} is the name of a backbone: choose another one")
    if name in home.installed():
        raise UsageError(f"{name!r} is installed, which goes before a pin: choose another name, or remove {folder}")
    if name in home.included():
        raise UsageError(f"{name!r} comes with the package, which goes before a pin: choose another name")
    if name in pins and pins[name].repo != repo and not replace:
        raise UsageError(
            f"{name!r} is pinned to {pins[name].reference}: replace it (--replace), or choose another name"
        )


@contextmanager
def _changing() -> Iterator[dict[str, Pin]]:
    """Yields the pins for changing, and writes them atomically; only one process at a time can do this."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            pins = read()
            yield pins
            models = {name: dataclasses.asdict(pins[name]) for name in sorted(pins)}
            write_json(path, {"format_version": FORMAT_VERSION, "models": models})
    except Timeout:
        raise ReleaseError(f"{path}: another process is writing it ({path}.lock): run again") from None
