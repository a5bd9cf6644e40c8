"""Reads images in threads and runs them in batches that form by themselves.

An image is read as soon as a thread is free. A batch starts when it is full, when no other image is being read, or
when its first image has waited for the maximum time: a slow image delays no other one. Two batches run at a time, so
that the runtime has work while one of them ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from zoo.core.errors import ImageError, StateError, UsageError
from zoo.core.process import require_own_process
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Read, infer, read
from zoo.service.answers import Findings, findings_of, unreadable
from zoo.service.metrics import Metrics
from zoo.service.refusals import busy
from zoo.service.settings import Settings

_log = logging.getLogger("zoo.service")

#: Batches that run at a time.
_RUNNING = 2

#: Weight of the newest batch in the mean time per image.
_NEWEST = 0.1


@dataclass(eq=False)
class _Job:
    """One image on its way."""

    content: bytes | None
    answer: asyncio.Future[Findings]
    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.perf_counter)
    read: Read | None = None
    ready: float = 0.0


class Engine:
    """Answers images of any number of requests with one model.

    Args:
        predictor: The model; its `limits` are those of one image.
        settings: Sizes of batch and queue, waiting time and operating point.
        metrics: Counts and measures.

    Raises:
        UsageError: `predictor.on_reject` is "raise".
        UnknownNameError: The model has no such operating point.

    Example:
        >>> engine = Engine(load("nih-lite"), Settings(), Metrics())  # doctest: +SKIP
        >>> engine.start()  # doctest: +SKIP
        >>> [await answer for answer in engine.submit([content])]  # doctest: +SKIP
    """

    def __init__(self, predictor: Predictor, settings: Settings, metrics: Metrics) -> None:
        if predictor.on_reject == "raise":
            raise UsageError("a service answers rejected images: use on_reject 'warn' or 'skip'")
        if settings.point is not None and predictor.decision is None:
            raise UsageError(f"{predictor!r} has no thresholds, so no operating point {settings.point!r}")
        if predictor.decision is not None:
            predictor.decision.point(settings.point)  # raises for an unknown one
        self.predictor, self.settings, self.metrics = predictor, settings, metrics
        self.batch = settings.batch or predictor.runtime.batch_size
        self._required = np.array(predictor.trained, bool)
        self._changed = threading.Condition()
        self._ready: deque[_Job] = deque()
        self._waiting = self._reading = 0
        self._seconds = 0.0
        self._closed = True
        self._readers: ThreadPoolExecutor | None = None
        self._runners: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether images are answered."""
        return not self._closed and all(thread.is_alive() for thread in self._runners)

    def start(self) -> None:
        """Starts the threads, after the network has run once for one image and once for a full batch."""
        require_own_process()
        size = self.predictor.spec.image_size
        for n in sorted({1, self.batch}):
            self.predictor.averaging.logits(np.zeros((n, size, size, 1), np.uint8), n)
        self._closed = False
        self._readers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="read")
        self._runners = [threading.Thread(target=self._run, name=f"run_{i}", daemon=True) for i in range(_RUNNING)]
        for thread in self._runners:
            thread.start()

    def stop(self) -> None:
        """Ends the threads; images that are still waiting get no answer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._readers is not None:
            self._readers.shutdown(wait=True, cancel_futures=True)
        for thread in self._runners:
            thread.join()

    def submit(self, images: Sequence[bytes]) -> list[asyncio.Future[Findings]]:
        """Takes the images of a request, all or none; call it in an event loop.

        Args:
            images: Contents of the files.

        Returns:
            A future for each image, in order. A cancelled one is not computed.

        Raises:
            Refusal: The queue is full.
            StateError: The engine is not running.
        """
        if self._readers is None or self._closed:
            raise StateError("the engine is not running: call start() first")
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._waiting + len(images) > self.settings.queue:
                text = f"the queue of {self.settings.queue} images is full: try again later"
                raise busy(text, self._waiting * self._seconds)
            self._count(len(images))
            self._reading += len(images)
        jobs = [_Job(image, loop.create_future(), loop) for image in images]
        for job in jobs:
            self._readers.submit(self._read, job)
        return [job.answer for job in jobs]

    def _read(self, job: _Job) -> None:
        begun, content = time.perf_counter(), job.content
        job.content = None
        found = None if content is None or job.answer.cancelled() else self._read_one(job, content)
        self.metrics.read_seconds.observe(time.perf_counter() - begun)
        answers = list[tuple[_Job, Findings]]()
        if found is not None and isinstance(found[0], ImageError):
            answers.append((job, unreadable(found[0], found[1])))
            self.metrics.images.labels("unreadable").inc()
        with self._changed:
            self._reading -= 1
            if found is not None and not answers:
                job.read, job.ready = found, time.perf_counter()
                self._ready.append(job)
            self._changed.notify_all()
        if job.read is None:
            self._deliver(answers, 1)

    def _read_one(self, job: _Job, content: bytes) -> Read | None:
        model, size = self.predictor, self.predictor.spec.image_size
        try:
            return read(content, size, False, model.limits, model.gate, model.on_reject, "image")
        except Exception as error:  # noqa: BLE001 - logged with its traceback, and the request is answered 500
            self._failed([job], error)
            return None

    def _run(self) -> None:
        while jobs := self._take():
            wanted = [job for job in jobs if not job.answer.cancelled()]
            begun, answers = time.perf_counter(), list[Findings]()
            for job in wanted:
                self.metrics.wait_seconds.observe(begun - job.since)
            try:
                answers = self._answer(wanted) if wanted else []
            except Exception as error:  # noqa: BLE001 - logged with its traceback, and the requests are answered 500
                self._failed(wanted, error)
            took = time.perf_counter() - begun
            if answers:
                self.metrics.batch_seconds.observe(took)
                self.metrics.batch_images.observe(len(wanted))
                self.metrics.images.labels("predicted").inc(len(wanted))
                each = took / len(wanted) / _RUNNING
                self._seconds = each if not self._seconds else (1 - _NEWEST) * self._seconds + _NEWEST * each
            self._deliver(list(zip(wanted, answers, strict=False)), len(jobs))

    def _take(self) -> list[_Job]:
        """Waits for the next batch; [] after the end."""
        with self._changed:
            while not self._closed:
                if not self._ready:
                    self._changed.wait()
                    continue
                rest = self._ready[0].ready + self.settings.wait - time.perf_counter()
                if len(self._ready) >= self.batch or not self._reading or rest <= 0:
                    taken = [self._ready.popleft() for _ in range(min(self.batch, len(self._ready)))]
                    self._changed.notify()  # another thread may take the rest
                    return taken
                self._changed.wait(rest)
            return []

    def _answer(self, jobs: Sequence[_Job]) -> list[Findings]:
        images = [("image", job.read) for job in jobs if job.read is not None]
        # A short batch is filled up only to a power of two, which keeps the number of compiled shapes small.
        full = min(self.batch, 2 ** (len(images) - 1).bit_length())
        batch = infer(self.predictor.averaging, images, self._required, full)
        return findings_of(batch, self.predictor, self.settings.point)

    def _failed(self, jobs: Sequence[_Job], error: Exception) -> None:
        _log.error("images without an answer, %d", len(jobs), exc_info=error)

        def fail() -> None:
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(StateError("a fault of the service"))

        if jobs:
            jobs[0].loop.call_soon_threadsafe(fail)

    def _deliver(self, answers: Sequence[tuple[_Job, Findings]], count: int) -> None:
        """Hands out answers, and takes `count` images out of the queue."""
        with self._changed:
            self._count(-count)

        def hand_out() -> None:
            for job, found in answers:
                if not job.answer.done():
                    job.answer.set_result(found)

        if answers:
            answers[0][0].loop.call_soon_threadsafe(hand_out)

    def _count(self, change: int) -> None:
        self._waiting += change
        self.metrics.queue.set(self._waiting)
