"""Reads any image from any source as the array that all models take: uint8, 0..255."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image

from zoo.core.errors import ImageError, UsageError
from zoo.data.images.arrays import image_from_array
from zoo.data.images.decode import DECODE_ERRORS, decode, decode_loaded, explain_fault, flatten
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.sources import Held, ImageSource, file_bytes, hold, mistaken, name_of

#: (path, size, channels) -> uint8 (size, size, channels): the signature of `read_image` and of a cache around it.
Reader: TypeAlias = Callable[[str, int, int], np.ndarray]


def read_image(source: ImageSource, size: int | None = None, channels: int = 1, limits: Limits = DEFAULT) -> np.ndarray:
    """Reads one image as a uint8 array, with the same decoder for training and prediction on all backends.

    A path, the contents of a file, an open file and a Pillow image that is opened but not loaded give identical pixels
    (`zoo.data.images.decode.decode`). Arrays and tensors hold pixels in 0..255: uint8; floats (rounded); uint16,
    scaled by its bit depth like a 16-bit file; or booleans (black and white). They, and loaded Pillow images, are
    equal to a decode at full size; a JPEG scaled inside its DCT differs from it by less than one grey level on
    average.

    Args:
        source: A path; bytes, bytearray or memoryview with the contents of a file; a file opened in binary mode, which
            is read from its start and whose position is restored; a Pillow image of any mode; or an array or tensor
            (NumPy, JAX, TensorFlow, torch) of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).
        size: Height and width of the result in pixels. The image is stretched to a square (as in the original solution)
            by a bilinear filter with antialiasing; None keeps the size of the image.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        limits: Limits on size, memory and time.

    Returns:
        uint8 array (h, w, channels).

    Raises:
        ImageError: The image is unreadable, exceeds a limit or has only one grey value, or an array has another range;
            names the source and the reason.
        UsageError: `size` or `channels` is out of range.
        UsageTypeError: `source` has another type.

    Example:
        >>> ramp = np.linspace(0, 255, 64 * 48).reshape(64, 48)
        >>> read_image(ramp, size=32).shape
        (32, 32, 1)
    """
    return read_sized(source, size, channels, limits)[0]


def read_sized(
    source: ImageSource, size: int | None = None, channels: int = 1, limits: Limits = DEFAULT
) -> tuple[np.ndarray, tuple[int, int]]:
    """Reads one image like `read_image`, and tells how large it was.

    Returns:
        The pixels, and height and width before they were resized. A large JPEG is scaled while it is decoded, so that
        these are only exact up to twice `size`.

    Example:
        >>> read_sized(np.linspace(0, 255, 64 * 48).reshape(64, 48), size=32)[1]
        (64, 48)
    """
    if channels not in (1, 3) or (size is not None and size < 1):
        raise UsageError(f"channels must be 1 or 3 and size positive, got channels={channels}, size={size}")
    held = hold(source, limits)
    try:
        image = _load(held, size, channels, limits)
        return _finish(image, size, channels), (image.height, image.width)
    except DECODE_ERRORS as error:
        raise ImageError(f"{name_of(held)}: {explain_fault(error)}{mistaken(held)}") from error


def _load(source: Held, size: int | None, channels: int, limits: Limits) -> Image.Image:
    if isinstance(source, str):
        return decode(file_bytes(source, limits), size, channels, limits)
    if isinstance(source, bytes):
        return decode(source, size, channels, limits)
    if isinstance(source, Image.Image):
        return decode_loaded(source)
    return flatten(image_from_array(source, limits))


def _finish(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    mode = "L" if channels == 1 else "RGB"
    small = image if image.mode == mode else image.convert(mode)
    if size is not None and small.size != (size, size):
        small = small.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.array(small).reshape(small.height, small.width, channels)
    if pixels.min() == pixels.max():
        extrema = np.asarray(image.getextrema()).reshape(-1, 2)
        if (extrema[:, 0] == extrema[:, 1]).all():
            raise ImageError(f"constant image: every pixel is {pixels.flat[0]}")
    return pixels
