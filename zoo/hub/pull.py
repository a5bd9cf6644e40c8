"""Downloads a release from a Hub: one commit, only the needed files, each checked before it is used."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from zoo.config.specs import EnsembleSpec
from zoo.core.counting import listed
from zoo.core.errors import HubError, IntegrityError, ReleaseError
from zoo.core.warn import warn_user
from zoo.gate import reference as gate
from zoo.hub import download
from zoo.hub.download import listing as listing
from zoo.hub.reference import Reference, parse
from zoo.release import manifest, tested, trained_on
from zoo.release.folder import ReleaseFolder
from zoo.release.layout import FOLDER, SMALL
from zoo.release.manifest import Listed
from zoo.release.read import read_release
from zoo.release.small_files import max_bytes
from zoo.release.unsafe import unsafe_alone

#: The files beside the weights that a release is read from.
_SMALL = (manifest.MANIFEST, *SMALL)
_JSON = tuple(name for name in _SMALL if name.endswith(".json"))

#: A file whose size differs from the manifest's is not downloaded, unless it is so small that its content can explain
#: the difference: a git-lfs pointer, an error page.
_TELLING_BYTES = 64 * 2**10


def pull(
    reference: Reference | str,
    members: Sequence[str] | None = None,
    *,
    exports: Collection[str] = (),
    manifest_sha256: str = "",
    force_download: bool = False,
) -> ReleaseFolder:
    """Downloads a release from a Hub into the client's cache and reads it.

    The revision is resolved to a commit once, and all files are of that commit. A pinned reference whose files are all
    in the cache needs no request. If the Hub is offline or does not answer, the cache is used.

    Args:
        reference: "hf://owner/repo@revision".
        members: Members whose weights are downloaded; all by default.
        exports: Exports of the release to download as well.
        manifest_sha256: Expected SHA-256 of the manifest, if known.
        force_download: Whether to download and replace files that are already in the cache, such as a damaged one.

    Returns:
        The release, read and checked; its `source` names the commit.

    Raises:
        HubError: Neither the Hub nor the cache has the release; the message says what to do.
        IntegrityError: A file differs from its entry in the manifest, or the manifest from `manifest_sha256`.
        ReleaseError: It is not a release that this version can read.
        UnknownNameError: There is no such member; raised before any weights are downloaded.
    """
    reference = parse(reference) if isinstance(reference, str) else reference
    folder, found = obtain(
        reference, members, exports=exports, manifest_sha256=manifest_sha256, force_download=force_download
    )
    with _anew(found):
        found_here = read_release(folder, members, root=download.cache_of(folder), source=str(found))
    download.remember(folder, reference.revision)
    if not reference.pinned:
        warn_user(f"{reference} is not pinned and may change: this is {found}")
    return found_here


def obtain(
    reference: Reference,
    members: Sequence[str] | None = None,
    *,
    exports: Collection[str] = (),
    manifest_sha256: str = "",
    force_download: bool = False,
) -> tuple[Path, Reference]:
    """Downloads a release into the client's cache as `pull` does, but does not read it.

    Returns:
        The folder in the cache, and the commit.

    Raises:
        HubError: The Hub cannot be reached, or has no such repository or revision.
        IntegrityError, ReleaseError: What was downloaded is not the release of the manifest.
        UnknownNameError: No such member.
    """
    if reference.pinned and not force_download and _missing(reference, members, exports, manifest_sha256) == []:
        return _folder(reference), reference
    found, sizes = _resolve(reference, members, exports, manifest_sha256, force_download)
    if sizes is not None:
        spec = _fetch_small(found, sizes, manifest_sha256, force_download)
        _fetch_large(found, sizes, _large(_folder(found), spec, members, exports), force_download)
    return _folder(found), found


def peek(reference: Reference, *, manifest_sha256: str = "") -> tuple[Path, Reference, dict[str, int]]:
    """Downloads the files that describe a release, without its weights.

    Returns:
        The folder in the cache, with the small files; the commit; and names and sizes of the repository's files (if the
        Hub does not answer, of the files that the manifest lists).

    Raises:
        HubError: The Hub cannot be reached, or has no such repository or revision.
        IntegrityError, ReleaseError: What was downloaded is not the release of the manifest.
    """
    found, sizes = _resolve(reference, (), (), manifest_sha256, False)
    if sizes is not None:
        _fetch_small(found, sizes, manifest_sha256, False)
        return _folder(found), found, sizes
    folder = _folder(found)
    files = _files(folder)
    return folder, found, {name: file.size for name, file in files.items()}


def cached_spec(reference: Reference, *, manifest_sha256: str = "") -> EnsembleSpec | None:
    """The spec of a release if it is in the client's cache, otherwise None; makes no request."""
    folder = download.snapshot(reference)
    if folder is None or any(not (folder / name).is_file() for name in _SMALL):
        return None
    with _anew(reference):
        return _check_small(folder, manifest_sha256)


