"""Reads from the Hub: calls of the client with time limits and one-line errors, and access to the client's cache."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from pathlib import Path
from typing import Any

from zoo.core.errors import HubError
from zoo.core.exchange import beside, real_path
from zoo.hub.hub_errors import endpoint, hub_errors, status
from zoo.hub.reference import Reference
from zoo.release import manifest

#: Time limit in seconds for an answer or a batch of small files, and the minimum limit for weights.
SMALL_SECONDS, WEIGHTS_SECONDS = 60.0, 120.0

#: A large batch gets more time; a download that is slower than this in total is abandoned.
BYTES_PER_SECOND = 50_000

#: Largest delay of a file system's clock.
CLOCK_SECONDS = 2.0


def listing(reference: Reference) -> tuple[str, dict[str, int]]:
    """Looks up the commit and the files of a revision on the Hub.

    Args:
        reference: The revision to resolve.

    Returns:
        The commit, and the size in bytes of each of its files by name.

    Raises:
        HubError: Not found, not allowed, not reachable, or no answer within `SMALL_SECONDS`; see its `__cause__`.
    """
    from huggingface_hub import HfApi

    def ask() -> tuple[str, dict[str, int]]:
        info = HfApi().model_info(
            reference.repo, revision=reference.revision, files_metadata=True, timeout=SMALL_SECONDS
        )
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        if not re.fullmatch("[0-9a-f]{40}", str(info.sha)) or not all(type(s) is int for s in sizes.values()):
            raise ValueError("no commit, or a file without its size")
        return str(info.sha), sizes  # type: ignore[return-value]

    return _bounded({f"looking up {reference}": ask}, SMALL_SECONDS)[0]


def fetch(reference: Reference, sizes: dict[str, int], *, weights: bool = False, force: bool = False) -> None:
    """Downloads files of one commit into the client's cache in parallel; files in the cache are not requested.

    Args:
        reference: A reference to a commit.
        sizes: Size in bytes of each file to download, by name; they determine the time limit.
        weights: Whether the client may show progress bars.
        force: Whether to download and replace files that are already in the cache.

    Raises:
        HubError: At least one file failed; the files that were downloaded stay in the cache.
    """
    seconds = max(WEIGHTS_SECONDS if weights else SMALL_SECONDS, sum(sizes.values()) / BYTES_PER_SECOND)
    calls = {f"downloading {n} of {reference}": partial(_fetch, reference, n, sizes[n], weights, force) for n in sizes}
    _bounded(calls, seconds)


def path_of(reference: Reference, name: str) -> Path:
    """The path of a file in the client's cache.

    Raises:
        HubError: It is not there.
    """
    found = _cached(reference, name)
    if found is None:
        raise HubError(f"{name} of {reference} is not in the cache: run again")
    return found


def snapshot(reference: Reference) -> Path | None:
    """The folder of a revision in the client's cache, or None without a manifest there; makes no request."""
    found = _cached(reference, manifest.MANIFEST)
    return found.parent if found else None


def cache_of(folder: Path) -> Path:
    """The cache that contains a snapshot; links of a snapshot lead to files elsewhere in this cache.

    >>> cache_of(Path("/hub/models--a--b/snapshots/c0ffee")).as_posix()
    '/hub'
    """
    return folder.parents[2]


def strays(folder: Path) -> list[Path]:
    """Links in a snapshot that lead out of the cache or to themselves; the client never makes such links."""
    cache = cache_of(folder).resolve()

    def stays(link: Path) -> bool:
        try:
            return link.resolve().is_relative_to(cache)
        except (OSError, RuntimeError):
            return False

    return [path for path in folder.rglob("*") if path.is_symlink() and not stays(path)]


