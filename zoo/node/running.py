"""The node at work: complete studies are predicted, and their results sent until the archive has confirmed them."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo.core.counting import counted
from zoo.core.errors import UsageError, ZooError
from zoo.core.files import content_key
from zoo.dicom import Wanted, algorithm_of
from zoo.node.archive import Archive, RefusedError, UnreachableError
from zoo.node.predicting import write_results
from zoo.node.receiving import Receiver
from zoo.node.settings import Settings
from zoo.node.spool import Job, Spool

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor

_LOG = logging.getLogger(__name__)

#: Attempts to predict a study that may end the process before it is kept aside.
_ATTEMPTS = 25

#: Seconds between two looks at the spool, and more for each study in it: thousands may wait for the archive.
_TICK, _TICK_OF_A_STUDY = 0.2, 0.005

#: Characters of a study's name in the spool that are logged.
_SHORT = 8


class Source(Protocol):
    """Where studies come from, if they have to be fetched."""

    def poll(self) -> None:
        """Puts new images into the spool; called again and again.

        Raises:
            UnreachableError: The server cannot be reached.
        """
        raise NotImplementedError


class Node:
    """What is done with the studies in a spool.

    Args:
        spool: An opened spool.
        predictor: The model.
        archive: Where results go.
        settings: Quiet time, and pauses between attempts.
        wanted: Operating point, heatmaps and captures.
        source: What fetches studies, if they do not come by themselves.
    """

    def __init__(
        self,
        spool: Spool,
        predictor: Predictor,
        archive: Archive,
        settings: Settings,
        wanted: Wanted,
        source: Source | None = None,
    ) -> None:
        self._spool, self._predictor, self._archive, self._wanted = spool, predictor, archive, wanted
        self._settings, self._source = settings, source
        self._pauses: dict[str, tuple[float, float]] = {}  # of the archive "", the source, and studies: until, length

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; the step that is being done is finished."""
        while not stop.is_set():
            if self._source is not None and self._may("source"):
                try:
                    self._source.poll()
                    self._pauses.pop("source", None)
                except (UnreachableError, RefusedError) as error:
                    _LOG.warning("%s; tried again in %.0f s", error, self._pause("source"))
            jobs = self._spool.complete(self._settings.quiet)
            for job in jobs:
                if stop.is_set():
                    return
                self.advance(job)
            stop.wait(_TICK + len(jobs) * _TICK_OF_A_STUDY)

    def advance(self, job: Job) -> None:
        """Does what is next for a study, as far as it can be done now."""
        if not self._may(job.folder.name):
            return
        name = f"study {job.key[:_SHORT]}"
        if reason := job.dropped():
            self._drop(job, reason)
            return
        try:
            if not job.results.is_dir() and not self._predict(job, name):
                return
            for image, why in job.reasons().items():
                if (job.folder / image).exists():
                    _LOG.warning("%s: an image is kept aside: %s", name, why)
                    self._spool.put_aside(job.folder / image, why)
            if job.unsent() and not self._send(job, name):
                return
            self._spool.finish(job)
            _LOG.info("%s: done", name)
        except OSError as error:  # of the disk: full, or gone
            why = (error.strerror or "an error").lower()
            _LOG.error("%s: the disk: %s; tried again in %.0f s", name, why, self._pause(job.folder.name))

    def _predict(self, job: Job, name: str) -> bool:
        """Writes the results of a study; False if it was dropped."""
        if job.count("attempts") > _ATTEMPTS:
            self._drop(job, f"no result: {_ATTEMPTS} attempts ended the process")
            return False
        begun = time.monotonic()
        try:
            write_results(self._predictor, job, self._wanted)
        except OSError:
            job.count("attempts", -1)
            raise
        except ZooError as error:
            self._drop(job, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a fault of this package in one study may not stop the others
            where = traceback.extract_tb(error.__traceback__)[-1]
            # Not the message, which may have values of a header.
            self._drop(job, f"a fault of this package: {type(error).__name__} at {where.filename}:{where.lineno}")
            return False
        images, results = counted(len(job.images()), "image"), counted(len(job.unsent()), "result")
        _LOG.info("%s: %s, %s in %.2f s", name, images, results, time.monotonic() - begun)
        return True

    def _send(self, job: Job, name: str) -> bool:
        """Sends the results of a study; False if some are left."""
        if not self._may(""):
            return False
        try:
            self._archive.send(job.unsent(), job.sent)
        except UnreachableError as error:
            _LOG.warning("%s; tried again in %.0f s", error, self._pause(""))
            return False
        except RefusedError as error:
            if job.count("refusals") >= self._settings.refusals:
                self._drop(job, str(error))
            else:
                _LOG.warning("%s: %s; tried again in %.0f s", name, error, self._pause(job.folder.name))
            return False
        self._pauses.pop("", None)
        self._pauses.pop(job.folder.name, None)
        return True

    def _drop(self, job: Job, reason: str) -> None:
        _LOG.error("study %s: %s kept aside: %s", job.key[:_SHORT], counted(len(job.images()), "image"), reason)
        self._spool.drop(job, reason)
        self._pauses.pop(job.folder.name, None)

    def _may(self, what: str) -> bool:
        return time.monotonic() >= self._pauses.get(what, (0.0, 0.0))[0]

    def _pause(self, what: str) -> float:
        """Notes that something failed, and returns the pause before it is tried again."""
        last = self._pauses.get(what, (0.0, 0.0))[1]
        pause = min(2 * last or self._settings.retry, self._settings.retry_most)
        self._pauses[what] = time.monotonic() + pause, pause
        return pause


def run(
    predictor: Predictor,
    folder: Path,
    archive: Archive,
    settings: Settings,
    wanted: Wanted,
    started: Callable[[int], None],
    source: Callable[[Spool], Source] | None = None,
) -> dict[str, int]:
    """Runs a node until SIGTERM or Ctrl-C.

    Args:
        predictor: The model.
        folder: Its spool.
        archive: Where results go.
        settings: Title, address and limits.
        wanted: Operating point, heatmaps and captures.
        started: Called with the port when images are received; with 0 if they are fetched.
        source: Makes what fetches studies; without it they come by C-STORE.

    Returns:
        What is in the spool at the end.

    Raises:
        StateError: The model cannot be identified or has no thresholds, or another process uses the spool.
        UsageError: The address cannot be listened on, or heatmaps are wanted of a model without Keras.
    """
    algorithm = algorithm_of(predictor, wanted.point)
    if wanted.heatmaps != "none" and predictor.runtime.name != "keras":
        raise UsageError("heatmaps need --runtime keras; choose --heatmaps none for another runtime")
    model = content_key([algorithm.uid("node"), wanted.heatmaps, wanted.captures, wanted.method], 16)
    with Spool(folder, settings.spool_bytes, settings.spool_objects, model).opened() as spool, _signals() as stop:
        node = Node(spool, predictor, archive, settings, wanted, source(spool) if source else None)
        if source is not None:
            started(0)
            node.run(stop)
        else:
            with Receiver(spool, settings, predictor.limits) as receiver:
                started(receiver.port)
                node.run(stop)
            said = ", ".join(f"{what}: {number:,}" for what, number in sorted(receiver.counts.items()))
            _LOG.info("objects received: %s", said or "none")
        return spool.counts()


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGHUP and Ctrl-C set; the second signal acts as usual."""
    stop, names = threading.Event(), ("SIGTERM", "SIGINT", "SIGHUP")  # no SIGHUP on Windows
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored, as SIGHUP is under `nohup`, stays ignored.
    before = {number: old for number in numbers if (old := signal.getsignal(number)) != signal.SIG_IGN}

    def end(number: int, frame: object) -> None:
        stop.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
