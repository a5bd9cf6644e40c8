"""An image as 768 numbers: where it is bright and which way its edges run, whatever its brightness and contrast."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: Height and width to which an image is reduced.
SIZE = 64

#: The image has so many places a side for brightness, and for edges, which fall into so many directions.
_BRIGHT, _CELLS, _DIRECTIONS = 16, 8, 8

#: Length of a descriptor.
FEATURES = _BRIGHT**2 + _CELLS**2 * _DIRECTIONS

#: Factor on the brightness, so that it and the edges vary about as much between chest radiographs.
_WEIGHT = 0.5


def reduce(pixels: np.ndarray) -> np.ndarray:
    """Reduces an image to the size that all checks look at.

    Args:
        pixels: uint8 (height, width) or (height, width, 1).

    Returns:
        uint8 (64, 64).
    """
    grey = pixels[..., 0] if pixels.ndim == 3 else pixels
    return np.asarray(Image.fromarray(grey).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def describe(small: np.ndarray) -> np.ndarray:
    """Describes a reduced image.

    Brightness is the mean of 4 x 4 pixels after subtracting the image's mean and dividing by its standard deviation.
    Edges are histograms of the gradient's direction in 8 x 8 pixels, each pixel weighted by its gradient and shared by
    the two nearest directions (as in Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR
    2005), with signed directions, so that an inverted image differs.

    Args:
        small: uint8 (64, 64), from `reduce`.

    Returns:
        float32 (`FEATURES`,).

    Example:
        >>> describe(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).shape
        (768,)
    """
    grey = small.astype(np.float32)
    grey = (grey - grey.mean()) / max(float(grey.std()), 1.0)
    block = SIZE // _BRIGHT
    bright = grey.reshape(_BRIGHT, block, _BRIGHT, block).mean((1, 3)).ravel()
    down, across = np.zeros_like(grey), np.zeros_like(grey)
    down[1:-1] = grey[2:] - grey[:-2]
    across[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    strength, place = np.hypot(across, down), np.arctan2(down, across) * (_DIRECTIONS / (2 * np.pi))
    first = np.floor(place)
    share, first = place - first, first.astype(np.int64) % _DIRECTIONS
    bins = _OFFSETS + first, _OFFSETS + (first + 1) % _DIRECTIONS
    weights = strength * (1 - share), strength * share
    edges = sum(np.bincount(b.ravel(), w.ravel(), _CELLS**2 * _DIRECTIONS) for b, w in zip(bins, weights, strict=True))
    return np.concatenate([_WEIGHT * bright, np.sqrt(edges / (SIZE // _CELLS) ** 2)]).astype(np.float32)


def _offsets() -> np.ndarray:
    cell = np.arange(SIZE) // (SIZE // _CELLS)
    return (cell[:, None] * _CELLS + cell) * _DIRECTIONS


_OFFSETS = _offsets()
