"""The Hub's client for reading: each call bounded in time, each failure one line, and its cache looked into."""

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

#: Seconds for an answer, or for a batch of small files; and the least for weights.
SMALL_SECONDS, WEIGHTS_SECONDS = 60.0, 120.0

#: A batch gets more time where it is large: slower than this, all of it together, is given up.
BYTES_PER_SECOND = 50_000

#: By how much the clock of a file system may be behind.
CLOCK_SECONDS = 2.0


def listing(reference: Reference) -> tuple[str, dict[str, int]]:
    """Asks the Hub what a revision is.

    Args:
        reference: Its revision is resolved here and only here.

    Returns:
        The commit, and the size in bytes of each of its files by name.

    Raises:
        HubError: Not found, not allowed, not reachable, or no answer in `SMALL_SECONDS`; its `__cause__` says which.
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
    """Downloads files of one commit into the client's cache, side by side; those that are there are not asked for.

    Args:
        reference: Pinned to a commit.
        sizes: Size in bytes of each file to fetch, by name; what there is to wait for.
        weights: Whether the client may show its bars.
        force: Downloads and replaces also what is there.

    Raises:
        HubError: One file or more did not come; what did come is kept.
    """
    seconds = max(WEIGHTS_SECONDS if weights else SMALL_SECONDS, sum(sizes.values()) / BYTES_PER_SECOND)
    calls = {f"downloading {n} of {reference}": partial(_fetch, reference, n, sizes[n], weights, force) for n in sizes}
    _bounded(calls, seconds)


def snapshot(reference: Reference) -> Path | None:
    """The folder of a revision in the client's cache, where it has a manifest; asks nobody."""
    found = _cached(reference, manifest.MANIFEST)
    return found.parent if found else None


def cache_of(folder: Path) -> Path:
    """The whole cache that a snapshot is in: its links lead to files of the repository, or to those that many share."""
    return folder.parents[2]


def strays(folder: Path) -> list[Path]:
    """Links in a snapshot that lead out of the cache, or to themselves: the client makes none."""
    cache = cache_of(folder).resolve()

    def stays(link: Path) -> bool:
        try:
            return link.resolve().is_relative_to(cache)
        except (OSError, RuntimeError):
            return False

    return [path for path in folder.rglob("*") if path.is_symlink() and not stays(path)]


def remember(folder: Path, revision: str) -> None:
    """Notes in the cache, as the client does, that a branch or tag is this commit: to find it without the Hub.

    Downloads go by commit, and leave no such note. It is for a commit that is there whole: until then the note may well
    lead to an older one that is. A cache that cannot be written goes without.

    Args:
        folder: The commit's, in the cache.
        revision: Checked by `Reference`: a path below the cache's `refs`.
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
    """Whether the user wants no network (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def unreachable(error: HubError) -> bool:
    """Whether a Hub that may well have what was asked did not answer, or not as one: the cache may stand in."""
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
    """Keeps what came with another length than the Hub lists out of the cache: the next load would find it there.

    The client goes by the length that the answer itself states. What lay in the cache before is left for the user to
    replace.
    """
    blob = path.resolve()
    if (found := blob.stat()).st_size == size:
        return
    if found.st_mtime >= started - CLOCK_SECONDS:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
    raise HubError(f"{what}, on {endpoint()}: it came with {found.st_size:,} bytes, {size:,} are listed; run again")


def _bounded(calls: Mapping[str, Callable[[], Any]], seconds: float) -> list[Any]:
    """Results of calls of the client, side by side; the first failure, or the end of the time, ends the wait.

    The client has limits for a silent server, none for one that drips. Its threads must be daemons: those of a
    `ThreadPoolExecutor` would keep the process from ending.

    Args:
        calls: What is being done -> how.
        seconds: For all of them.
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
            # Ends the connections: threads that still wait end too, and let go of their files' locks.
            close_session()


def _run(what: str, call: Callable[[], Any], future: Future[Any]) -> None:
    try:
        with hub_errors(what):
            future.set_result(call())
    except BaseException as error:  # noqa: BLE001  whatever it is, it is raised where the result is waited for
        future.set_exception(error)
