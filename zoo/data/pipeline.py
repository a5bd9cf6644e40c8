"""Batches for training and evaluation, as tf.data pipelines for every Keras backend.

The order of the images and the augmentation of each are pure functions of (seed, epoch, index). No state has to be
stored for a resume, and batch size, number of threads and a cache of the images do not affect the pixels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.core.errors import ImageError, UsageError
from zoo.core.warn import Threads
from zoo.data import epochs
from zoo.data.augment import AugmentSpec
from zoo.data.augment import augment as augment_images
from zoo.data.images.reading import Reader, read_image
from zoo.data.mixing import mixup as mix_pairs

#: Parts of a batch per thread, so that a thread that finishes early takes over another part.
_PARTS = 4


def training_batches(
    paths: Sequence[str | Path],
    labels: np.ndarray,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: AugmentSpec,
    targeted: np.ndarray | None = None,
    start_step: int = 0,
    channels: int = 1,
    drop_remainder: bool = True,
    workers: int | None = None,
    read: Reader = read_image,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Makes one epoch of shuffled, augmented batches in which each image occurs once.

    Two batches are decoded ahead of the model, so memory does not grow with the data set. Iterate inside
    `image_errors()` to get an `ImageError` for an unreadable file.

    Args:
        paths: n image files.
        labels: float (n, k) of 1, 0 and NaN.
        image_size: Height and width in pixels.
        batch_size: Images per batch.
        seed: Seed of the run.
        epoch: Number of the epoch in the whole run, from 0.
        augment: Augmentation of the images.
        targeted: bool (n,): images that also get the targeted steps of the augmentation.
        start_step: First step; a resumed epoch gets the same batches that an uninterrupted one would have had.
        channels: 1 (grey) or 3 (RGB).
        drop_remainder: Whether to leave out the last batch if it is smaller.
        workers: Number of decoding threads; the number of processors by default.
        read: Reads the pixels of one file: `zoo.data.images.reading.read_image`, or the `read` of a cache.
        share: (i, n) for the i-th (from 0) of n equal parts of the rows of each batch, for one of n processes.

    Returns:
        Dataset of (uint8 (b, image_size, image_size, channels), float32 (b, k)); b is `batch_size` / n.

    Raises:
        ValueError: Lengths differ, there is not one whole batch, or `start_step` is beyond the epoch's end.

    Example:
        >>> from zoo.data.augment import DEFAULT
        >>> def grey(path: str, size: int, channels: int) -> np.ndarray:
        ...     return np.full((size, size, channels), 128, np.uint8)
        >>> batches = training_batches(["a.png", "b.png"], np.zeros((2, 14)), image_size=8, batch_size=2, seed=0,
        ...                            epoch=0, augment=DEFAULT, read=grey)
        >>> [(images.shape, labels.shape) for images, labels in batches.as_numpy_iterator()]
        [((2, 8, 8, 1), (2, 14))]
    """
    n = len(paths)
    steps = _check(n, labels, batch_size, drop_remainder)
    if not 0 <= start_step <= steps:
        raise UsageError(f"start_step must be 0 to {steps}, got {start_step}")
    if targeted is not None and len(targeted) != n:
        raise UsageError(f"{n} images, but {len(targeted)} values in `targeted`")
    files, known = _by_position(paths), np.asarray(labels, np.float32)
    chosen = np.zeros(n, bool) if targeted is None else np.asarray(targeted, bool)
    on_batch = _batch_augmentation(augment, (seed, epoch))

    def batch(step: int) -> list[np.ndarray]:
        rows = _own(_kept_order(n, seed, epoch)[step * batch_size : (step + 1) * batch_size], share)
        draws = _kept_draws(n, seed, epoch)

        def load(part: np.ndarray) -> np.ndarray:
            images = np.stack([read(str(files[row]), image_size, channels) for row in part])
            return augment_images(images, draws[part], augment, chosen[part])

        if not augment.mixup:
            return [*on_batch(_in_parts(load, rows, workers), known[rows])]
        partners, shares = (kept[rows] for kept in _kept_pairs(n, seed, epoch, augment.mixup))
        needed = np.unique(np.concatenate([rows, partners]))
        images, (own, others) = _in_parts(load, needed, workers), (np.searchsorted(needed, x) for x in (rows, partners))
        mixed = mix_pairs(images[own], images[others], shares)
        return [*on_batch(mixed, mix_pairs(known[rows], known[partners], shares))]

    leading = batch_size // share[1] if drop_remainder else None
    shapes = [(leading, image_size, image_size, channels), (leading, known.shape[1])]
    return _dataset(batch, start_step, steps, shapes)


