"""Converts arrays and tensors of any library to pixels in 0..255."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from zoo.core.errors import ImageError, UsageTypeError
from zoo.data.images.depth import scale_depth
from zoo.data.images.limits import DEFAULT, Limits

#: Length of the last axis of a single image: grey, RGB, and RGB with transparency.
CHANNELS = (1, 3, 4)


def is_array(value: object) -> bool:
    """Whether `value` is an array or a tensor: anything that NumPy can convert to an array, except a table.

    >>> is_array(np.zeros(3)), is_array([0.0])
    (True, False)
    """
    return hasattr(value, "__array__") and not isinstance(value, Image.Image) and not hasattr(value, "columns")


def to_array(value: Any) -> np.ndarray:
    """Converts an array, or a tensor of TensorFlow, JAX or torch, to a NumPy array in main memory.

    Raises:
        UsageTypeError: The library cannot convert its tensor to NumPy; includes the library's message.
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
    """Makes an image of mode "L", "RGB" or "RGBA" from an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).

    Args:
        array: uint8; other numbers in 0..255 (floats are rounded); uint16, scaled by its bit depth like 16-bit files;
            or booleans (black and white).
        limits: Limits on the size of the image.

    Raises:
        ImageError: The array has another shape or range, or exceeds a limit.

    Example:
        >>> image_from_array(np.full((64, 80), 200)).size
        (80, 64)
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
    """Converts a tensor of bfloat16, which NumPy lacks, to float32; other values are returned unchanged."""
    return value.float() if hasattr(value, "float") else np.asarray(value).astype(np.float32)


def _in_8_bits(array: np.ndarray) -> np.ndarray:
    """Converts pixels in 0..255 of any number type to uint8; raises an error that states any other range."""
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


def filled_up(values: np.ndarray, length: int) -> np.ndarray:
    """Returns a batch with zeros behind its last row, such as black images, if it is shorter than `length`.

    >>> filled_up(np.array([3, 4]), 3).tolist()
    [3, 4, 0]
    """
    missing = length - len(values)
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)]) if missing > 0 else values
