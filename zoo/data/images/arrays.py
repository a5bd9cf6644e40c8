"""Arrays and tensors of any library as pixels in 0..255."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from zoo.core.errors import ImageError, UsageTypeError
from zoo.data.images.depth import scale_depth
from zoo.data.images.limits import DEFAULT, Limits

#: Lengths of the last axis of one image: grey, RGB, and RGB with transparency.
CHANNELS = (1, 3, 4)


def is_array(value: object) -> bool:
    """Whether `value` is an array or a tensor: anything that NumPy makes an array of, but not a table.

    >>> is_array(np.zeros(3)), is_array([0.0])
    (True, False)
    """
    return hasattr(value, "__array__") and not isinstance(value, Image.Image) and not hasattr(value, "columns")


def to_array(value: Any) -> np.ndarray:
    """An array, or a tensor of TensorFlow, JAX or torch, as a NumPy array in main memory.

    Raises:
        UsageTypeError: The library does not hand its numbers over; says what it answered.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise UsageTypeError("a masked array has pixels without a value: fill them first (array.filled)")
    try:
        if hasattr(value, "detach"):  # torch, whose tensors may be part of a graph, and on a device
            value = value.detach().cpu()
        if "bfloat16" in str(getattr(value, "dtype", "")):
            value = _widened(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UsageTypeError(f"a {type(value).__name__} is not readable as an array: {reason}") from error


def image_from_array(array: np.ndarray, limits: Limits = DEFAULT) -> Image.Image:
    """An image of mode "L", "RGB" or "RGBA" from an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).

    Args:
        array: uint8, or other numbers in 0..255 (floats are rounded); uint16, scaled by its depth as 16-bit files
            are; or booleans, black and white.
        limits: Of its size.

    Raises:
        ImageError: Another shape, size or range.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)):
        raise ImageError("an image array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)")
    limits.check_size(array.shape[1], array.shape[0])
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return Image.fromarray(scale_depth(array))
    return Image.fromarray(_in_8_bits(array))


def _widened(value: Any) -> Any:
    """A tensor of bfloat16, which NumPy does not know, as float32; it holds every whole number up to 256."""
    return value.float() if hasattr(value, "float") else np.asarray(value).astype(np.float32)


def _in_8_bits(array: np.ndarray) -> np.ndarray:
    """Pixels in 0..255 of any number type as uint8; another range is an error that names it."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise ImageError(f"pixels are integers, floats or booleans, got {array.dtype}")
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        raise ImageError("pixels must be finite numbers in 0..255; there is a NaN or an infinity")
    if low < 0 or high > 255:
        hint = "; 16-bit pixels come as uint16" if array.dtype.kind in "ui" and low >= 0 and high < 1 << 16 else ""
        raise ImageError(f"values in {low:g}..{high:g}; pixels are 0..255, without any normalisation{hint}")
    if high <= 1:
        raise ImageError(f"values in {low:g}..{high:g}, but pixels are 0..255: is it 0..1? Multiply by 255")
    return np.ascontiguousarray(np.rint(array)).astype(np.uint8)
