"""Test-time augmentation: the views of an image whose logits are averaged, in NumPy on uint8 pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.config.tta import TtaSpec


def views(images: np.ndarray, spec: TtaSpec) -> Iterator[np.ndarray]:
    """Yields the views of a batch, one after another, the images themselves first.

    Args:
        images: uint8 (n, h, w, channels), 0..255; not changed.
        spec: The views.

    Yields:
        uint8 of the same shape.

    Example:
        >>> image = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2, 1)
        >>> [view[0, ..., 0].tolist() for view in views(image, TtaSpec(flip_left_right=True))]
        [[[1, 2], [3, 4]], [[2, 1], [4, 3]]]
    """
    yield images
    if spec.flip_left_right:
        yield np.ascontiguousarray(images[:, :, ::-1])
    for scale in spec.scales:
        yield _scaled(images, scale)
    height, width = images.shape[1:3]
    for shift in spec.shifts:
        down, right = max(1, round(shift * height)), max(1, round(shift * width))
        for y, x in ((0, right), (0, -right), (down, 0), (-down, 0)):
            rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in ((height, y), (width, x)))
            yield images[:, rows[:, None], columns]


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