def _resolve(
    reference: Reference,
    members: Sequence[str] | None,
    exports: Collection[str],
    manifest_sha256: str,
    force: bool,
) -> tuple[Reference, dict[str, int] | None]:
    """The commit, and the sizes of its files; None for the sizes if the cache is used instead of the Hub."""
    try:
        commit, sizes = listing(reference)
    except HubError as error:
        if force or not download.unreachable(error):
            raise
        missing = _missing(reference, members, exports, manifest_sha256)
        if missing is None:
            raise HubError(f"{error}; the cache has no copy of it") from error
        if missing:
            raise HubError(f"{error}; the cache is incomplete: it lacks {_some(missing)}; connect once") from error
        if not download.offline():
            warn_user(f"{error}; taking what the cache has of it")
        return Reference(reference.repo, _folder(reference).name), None
    return Reference(reference.repo, commit), sizes


def _missing(
    reference: Reference, members: Sequence[str] | None, exports: Collection[str], manifest_sha256: str
) -> list[str] | None:
    """The needed files that are not in the cache; None if even the manifest is missing."""
    folder = download.snapshot(reference)
    if folder is None:
        return None
    if missing := [name for name in _SMALL if not (folder / name).is_file()]:
        return missing
    with _anew(reference):
        large = _large(folder, _check_small(folder, manifest_sha256), members, exports)
    return [name for name in large if not (folder / name).is_file()]


def _fetch_small(found: Reference, sizes: Mapping[str, int], manifest_sha256: str, force: bool) -> EnsembleSpec:
    """Downloads and checks all needed files except the weights."""
    _require_release(found, sizes)
    for name in _JSON:
        if sizes.get(name, 0) > max_bytes(name):
            most = f"this file may have {max_bytes(name):,}"
            raise HubError(f"{found}: {name!r} has {sizes[name]:,} bytes there, {most}; it was not downloaded")
    if force and (folder := download.snapshot(found)):
        for stray in download.strays(folder):
            stray.unlink()
    download.fetch(found, {manifest.MANIFEST: sizes[manifest.MANIFEST]}, force=force)
    folder = _folder(found)
    with _anew(found):
        files = _files(folder, manifest_sha256)
    _agree(found, _SMALL[1:], files, sizes)
    names = [*_SMALL[1:], *(n for n in (manifest.CARD,) if 0 <= sizes.get(n, -1) <= manifest.MAX_JSON_BYTES)]
    download.fetch(found, {name: sizes[name] for name in names}, force=force)
    with _anew(found):
        return _check_small(folder)