def remember(folder: Path, revision: str) -> None:
    """Records in the cache, as the client does, which commit a branch or tag is, so that it is found offline.

    Downloads by commit leave no such record. Call this only when the commit is complete; until then the record may
    refer to an older, complete one. If the cache is not writable, nothing is recorded.

    Args:
        folder: The folder of the commit in the cache.
        revision: A revision that `Reference` has checked: a path below the cache's `refs`.
    """
    note = folder.parents[1] / "refs" / revision
    try:
        if revision == folder.name or (note.is_file() and note.read_text("utf-8") == folder.name):
            return
        note.parent.mkdir(parents=True, exist_ok=True)
        with beside(real_path(folder.parents[1] / "commit")) as own:
            new = own / "commit"
            new.write_text(folder.name, "utf-8")
            new.replace(note)
    except (OSError, ValueError):
        return


def offline() -> bool:
    """Whether the user has disabled network access (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def unreachable(error: HubError) -> bool:
    """Whether the Hub gave no proper answer, so that the cache may be used instead.

    >>> unreachable(HubError("no answer"))
    True
    """
    code = status(error.__cause__) if error.__cause__ else 0
    return code in (0, 408, 429) or code >= 500


def _cached(reference: Reference, name: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    # As the client does before it downloads, and not before it looks.
    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    found = try_to_load_from_cache(reference.repo, name, cache, revision=reference.revision)
    return Path(found) if isinstance(found, str) else None


def _fetch(reference: Reference, name: str, size: int, weights: bool, force: bool) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import tqdm

    class Hidden(tqdm):
        """No bar for a small file."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    if force and (old := snapshot(reference)) and not (old / name).is_symlink():
        # Where there are no links the client leaves the file that is there.
        (old / name).unlink(missing_ok=True)
    started, known = time.time(), _cached(reference, name) is not None and not force
    path = hf_hub_download(
        reference.repo,
        name,
        revision=reference.revision,
        force_download=force,
        tqdm_class=None if weights else Hidden,
        library_name="xrayslam-zoo",
    )
    if not known:
        _check_length(Path(path), size, started, f"downloading {name} of {reference}")


def _check_length(path: Path, size: int, started: float, what: str) -> None:
    """Removes a download from the cache if its length differs from the Hub's listing.

    The client only checks the length that the answer itself states. A file that was in the cache before stays; the user
    can replace it.
    """
    blob = path.resolve()
    if (found := blob.stat()).st_size == size:
        return
    if found.st_mtime >= started - CLOCK_SECONDS:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
    raise HubError(f"{what}, on {endpoint()}: it came with {found.st_size:,} bytes, {size:,} are listed; run again")


def _bounded(calls: Mapping[str, Callable[[], Any]], seconds: float) -> list[Any]:
    """Runs calls of the client in parallel, until the first failure or the time limit.

    The client has time limits for a server that does not answer, but none for one that answers very slowly. The threads
    are daemons, since those of a `ThreadPoolExecutor` would keep the process from ending.

    Args:
        calls: Description of the operation -> function.
        seconds: Time limit for all calls together.
    """
    from huggingface_hub import close_session

    futures: list[Future[Any]] = [Future() for _ in calls]
    for (what, call), future in zip(calls.items(), futures, strict=True):
        threading.Thread(target=_run, args=(what, call, future), daemon=True).start()
    try:
        done, late = wait(futures, seconds, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if late:
            what = next(what for what, future in zip(calls, futures, strict=True) if future in late)
            kept = "run again, what has come whole is kept"
            raise HubError(f"{what}, on {endpoint()}: not done in {seconds:.0f} s; {kept}")
        return [future.result() for future in futures]
    finally:
        if not all(future.done() for future in futures):
            # Closes the connections, so that waiting threads end and release the locks of their files.
            close_session()


def _run(what: str, call: Callable[[], Any], future: Future[Any]) -> None:
    try:
        with hub_errors(what):
            future.set_result(call())
    except BaseException as error:  # noqa: BLE001  whatever it is, it is raised where the result is waited for
        future.set_exception(error)
