"""Images to logits, batch by batch: the next images are read while the network works on these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np

from zoo.core.errors import ImageError, StateError, UsageError
from zoo.core.warn import Threads
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.reading import read_image
from zoo.data.images.sources import Held, ImageSource, hold_each
from zoo.runtimes.runtime import Runtime

#: Several images, or one: see `zoo.data.images.sources.each_image`.
Images: TypeAlias = ImageSource | Iterable[ImageSource]


@dataclass(frozen=True)
class Prediction:
    """One batch of a stream.

    Attributes:
        names: A name for each image: the path, or its running number.
        logits: float32 (n, findings); a row of NaN where there is an error.
        errors: Why there are no logits of an image: it could not be read, or the network gave none that are finite. ""
            where there are.
    """

    names: list[str]
    logits: np.ndarray
    errors: list[str]


def stream(
    runtime: Runtime,
    images: Images,
    size: int,
    findings: int,
    *,
    batch_size: int | None = None,
    strict: bool = False,
    start: int = 0,
    limits: Limits = DEFAULT,
    trained: Sequence[bool] = (),
) -> Iterator[Prediction]:
    """Logits of images, in order, with two batches in memory at most. Arguments as for `Predictor.stream`.

    Args:
        runtime: What computes the logits.
        images: One image, or several, which are drawn on as results are taken.
        size: Height and width in pixels that the runtime takes.
        findings: How many logits it gives for an image.
        batch_size: Images to the runtime at once; its own number by default.
        strict: True raises on the first error; otherwise the image has an error and its row is NaN.
        start: Running number of the first image. After whole batches of an earlier stream, the same bits come out as
            in one stream.
        limits: What each image may cost at most.
        trained: Whether the network was trained on each finding, all by default: only these logits must be finite.

    Raises:
        ImageError: With `strict`, an image that cannot be read.
        StateError: With `strict`, a logit that is not finite; or the process was forked after a model was loaded.
        UsageTypeError: Not images; or among them a value that is none.
        UsageError: An array that is neither an image nor a stack of them; `batch_size` below 1.
    """
    batch_size = runtime.batch_size if batch_size is None else batch_size
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    full = batch_size
    required = np.array(trained or (True,) * findings, bool)
    with Threads(os.cpu_count()) as pool:
        ready = None
        for first, chunk in _chunks(hold_each(images, limits), batch_size, start):
            # What is held is read in the pool: it can no longer be changed or closed by its owner.
            reading = [
                (_name(held, first + i), pool.submit(_read, held, size, strict, limits)) for i, held in enumerate(chunk)
            ]
            if ready is not None:
                yield _infer(runtime, ready, required, full, strict)
            elif not start:
                # A few images are not filled up to a batch: a power of two keeps the number of shapes small.
                full = min(batch_size, 2 ** (len(chunk) - 1).bit_length())
            ready = reading
        if ready is not None:
            yield _infer(runtime, ready, required, full, strict)


def _chunks(
    images: Iterator[Held | ImageError], size: int, start: int
) -> Iterator[tuple[int, list[Held | ImageError]]]:
    while chunk := list(islice(images, size)):
        yield start, chunk
        start += len(chunk)


def _name(held: Held | ImageError, index: int) -> str:
    return held if isinstance(held, str) else f"image {index}"


def _read(held: Held | ImageError, size: int, strict: bool, limits: Limits) -> np.ndarray | ImageError:
    try:
        if isinstance(held, ImageError):
            raise held
        return read_image(held, size, limits=limits)
    except ImageError as error:
        if strict:
            raise
        return error


def _infer(
    runtime: Runtime,
    reading: list[tuple[str, Future[np.ndarray | ImageError]]],
    required: np.ndarray,
    full: int,
    strict: bool,
) -> Prediction:
    """Runs a batch without the images that could not be read; a row without finite logits becomes an error."""
    names, results = [name for name, _ in reading], [future.result() for _, future in reading]
    read = np.array([not isinstance(r, ImageError) for r in results])
    errors = [str(r) if isinstance(r, ImageError) else "" for r in results]
    logits = np.full((len(results), len(required)), np.nan, np.float32)
    if read.any():
        pixels = np.stack([r for r in results if not isinstance(r, ImageError)])
        logits[read] = runtime.logits(pixels, full)
    for row in np.flatnonzero(read & ~np.isfinite(logits[:, required]).all(axis=1)):
        errors[row] = f"{names[row]}: the network gave a logit that is not finite; check the model with 'zoo verify'"
        if strict:
            raise StateError(errors[row])
        logits[row] = np.nan
    return Prediction(names, logits, errors)