def _fetch_large(found: Reference, sizes: Mapping[str, int], names: Sequence[str], force: bool) -> None:
    folder = _folder(found)
    _agree(found, names, _files(folder), sizes)
    needed = sum(sizes[name] for name in names if force or not (folder / name).exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HubError(
            f"{found}: its weights need {needed:,} bytes, {free:,} are free in {download.cache_of(folder)}: free some, "
            "or set HF_HOME to a place on another disk"
        )
    download.fetch(found, {name: sizes[name] for name in names}, weights=True, force=force)


def _require_release(found: Reference, sizes: Mapping[str, int]) -> None:
    """Refuses a repository without a manifest before anything is downloaded."""
    if manifest.MANIFEST in sizes:
        return
    if unsafe := unsafe_alone(sizes):
        raise HubError(
            f"{found}: holds only unsafe formats ({_some(unsafe)}): reading one may run code; there is no fallback, "
            "ask its owner for a zoo release"
        )
    raise HubError(f"{found}: is no zoo release: it has no {manifest.MANIFEST} (it has {_some(sizes) or 'no file'})")


def _agree(found: Reference, names: Sequence[str], files: Mapping[str, Listed], sizes: Mapping[str, int]) -> None:
    """Refuses, before the download, files that cannot be those of the manifest."""
    for name in names:
        stated = files[name].size if name in files else -1
        if not 0 <= stated <= max_bytes(name):
            raise HubError(f"{found}: {manifest.MANIFEST} gives no size of {name!r} that a file of a release can have")
        if name not in sizes:
            raise IntegrityError(f"{found}: {name!r} is not there, though {manifest.MANIFEST} lists it: incomplete")
        if sizes[name] != stated and sizes[name] > _TELLING_BYTES:
            raise IntegrityError(
                f"{found}: {name!r} has {sizes[name]:,} bytes there, {manifest.MANIFEST} says {stated:,}: altered "
                "after it was released; it was not downloaded"
            )


def _check_small(folder: Path, manifest_sha256: str = "") -> EnsembleSpec:
    """The spec of a release in the cache, after its small files were checked against the manifest."""
    found = _cached(folder, manifest_sha256)
    found.require()
    manifest.check(folder, found.files, only=_SMALL, root=found.root)
    return found.spec


def _cached(folder: Path, manifest_sha256: str = "") -> ReleaseFolder:
    """A folder in the cache whose manifest is the expected one and lists only paths inside the folder."""
    if strays := [path.name for path in download.strays(folder)]:
        raise IntegrityError(f"{folder}: {_some(strays)} leads outside the cache")
    found = ReleaseFolder(folder, root=download.cache_of(folder))
    path = folder / manifest.MANIFEST
    small = path.is_file() and path.stat().st_size <= max_bytes(manifest.MANIFEST)
    if manifest_sha256 and not (small and found.manifest_sha256 == manifest_sha256):
        raise IntegrityError(f"{path}: altered; its sha256 is not {manifest_sha256}, which is pinned")
    try:
        found.json(manifest.MANIFEST)
    except ReleaseError as error:
        raise IntegrityError(str(error)) from None
    return found


def _files(folder: Path, manifest_sha256: str = "") -> Mapping[str, Listed]:
    """The entries of the manifest of a folder in the cache; every name is a path inside the folder."""
    return _cached(folder, manifest_sha256).files


def _large(folder: Path, spec: EnsembleSpec, members: Sequence[str] | None, exports: Collection[str]) -> list[str]:
    """The needed files besides the small ones: weights; digests, gate and scores if there are any; exports."""
    chosen = [m.name for m in spec.members] if members is None else [spec.member(name).name for name in members]
    weights = [f"{name}.safetensors" for name in dict.fromkeys(chosen)]
    places = tuple(f"{FOLDER}/{kind}/" for kind in exports)
    optional = (trained_on.FILE, gate.FILE, tested.FILE)
    others = [name for name in _files(folder) if name in optional or name.startswith(places)]
    return weights + others


def _folder(reference: Reference) -> Path:
    folder = download.snapshot(reference)
    if folder is None:
        raise HubError(f"{reference}: it vanished from the cache while it was read: run again")
    return folder


@contextmanager
def _anew(found: Reference) -> Iterator[None]:
    """Adds to the error for a damaged file how to download it again; only the user may decide to delete it."""
    try:
        yield
    except IntegrityError as error:
        again = f"zoo.load('{found}', force_download=True) downloads it anew"
        raise IntegrityError(f"{error}; {again}") from None


def _some(names: Collection[str]) -> str:
    """Lists the first names on one line, whatever characters they contain."""
    return listed([repr(name)[:80] for name in names], 5)
