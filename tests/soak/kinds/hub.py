"""A Hub, a network and a cache that fail while a release is loaded or published: whole, or not at all, and in time."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from loopback_hub import WRITE_TOKEN, Server, session

from soak import Lost, Trial, Wrong
from soak.mutation import Rng

AIM, SECONDS, MEMORY = 500, 240.0, 512 << 20

REPO, COMMIT = "tester/tiny", "POST /api/models/tester/tiny/commit/main"

#: Where a fault strikes while a release is loaded, and while one is published.
LOADING = {
    "listing": "GET /api/models/", "head": "HEAD .*/resolve/", "manifest": "/resolve/.*/manifest.json",
    "documents": "GET .*/resolve/.*json", "weights": "GET /cdn/.*/tiny0", "sent on": "/resolve/.*/tiny1",
    "anything": ".",
}  # fmt: skip
PUBLISHING = {
    "who": "GET /api/whoami", "create": "POST /api/repos/create", "card": "POST /api/validate-yaml", "commit": COMMIT,
    "upload": "PUT /upload", "batch": "/info/lfs/objects/batch", "preupload": "POST .*/preupload",
    "tag": "POST .*/tag/",
    "listing": "GET /api/models/", "look again": "HEAD .*/resolve/", "anything": ".",
}  # fmt: skip

FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("status", {"status": code}) for code in (400, 401, 403, 404, 409, 412, 429, 500, 502, 503, 504)),
    ("status", {"status": 429, "retry_after": 1}), ("status", {"status": 503, "retry_after": 3600}),
    ("status", {"status": 404, "code": "EntryNotFound"}), ("status", {"status": 404, "code": "RevisionNotFound"}),
    ("drop", {}), ("lose", {}), ("html", {}), ("redirect", {}), ("truncate", {}), ("corrupt", {}), ("etag", {}),
    ("length", {"by": 7}), ("length", {"by": -7}), ("drip", {"rate": 5000}), ("drip", {"rate": 50}),
    ("delay", {"seconds": 0.5}), ("delay", {"seconds": 5.0}),
)  # fmt: skip

#: In this file the two releases differ.
OTHER = "decision.json"

#: Longest time of one call: the limits of `zoo.hub.download` that are set here, and the pauses of the client.
BOUND = 40.0

#: Publishing asks for each file, one after the other, and the longest delay may strike every time.
PUBLISH_BOUND = BOUND + 15 * 5.0


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    server = session.start()
    import huggingface_hub.utils._http as http
    from huggingface_hub import constants
    from publishable import publishable_release

    from zoo.hub import download

    # Pauses of the client between two tries are cut, not left out.
    pauses = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: time.sleep(min(seconds, 0.05))})
    http.time = pauses  # type: ignore[assignment]
    download.SMALL_SECONDS = download.WEIGHTS_SECONDS = 4.0
    download.BYTES_PER_SECOND = 10**9
    first = publishable_release(folder / "first")
    second = shutil.copytree(first, folder / "second")
    _other(second)

    def trial(number: int, rng: Rng) -> str:
        server.reset()
        cache = folder / f"cache-{number}"
        constants.HF_HUB_CACHE = str(cache)
        try:
            with warnings.catch_warnings(action="ignore"):
                return (_publish if number % 3 == 0 else _load)(server, first, second, rng)
        finally:
            server.faults.clear()
            shutil.rmtree(cache, ignore_errors=True)

    yield trial


def _other(folder: Path) -> None:
    """Makes the release another one, with other thresholds."""
    from publishable import rewrite

    def change(data: dict[str, Any]) -> None:
        data["ensemble"]["operating_points"]["max_f1"]["thresholds"][0] = 0.35

    rewrite(folder, OTHER, change)


def _order(server: Server, places: dict[str, str], rng: Rng) -> str:
    """Orders one to three faults, and tells the first."""
    told = []
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        place = [*places][rng.integers(len(places))]
        kind, options = FAULTS[rng.integers(len(FAULTS))]
        times = (1, 1, 2, None)[rng.integers(4)]
        server.faults.add(places[place], kind, times, after=int(rng.choice([0, 0, 1, 3])), **options)
        told.append(f"{kind} at {place}")
    return told[0] if len(told) == 1 else "several faults"


def _call(call: Callable[[], Any], bound: float = BOUND) -> Any:
    """What a call returns, or its error of one line, within the bound of time."""
    from zoo.core.errors import ZooError

    began = time.monotonic()
    try:
        return call()
    except (ZooError, OSError) as error:
        if not isinstance(error, ZooError) and not error.strerror:
            raise
        if not str(error).isprintable() or len(str(error)) > 2000:
            raise Wrong(f"no short line: {str(error)[:2200]!r}") from None
        return error
    finally:
        if time.monotonic() - began > bound:
            raise Wrong(f"a call took {time.monotonic() - began:.0f} s")


def _load(server: Server, first: Path, second: Path, rng: Rng) -> str:
    from huggingface_hub import constants

    from zoo.core.errors import IntegrityError
    from zoo.hub.pull import pull

    commit = server.store.plant(REPO, first)
    pinned = rng.random() < 0.7
    name = f"hf://{REPO}@{commit if pinned else 'main'}"
    way = int(rng.integers(6))
    done = _order(server, LOADING, rng) if way else "the branch is moved"
    if not pinned and (way == 0 or rng.random() < 0.3):
        place = [*LOADING.values()][rng.integers(len(LOADING))]
        server.faults.add(place, "call", 1, call=lambda: server.store.plant(REPO, second), after=int(rng.integers(4)))
    unwritable = way == 1
    if unwritable:
        cache, done = constants.HF_HUB_CACHE, "a cache not to be written"
        constants.HF_HUB_CACHE = "/sys/kernel/zoo-cache"
    if way == 2:
        found = _together([lambda: pull(name)] * 2)
        done = f"two at once, {done}"
    else:
        found = [_call(lambda: pull(name))]
    server.faults.clear()  # the calls have ended: what the client still reads in the background need not drip
    _settle()
    for one in found:
        _whole(one, first, second)
    told = "loaded" if not isinstance(found[0], Exception) else "refused"
    if unwritable:
        constants.HF_HUB_CACHE = cache
        if told == "loaded":
            raise Wrong("loaded from a cache that is none")
    again = _call(lambda: pull(name))
    if isinstance(again, IntegrityError):  # a byte that the network altered: the message says how to go on
        again = _call(lambda: pull(name, force_download=True))
        told += ", altered on the way"
    if isinstance(again, Exception):
        raise Lost(f"{done}: afterwards it cannot be loaded: {again}")
    _whole(again, first, second)
    return f"load, {done}: {told}"


def _whole(found: Any, *releases: Path) -> None:
    """What was loaded is one of the releases, byte by byte."""
    if isinstance(found, Exception):
        return
    wanted = next((each for each in releases if _sha(each / "manifest.json") == found.manifest_sha256), None)
    if wanted is None:
        raise Wrong("loaded under a manifest that nobody published")
    for path in wanted.iterdir():
        if path.name != "README.md" and (found.folder / path.name).read_bytes() != path.read_bytes():
            raise Wrong(f"{path.name} was loaded with other bytes")


def _together(calls: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(calls)

    def run(place: int) -> None:
        try:
            found[place] = _call(calls[place])
        except BaseException as error:  # noqa: BLE001  (raised below, in the thread of the trial)
            found[place] = SimpleNamespace(error=error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, SimpleNamespace):
            raise one.error
    return found


def _settle() -> None:
    """Waits for what the client still does in the background, which has an end too."""
    end = time.monotonic() + 30
    while any("(_run)" in thread.name for thread in threading.enumerate()):
        if time.monotonic() > end:
            raise Wrong("a call of the client goes on for ever")
        time.sleep(0.02)


def _publish(server: Server, first: Path, second: Path, rng: Rng) -> str:
    import os

    from zoo.hub.publish import publish

    os.environ["HF_TOKEN"] = WRITE_TOKEN
    try:
        before = rng.random() < 0.5
        if before:
            publish(first, REPO)
        done = _order(server, PUBLISHING, rng)
        tag = str(rng.choice(["", "v1"]))
        if rng.random() < 0.15:
            found = _together([lambda: publish(second, REPO, tag=tag), lambda: publish(first, REPO)])
            done = f"two at once, {done}"
        else:
            found = [_call(lambda: publish(second, REPO, tag=tag), PUBLISH_BOUND)]
        _published(server, first, second)
        server.faults.clear()
        again = _call(lambda: publish(second, REPO, tag=tag), PUBLISH_BOUND)
        if isinstance(again, Exception) and "somebody committed" not in str(again) and "is taken" not in str(again):
            raise Lost(f"{done}: afterwards it cannot be published: {again}")
        if not isinstance(again, Exception) and _head(server) != _sha(second / OTHER):
            raise Wrong(f"{done}: said to be published, and is not")
        _published(server, first, second)
        return f"publish, {done}: {'refused' if isinstance(found[0], Exception) else 'published'}"
    finally:
        del os.environ["HF_TOKEN"]


def _head(server: Server) -> str:
    """Which release the repository has: publishing writes a manifest of its own."""
    with suppress(KeyError):
        return hashlib.sha256(server.store.read(REPO, OTHER)).hexdigest()
    return ""


def _published(server: Server, first: Path, second: Path) -> None:
    """The repository has no release, or a whole one; a tag names a whole one."""
    if server.store.get(REPO) is None:
        return
    files = server.store.files(REPO)
    if "manifest.json" not in files:
        if set(files) - {".gitattributes", "README.md"}:
            raise Wrong(f"half a release was published: {files}")
        return
    listed = json.loads(server.store.read(REPO, "manifest.json"))["files"]
    for name, facts in listed.items():
        if name != "README.md" and hashlib.sha256(server.store.read(REPO, name)).hexdigest() != facts["sha256"]:
            raise Wrong(f"{name} on the Hub is not the one of its manifest")
    if _head(server) not in (_sha(first / OTHER), _sha(second / OTHER)):
        raise Wrong("a release that nobody published")


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
