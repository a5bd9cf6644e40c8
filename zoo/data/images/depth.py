"""The depth of 16-bit pixels: how many of the 16 bits carry the picture."""

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
    """The bit depth of 16-bit pixels was not written in the file and was read off their largest value."""


def scale_depth(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Scales integers of up to 16 bits to uint8, 0..255, over the whole range of their depth, without clipping.

    Args:
        values: Integers in 0..65535, of any shape.
        bits: Depth that the file declares (PNG's sBIT chunk). None takes the smallest of 10, 12, 14 and 16 that
            holds the largest value, and reports it by a `DepthWarning` when that is not 16. PNG asks writers to
            stretch samples to 16 bits also where sBIT is less: values above the declared depth are read so.

    Returns:
        uint8 of the same shape.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 1 << 16:
        raise ImageError(f"integer pixels in {low}..{high}; 0..65535 is read")
    return depth_table(high, bits)[values]


def depth_table(high: int, bits: int | None = None) -> np.ndarray:
    """uint8 of each value of an image's depth; see `scale_depth`.

    Args:
        high: The image's largest value.
        bits: Depth that the file declares.
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
    """Bits of the first channel in a PNG's sBIT chunk (PNG specification, 11.3.2.4), or None without one."""
    for kind, data in _png_chunks(file):
        if kind == b"sBIT" and data and 1 <= data[0] <= 16:
            return data[0]
    return None


@cache
def _table(bits: int) -> np.ndarray:
    return np.rint(np.arange(1 << bits) * (255 / ((1 << bits) - 1))).astype(np.uint8)


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Kind and first 4 bytes of each chunk in front of the pixels."""
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IDAT":
            return
        start = file.tell()
        yield kind, file.read(min(length, 4))
        file.seek(start + length + 4)
