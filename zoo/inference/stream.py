"""Computes logits batch by batch; the next images are read while the network processes the current ones."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeAlias

import numpy as np

from zoo.core.errors import ImageError, RejectedError, StateError, UsageError
from zoo.core.process import require_own_process
from zoo.core.warn import Threads
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.reading import read_sized
from zoo.data.images.sources import Held, ImageSource, hold_each
from zoo.gate.verdict import NOT_READ, UNKNOWN, OnReject, Verdict, check_on_reject
from zoo.runtimes.runtime import Runtime

#: One image or several; see `zoo.data.images.sources.each_image`.
Images: TypeAlias = ImageSource | Iterable[ImageSource]

#: uint8 pixels (size, size, 1) of an image, or why it has none; and the word on its quality.
Read: TypeAlias = tuple[np.ndarray | ImageError, Verdict]


class Gate(Protocol):
    """Judges images before the network sees them (`zoo.gate`)."""

    def judge(self, pixels: np.ndarray, decoded: tuple[int, int]) -> Verdict:
        """Returns the word on one image.

        Args:
            pixels: uint8 (size, size, 1), as the network gets them.
            decoded: Height and width of the image before it was resized to that, at least up to twice `size`.
        """
        ...


@dataclass(frozen=True)
class Prediction:
    """One batch of a stream.

    Attributes:
        names: Name of each image: its path, or its index.
        logits: float32 (n, findings); a row of NaN for an image with an error, and a column of NaN for a finding that
            the model was not trained on.
        errors: Reason why an image has no logits (it could not be read, it was rejected and skipped, or the logits are
            not finite), or "".
        verdicts: What the quality checks say of each image; "unknown" by default.
    """

    names: list[str]
    logits: np.ndarray
    errors: list[str]
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.verdicts:
            object.__setattr__(self, "verdicts", [UNKNOWN] * len(self.names))

    def rows(self, rows: Sequence[int]) -> Prediction:
        """Some of the images, by their places."""
        chosen = list(rows)
        picked = [[held[i] for i in chosen] for held in (self.names, self.errors)]
        return Prediction(picked[0], self.logits[chosen], picked[1], [self.verdicts[i] for i in chosen])

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of images that are unreadable (or without finite logits), rejected, and doubtful."""
        qualities = [verdict.quality for verdict in self.verdicts]
        failed = sum(bool(e) and q != "rejected" for e, q in zip(self.errors, qualities, strict=True))
        return failed, qualities.count("rejected"), qualities.count("doubtful")


@dataclass(frozen=True)
class Pipeline:
    """What images go through.

    Attributes:
        runtime: Runtime that computes the logits.
        size: Height and width of the runtime's input in pixels.
        outputs: Number of logits per image.
        limits: Limits on each image.
        trained: Whether the network was trained on each output, all by default; the other logits become NaN.
        gate: Judges each image; without one, the quality of each is "unknown".
        on_reject: "skip" gives a rejected image an error and a row of NaN, "raise" raises an error; "warn" predicts it
            (the caller counts and warns).
    """

    runtime: Runtime
    size: int
    outputs: int
    limits: Limits = DEFAULT
    trained: Sequence[bool] = ()
    gate: Gate | None = None
    on_reject: OnReject = "warn"


class Streaming(ABC):
    """What computes numbers of images batch by batch, in order, with at most two batches in memory."""

    @abstractmethod
    def _pipeline(self) -> Pipeline: ...

    def stream(
        self,
        images: Images,
        *,
        batch_size: int | None = None,
        strict: bool = False,
        start: int = 0,
        whole: int | None = None,
    ) -> Iterator[Prediction]:
        """Yields logits batch by batch, in order; the next batch is decoded while the network processes this one.

        Args:
            images: One image or several, as `predict` accepts; an iterable is consumed as results are requested.
            batch_size: Number of images per batch; the runtime's default if None.
            strict: True raises the first error; otherwise the image has an error and its row is NaN.
            start: Index of the first of `images` if they continue an earlier stream. After a whole number of batches,
                the results are bit-identical to those of a single stream.
            whole: Number of images of a list of which these are a part: the results are then bit-identical to those of
                a single stream of the list.

        Raises:
            ImageError: With `strict`, an image cannot be read.
            RejectedError: With `on_reject="raise"`, an image is rejected.
            UnknownNameError: There is no such `on_reject`.
            StateError: With `strict`, a logit is not finite; or the process was forked after a model was loaded.
            UsageTypeError: `images` or one of its items is not an image.
            UsageError: An array is neither an image nor a stack of images; `batch_size` is below 1.
        """
        require_own_process()
        return _stream(self._pipeline(), images, batch_size, strict, start, whole)