def evaluation_batches(
    paths: Sequence[str | Path],
    labels: np.ndarray | None,
    *,
    image_size: int,
    batch_size: int,
    channels: int = 1,
    workers: int | None = None,
    read: Reader = read_image,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Makes batches of all images in the given order, without augmentation; the last batch may be smaller.

    Args:
        paths: n image files.
        labels: float (n, k), or None for images alone.
        image_size: Height and width in pixels.
        batch_size: Images per batch.
        channels: 1 (grey) or 3 (RGB).
        workers: Number of decoding threads; the number of processors by default.
        read: Reads the pixels of one file.
        share: Part of the rows of each batch, as in `training_batches`.

    Returns:
        Dataset of (uint8 (b, image_size, image_size, channels), float32 (b, k)), or of the images alone.

    Raises:
        ValueError: There are no images, or the number of labels differs.
    """
    n = len(paths)
    steps = _check(n, labels, batch_size, drop_remainder=False)
    files, known = _by_position(paths), None if labels is None else np.asarray(labels, np.float32)

    def load(part: np.ndarray) -> np.ndarray:
        return np.stack([read(str(files[row]), image_size, channels) for row in part])

    def batch(step: int) -> list[np.ndarray]:
        rows = _own(np.arange(step * batch_size, min(n, (step + 1) * batch_size)), share)
        images = _in_parts(load, rows, workers)
        return [images] if known is None else [images, known[rows]]

    pixels = (None, image_size, image_size, channels)
    return _dataset(batch, 0, steps, [pixels] if known is None else [pixels, (None, known.shape[1])])


def steps_per_epoch(n: int, batch_size: int, drop_remainder: bool = True) -> int:
    """Returns the number of batches in an epoch of `n` images.

    Example:
        >>> steps_per_epoch(10, 4), steps_per_epoch(10, 4, drop_remainder=False)
        (2, 3)
    """
    return n // batch_size if drop_remainder else -(-n // batch_size)


@contextmanager
def image_errors() -> Iterator[None]:
    """Context manager that turns TensorFlow's error for an unreadable file into the `ImageError` that names the file.

    Example:
        >>> with image_errors():                      # doctest: +SKIP
        ...     model.fit(training_batches(...))
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(rf"{ImageError.__name__}: (.+)", error.message)
        if found is None:
            raise
        raise ImageError(found.group(1)) from error


# TensorFlow keeps every function passed to a dataset until the process ends, so there is one more after each epoch.
# The functions above therefore hold only what all epochs share: order and random numbers come from small caches, and
# there is one thread pool.
_kept_order = lru_cache(maxsize=2)(epochs.epoch_order)
_kept_draws = lru_cache(maxsize=2)(epochs.epoch_draws)
_kept_pairs = lru_cache(maxsize=2)(epochs.epoch_pairs)


@cache
def _pool(workers: int) -> Threads:
    return Threads(workers, thread_name_prefix="zoo-decode")


def _in_parts(load: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, workers: int | None) -> np.ndarray:
    workers = workers or os.cpu_count() or 1
    parts = np.array_split(rows, min(len(rows), _PARTS * workers))
    return np.concatenate(list(_pool(workers).map(load, parts)))


def _dataset(
    batch: Callable[[int], list[np.ndarray]], start: int, stop: int, shapes: Sequence[tuple[int | None, ...]]
) -> tf.data.Dataset:
    """Steps `start` to `stop` of `batch`: uint8 images and, if there is a second shape, float32 labels."""
    types = [tf.uint8, tf.float32][: len(shapes)]

    @tf.autograph.experimental.do_not_convert
    def step(index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
        tensors = tf.numpy_function(lambda i: batch(int(i)), [index], types)
        for tensor, shape in zip(tensors, shapes, strict=True):
            tensor.set_shape(shape)
        return tuple(tensors) if len(shapes) > 1 else tensors[0]

    options = tf.data.Options()
    # There is nothing to autotune, and the autotuner's thread sleeps for intervals that double up to a minute: each
    # epoch would end by waiting for it, almost as long as the epoch itself.
    options.autotune.enabled = False
    return tf.data.Dataset.range(start, stop).map(step).prefetch(2).with_options(options)


def _batch_augmentation(
    spec: AugmentSpec, seed: tuple[int, int]
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    if spec.kerascv is None:
        return lambda images, labels: (images, labels)
    from zoo.data.augment_kerascv import batch_augmentation  # imports KerasCV, which is optional and takes seconds

    return batch_augmentation(spec.kerascv, spec.kerascv_strength, seed)


def _own(rows: np.ndarray, share: tuple[int, int]) -> np.ndarray:
    part, parts = share
    size = len(rows) // parts
    return rows[part * size : (part + 1) * size]


def _by_position(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """`paths`, as a list if it is a pandas column, in which [i] is looked up by index and not by position."""
    return paths if isinstance(paths, list | tuple | np.ndarray) else list(paths)


def _check(n: int, labels: np.ndarray | None, batch_size: int, drop_remainder: bool) -> int:
    """Checks the arguments and returns the number of steps."""
    if labels is not None and (np.ndim(labels) != 2 or len(labels) != n):
        raise UsageError(f"labels must be ({n}, findings) for {n} images, got {np.shape(labels)}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be 1 or more, got {batch_size}")
    steps = steps_per_epoch(n, batch_size, drop_remainder)
    if steps == 0:
        raise UsageError(f"{n} images do not make one batch of {batch_size}")
    return steps
