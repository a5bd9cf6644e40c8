"""Test-time augmentation: the views of an image whose logits are averaged, in NumPy on uint8 pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from zoo.config.tta import TtaSpec


def views(images: np.ndarray, spec: TtaSpec | None) -> Iterator[np.ndarray]:
    """Yields the views of a batch, one after another, the images themselves first.

    Args:
        images: uint8 (n, h, w, channels), 0..255; not changed.
        spec: The views; None for the images alone.

    Yields:
        uint8 of the same shape.

    Example:
        >>> image = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2, 1)
        >>> [view[0, ..., 0].tolist() for view in views(image, TtaSpec(flip_left_right=True))]
        [[[1, 2], [3, 4]], [[2, 1], [4, 3]]]
    """
    yield images
    if spec is None:
        return
    if spec.flip_left_right:
        yield np.ascontiguousarray(images[:, :, ::-1])
    for scale in spec.scales:
        yield _scaled(images, scale)
    height, width = images.shape[1:3]
    for y, x in _moves(spec, (height, width)):
        rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in ((height, y), (width, x)))
        yield images[:, rows[:, None], columns]


def over_the_image(maps: Sequence[np.ndarray], spec: TtaSpec, size: tuple[int, int]) -> np.ndarray:
    """The mean of one map of each view, each laid back over the image: mirrored, reduced or moved as its view was not.

    A view gives nothing to what it does not show of the image; what it shows beyond the image's edge is dropped. An
    enlarged view shows each place on a larger area, whose parts are added, so that sums of maps stay what they are.

    Args:
        maps: float32 (h, w) of each view, in the order of `views`, of any size.
        spec: The views.
        size: Height and width in pixels at which `views` made them.

    Returns:
        float32 (h, w).

    Example:
        >>> maps = [np.array([[0, 1.0]], np.float32), np.array([[1.0, 0]], np.float32)]
        >>> over_the_image(maps, TtaSpec(flip_left_right=True), (32, 32)).tolist()
        [[0.0, 1.0]]
    """
    total = np.zeros(maps[0].shape, np.float64)
    for one, ((down, top), (across, left)) in zip(maps, _places(spec, size), strict=True):
        height, width = one.shape
        # For each pixel of the result, where it lies in the map.
        affine = (across, 0.0, left * width, 0.0, down, top * height)
        back = Image.fromarray(np.ascontiguousarray(one, np.float32)).transform(
            (width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
        total += abs(down * across) * np.asarray(back, np.float64)
    return (total / len(maps)).astype(np.float32)


def _places(spec: TtaSpec, size: tuple[int, int]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Factor and offset, in shares of the side, that lead from a place of the image to that of each view: y, then x."""
    same = (1.0, 0.0)
    yield same, same
    if spec.flip_left_right:
        yield same, (-1.0, 1.0)
    for scale in spec.scales:
        yield (scale, (1 - scale) / 2), (scale, (1 - scale) / 2)
    for y, x in _moves(spec, size):
        yield (1.0, y / size[0]), (1.0, x / size[1])


def _moves(spec: TtaSpec, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Rows down and columns to the right by which the image is moved in each view."""
    for shift in spec.shifts:
        down, right = (max(1, round(shift * side)) for side in size)
        yield from ((0, right), (0, -right), (down, 0), (-down, 0))


def _scaled(images: np.ndarray, scale: float) -> np.ndarray:
    """Enlarges images about their centre, bilinearly, first along the rows and then along the columns."""
    pixels = images.astype(np.float32)
    for axis in (1, 2):
        n = images.shape[axis]
        at = np.clip((np.arange(n) + 0.5 - n / 2) / scale + n / 2 - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        first, second = pixels.take(low, axis), pixels.take(np.minimum(low + 1, n - 1), axis)
        pixels = first + share * (second - first)
    return np.rint(pixels).astype(np.uint8)
