"""A release from a Hub: one commit of it, only the files that are needed, each checked before it is used."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import HubError, IntegrityError, ReleaseError
from zoo.core.warn import warn_user
from zoo.hub import download
from zoo.hub.download import listing as listing
from zoo.hub.reference import Reference, parse
from zoo.release import manifest
from zoo.release.documents import SMALL
from zoo.release.exports import FOLDER
from zoo.release.folder import ReleaseFolder, max_bytes
from zoo.release.read import read_release
from zoo.release.unsafe import unsafe_alone

#: The files beside the weights that a release is read from.
_SMALL = (manifest.MANIFEST, *SMALL)
_JSON = tuple(name for name in _SMALL if name.endswith(".json"))

#: A file of another size than the manifest's is refused unseen, unless it is so small that it can say what it is: a
#: git-lfs pointer, an error page.
_TELLING_BYTES = 64 * 2**10


def pull(
    reference: Reference | str,
    members: Sequence[str] | None = None,
    *,
    exports: Collection[str] = (),
    manifest_sha256: str = "",
    force_download: bool = False,
) -> ReleaseFolder:
    """Gets a release of a Hub into the client's cache and reads it there.

    The revision is resolved to a commit once, and everything is of that commit. A pinned reference whose files are all
    in the cache makes no request. Where the Hub is offline or does not answer, the cache stands in.

    Args:
        reference: "hf://owner/repo@revision".
        members: Only the weights of these are fetched; all by default.
        exports: Of the exports that it carries, those to fetch as well.
        manifest_sha256: What the manifest must be, where that is known.
        force_download: Fetches and replaces also the files that are there, such as a damaged one.

    Returns:
        The release, read and checked; its `source` names the commit.

    Raises:
        HubError: The Hub and the cache cannot give it; one line with what to do.
        IntegrityError: A file is not the one that the manifest lists, or the manifest not the one asked for.
        ReleaseError: It is no release that this version reads.
        UnknownNameError: It has no such member; found before any weights are fetched.
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
    """Gets a release into the client's cache as `pull` does, and does not read it.

    Returns:
        Its folder in the cache, and the commit.

    Raises:
        HubError, IntegrityError, ReleaseError, UnknownNameError: As for `pull`.
    """
    if reference.pinned and not force_download and _missing(reference, members, exports, manifest_sha256) == []:
        return _folder(reference), reference
    found, sizes = _resolve(reference, members, exports, manifest_sha256, force_download)
    if sizes is not None:
        spec = _fetch_small(found, sizes, manifest_sha256, force_download)
        _fetch_large(found, sizes, _large(_folder(found), spec, members, exports), force_download)
    return _folder(found), found


def peek(reference: Reference, *, manifest_sha256: str = "") -> tuple[Path, Reference, dict[str, int]]:
    """Gets what describes a release, and no weights.

    Returns:
        Its folder in the cache, with the small files in it; the commit; and name and size of the repository's files
        (where the Hub does not answer, of those that the manifest lists).

    Raises:
        HubError, IntegrityError, ReleaseError: As for `pull`.
    """
    found, sizes = _resolve(reference, (), (), manifest_sha256, False)
    if sizes is not None:
        _fetch_small(found, sizes, manifest_sha256, False)
        return _folder(found), found, sizes
    folder = _folder(found)
    files = _files(folder)
    return folder, found, {name: size for name in files if (size := _size(files, name)) is not None}


def cached_spec(reference: Reference, *, manifest_sha256: str = "") -> EnsembleSpec | None:
    """What a release is made of, where the client's cache knows; asks nobody."""
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
    """The commit, and the sizes of its files; None for these where the cache has to stand in, and can."""
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
    """The files that are needed and not in the cache; None where it does not even have the manifest."""
    folder = download.snapshot(reference)
    if folder is None:
        return None
    if missing := [name for name in _SMALL if not (folder / name).is_file()]:
        return missing
    with _anew(reference):
        large = _large(folder, _check_small(folder, manifest_sha256), members, exports)
    return [name for name in large if not (folder / name).is_file()]


def _fetch_small(found: Reference, sizes: Mapping[str, int], manifest_sha256: str, force: bool) -> EnsembleSpec:
    """Fetches and checks all that is needed but the weights."""
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
    """Refuses a repository without a manifest before anything of it is downloaded."""
    if manifest.MANIFEST in sizes:
        return
    if unsafe := unsafe_alone(sizes):
        raise HubError(
            f"{found}: holds only unsafe formats ({_some(unsafe)}): reading one may run code; there is no fallback, "
            "ask its owner for a zoo release"
        )
    raise HubError(f"{found}: is no zoo release: it has no {manifest.MANIFEST} (it has {_some(sizes) or 'no file'})")


def _agree(found: Reference, names: Sequence[str], files: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Refuses files before they are downloaded that cannot be those of the manifest."""
    for name in names:
        stated = _size(files, name)
        if stated is None or not 0 <= stated <= max_bytes(name):
            raise HubError(f"{found}: {manifest.MANIFEST} gives no size of {name!r} that a file of a release can have")
        if name not in sizes:
            raise IntegrityError(f"{found}: {name!r} is not there, though {manifest.MANIFEST} lists it: incomplete")
        if sizes[name] != stated and sizes[name] > _TELLING_BYTES:
            raise IntegrityError(
                f"{found}: {name!r} has {sizes[name]:,} bytes there, {manifest.MANIFEST} says {stated:,}: altered "
                "after it was released; it was not downloaded"
            )


def _size(files: Mapping[str, Any], name: str) -> int | None:
    """Bytes of a file, as the manifest says."""
    size = files[name].get("size") if isinstance(files.get(name), dict) else None
    return size if type(size) is int else None


def _check_small(folder: Path, manifest_sha256: str = "") -> EnsembleSpec:
    """What a release in the cache is made of, after its small files were held against the manifest."""
    found = _cached(folder, manifest_sha256)
    found.require()
    manifest.check(folder, found.files, only=_SMALL, root=found.root)
    return found.spec


def _cached(folder: Path, manifest_sha256: str = "") -> ReleaseFolder:
    """A folder in the cache whose manifest is the one asked for, and lists paths inside it alone."""
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


def _files(folder: Path, manifest_sha256: str = "") -> Mapping[str, Any]:
    """What the manifest of a folder in the cache lists; every name is a path inside it."""
    return _cached(folder, manifest_sha256).files


def _large(folder: Path, spec: EnsembleSpec, members: Sequence[str] | None, exports: Collection[str]) -> list[str]:
    """The files that are needed beside the small ones: weights, and of exports those that the release carries."""
    chosen = [m.name for m in spec.members] if members is None else [spec.member(name).name for name in members]
    weights = [f"{name}.safetensors" for name in dict.fromkeys(chosen)]
    places = tuple(f"{FOLDER}/{kind}/" for kind in exports)
    return weights + ([name for name in _files(folder) if name.startswith(places)] if places else [])


def _folder(reference: Reference) -> Path:
    folder = download.snapshot(reference)
    if folder is None:
        raise HubError(f"{reference}: it vanished from the cache while it was read: run again")
    return folder


@contextmanager
def _anew(found: Reference) -> Iterator[None]:
    """Says of a damaged file how to get it again; deleting it is for the user to ask for."""
    try:
        yield
    except IntegrityError as error:
        again = f"zoo.load('{found}', force_download=True) downloads it anew"
        raise IntegrityError(f"{error}; {again}") from None


def _some(names: Collection[str]) -> str:
    """Some names, as text on one line whatever they are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(name)[:80] for name in islice(names, 5)) + more
