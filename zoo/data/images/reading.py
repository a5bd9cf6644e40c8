"""Any image, from any source, as the array that every model takes: uint8, 0..255."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from zoo.core.errors import ImageError, UsageError, UsageTypeError
from zoo.core.warn import Threads
from zoo.data.images.decode import DECODE_ERRORS, check_size, decode, flatten
from zoo.data.images.depth import scale_depth

ImageSource: TypeAlias = str | Path | bytes | Image.Image | np.ndarray

#: path, size, channels -> uint8 (size, size, channels): `read_image`, or what a cache puts in its place.
Reader: TypeAlias = Callable[[str, int, int], np.ndarray]

_CHECK_SIZE, _CHECK_CHUNK = 64, 1024


def read_image(source: ImageSource, size: int | None = None, channels: int = 1) -> np.ndarray:
    """Reads one image as a uint8 array; the same decoder for training and prediction, on every backend.

    Files and bytes are decoded by `zoo.data.images.decode.decode`. Arrays are taken as pixels in 0..255: uint8; floats
    within 0..255 (rounded); uint16, scaled by its depth as a 16-bit file is.

    Args:
        source: A path, the bytes of a file, a Pillow image, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).
        size: Height and width in pixels of the result, stretched to a square (as the original solution does) by a
            bilinear filter with antialiasing; None keeps the image's own.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).

    Returns:
        uint8 array (h, w, channels).

    Raises:
        ImageError: Not a readable image, all one value, or an array in another range; names the source and the reason.
        ValueError: `size` or `channels` is out of range.
        TypeError: `source` is of another type.

    Example:
        >>> ramp = np.linspace(0, 255, 64 * 48).reshape(64, 48)
        >>> read_image(ramp, size=32).shape
        (32, 32, 1)
    """
    if channels not in (1, 3) or (size is not None and size < 1):
        raise UsageError(f"channels must be 1 or 3 and size positive, got channels={channels}, size={size}")
    if not isinstance(source, ImageSource):
        raise UsageTypeError(f"an image is a path, bytes, a Pillow image or a NumPy array, got {type(source).__name__}")
    try:
        return _finish(_load(source, size, channels), size, channels)
    except DECODE_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{_name(source)}: {reason}") from error


def check_images(
    paths: Sequence[str | Path], workers: int | None = None, on_file: Callable[[], None] | None = None
) -> dict[str, str]:
    """Decodes every file to its end, which alone finds truncated ones, and says which cannot be read.

    Args:
        paths: Image files.
        workers: Threads; the number of processors by default.
        on_file: Called after each file, in the caller's thread.

    Returns:
        Path -> reason of each unreadable file, in the order of `paths`; empty when all are good.
    """
    reasons: dict[str, str] = {}
    with Threads(workers or os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHECK_CHUNK):
            chunk = [str(p) for p in paths[start : start + _CHECK_CHUNK]]
            for path, reason in zip(chunk, pool.map(_reason, chunk), strict=True):
                if reason is not None:
                    reasons[path] = reason
                if on_file is not None:
                    on_file()
    return reasons


def _reason(path: str) -> str | None:
    try:
        read_image(path, size=_CHECK_SIZE)  # a JPEG is read to its end also when it is scaled down
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _load(source: ImageSource, size: int | None, channels: int) -> Image.Image:
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise ImageError("a folder, not an image" if path.is_dir() else "no such file")
        with path.open("rb") as file:
            return decode(file, size, channels)
    if isinstance(source, bytes):
        return decode(io.BytesIO(source), size, channels)
    if isinstance(source, Image.Image):
        check_size(*source.size)
        source.load()
        return flatten(source)
    return flatten(_from_array(source))


def _finish(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    mode = "L" if channels == 1 else "RGB"
    small = image.convert(mode)
    if size is not None and small.size != (size, size):
        small = small.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.array(small).reshape(small.height, small.width, channels)
    if pixels.min() == pixels.max():
        extrema = np.asarray(image.getextrema()).reshape(-1, 2)
        if (extrema[:, 0] == extrema[:, 1]).all():
            raise ImageError(f"constant image: every pixel is {pixels.flat[0]}")
    return pixels


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError("an image array is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)")
    check_size(array.shape[1], array.shape[0])
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return Image.fromarray(scale_depth(array))
    return Image.fromarray(_bytes_of(array))


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """Pixels in 0..255 of any number type as uint8; another range is an error that names it."""
    if array.dtype.kind not in "uif":
        raise ImageError("pixels are integers or floats in 0..255")
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        raise ImageError("pixels must be finite numbers in 0..255; there is a NaN or an infinity")
    if low < 0 or high > 255:
        raise ImageError(f"values in {low:g}..{high:g}; pixels are 0..255, without any normalisation")
    if high <= 1:
        raise ImageError(f"values in {low:g}..{high:g}, but pixels are 0..255: is it 0..1? Multiply by 255")
    return np.rint(array).astype(np.uint8)


def _name(source: ImageSource) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or f"Pillow image of mode {source.mode}"
    return f"array {source.shape} of {source.dtype}"
