"""Bit depth of 16-bit pixels: how many of the 16 bits are significant."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import IO

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.warn import warn_user

_DEPTHS = (10, 12, 14, 16)


class DepthWarning(UserWarning):
    """The file does not declare the bit depth of its 16-bit pixels, so it was inferred from their largest value."""


def scale_depth(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Scales integers of up to 16 bits to uint8, from the whole range of their bit depth to 0..255, without clipping.

    Args:
        values: Integers in 0..65535, of any shape.
        bits: Bit depth that the file declares (PNG's sBIT chunk). None uses the smallest of 10, 12, 14 and 16 that
            holds the largest value, and issues a `DepthWarning` unless that is 16. PNG asks writers to stretch samples
            to 16 bits even if sBIT is less; values above the declared depth are treated as stretched in this way.

    Returns:
        uint8 array of the same shape.

    Example:
        >>> scale_depth(np.array([0, 2048, 4095]), bits=12).tolist()
        [0, 128, 255]
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 1 << 16:
        raise ImageError(f"integer pixels in {low}..{high}; 0..65535 is read")
    return depth_table(high, bits)[values]


def depth_table(high: int, bits: int | None = None) -> np.ndarray:
    """Returns the uint8 value of each integer up to the largest one of an image; see `scale_depth`.

    Args:
        high: Largest value in the image.
        bits: Bit depth that the file declares.
    """
    if bits is None:
        bits = next(depth for depth in _DEPTHS if high < 1 << depth)
        if bits < 16:
            text = f"16-bit pixels without a declared depth are read as {bits}-bit, by their largest value"
            warn_user(text, DepthWarning)
    elif high >= 1 << bits:
        bits = 16
    return _table(bits)


def significant_bits(file: IO[bytes]) -> int | None:
    """Reads the significant bits of the first channel from a PNG's sBIT chunk (PNG 11.3.2.4); None without it."""
    for kind, data in _png_chunks(file):
        if kind == b"sBIT" and data and 1 <= data[0] <= 16:
            return data[0]
    return None


@cache
def _table(bits: int) -> np.ndarray:
    return np.rint(np.arange(1 << bits) * (255 / ((1 << bits) - 1))).astype(np.uint8)


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the type and first 4 bytes of each chunk before the pixels."""
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IDAT":
            return
        start = file.tell()
        yield kind, file.read(min(length, 4))
        file.seek(start + length + 4)