def _stream(
    through: Pipeline, images: Images, batch_size: int | None, strict: bool, start: int, whole: int | None
) -> Iterator[Prediction]:
    runtime, limits, gate, on_reject = through.runtime, through.limits, through.gate, through.on_reject
    batch_size = runtime.batch_size if batch_size is None else batch_size
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    check_on_reject(on_reject)
    full = batch_size if whole is None else _full(batch_size, whole)
    required = np.array(through.trained or (True,) * through.outputs, bool)
    with Threads(os.cpu_count()) as pool:
        ready = None
        for first, chunk in _chunks(hold_each(images, limits), batch_size, start):
            # Items are held before the pool reads them, so that their owner can no longer change or close them.
            reading = [
                (name, pool.submit(read, held, through.size, strict, limits, gate, on_reject, name))
                for name, held in ((_name(held, first + i), held) for i, held in enumerate(chunk))
            ]
            if ready is not None:
                yield infer(runtime, _done(ready), required, full, strict)
            elif not start and whole is None:
                full = _full(batch_size, len(chunk))
            ready = reading
        if ready is not None:
            yield infer(runtime, _done(ready), required, full, strict)


def read(
    held: Held | ImageError,
    size: int,
    strict: bool,
    limits: Limits,
    gate: Gate | None,
    on_reject: OnReject,
    name: str,
) -> Read:
    """Returns the pixels of an image, or why it has none, and the word on its quality.

    Arguments as of `Pipeline` and `Streaming.stream`.
    """
    try:
        if isinstance(held, ImageError):
            raise held
        pixels, decoded = read_sized(held, size, limits=limits)
    except ImageError as error:
        if strict:
            raise
        return error, NOT_READ
    verdict = UNKNOWN if gate is None else gate.judge(pixels, decoded)
    if verdict.quality == "rejected" and on_reject != "warn":
        rejected = RejectedError(f"{name}: rejected: {verdict.reason}")
        if on_reject == "raise":
            raise rejected
        return rejected, verdict
    return pixels, verdict


def infer(
    runtime: Runtime, images: Sequence[tuple[str, Read]], required: np.ndarray, full: int, strict: bool = False
) -> Prediction:
    """Runs a batch without the unreadable images; a row with logits that are not finite becomes an error.

    Args:
        runtime: Runtime that computes the logits.
        images: Name of each image, and what `read` returned for it.
        required: bool (findings,), whether the network was trained on each finding.
        full: Images of a full batch, see `Runtime.logits`.
        strict: True raises `StateError` for logits that are not finite.
    """
    names = [name for name, _ in images]
    results, verdicts = [result for _, (result, _) in images], [verdict for _, (_, verdict) in images]
    found = np.array([not isinstance(r, ImageError) for r in results])
    errors = [str(r) if isinstance(r, ImageError) else "" for r in results]
    logits = np.full((len(results), len(required)), np.nan, np.float32)
    if found.any():
        pixels = np.stack([r for r in results if not isinstance(r, ImageError)])
        logits[found] = runtime.logits(pixels, full)
        logits[:, ~required] = np.nan
    for row in np.flatnonzero(found & ~np.isfinite(logits[:, required]).all(axis=1)):
        errors[row] = f"{names[row]}: the network gave a logit that is not finite; check the model with 'zoo verify'"
        if strict:
            raise StateError(errors[row])
        logits[row] = np.nan
    return Prediction(names, logits, errors, verdicts)


def _chunks(
    images: Iterator[Held | ImageError], size: int, start: int
) -> Iterator[tuple[int, list[Held | ImageError]]]:
    while chunk := list(islice(images, size)):
        yield start, chunk
        start += len(chunk)


def _full(batch_size: int, images: int) -> int:
    """Images of a full batch: a small one is padded only to a power of two, which keeps the number of shapes small."""
    return min(batch_size, 2 ** max(images - 1, 0).bit_length())


def _name(held: Held | ImageError, index: int) -> str:
    return held if isinstance(held, str) else f"image {index}"


def _done(reading: list[tuple[str, Future[Read]]]) -> list[tuple[str, Read]]:
    return [(name, future.result()) for name, future in reading]
