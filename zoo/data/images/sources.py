"""Sources of images: tells one image from several, and reads their bytes."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image, ImageFile

from zoo.core.errors import ImageError, UsageError, UsageTypeError
from zoo.core.paths import NOT_LOCAL, is_address
from zoo.data.images.arrays import CHANNELS, is_array, to_array
from zoo.data.images.decode import DECODE_ERRORS, FORMATS, decode_loaded, explain_fault
from zoo.data.images.limits import DEFAULT, Limits

#: Bytes that are longer than this are no path.
_LONGEST_PATH = 4096

#: Bytes per read from a file of unknown size.
_BLOCK = 1 << 20

KINDS = "a path, the bytes of a file, an open file, a Pillow image, or an array or tensor"


@runtime_checkable
class ArrayLike(Protocol):
    """An array or a tensor of any library."""

    def __array__(self) -> np.ndarray:
        """Returns a NumPy array."""


#: One image from any source.
ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray | ArrayLike
)

#: A source read into memory, which its owner can no longer change or close.
Held: TypeAlias = str | bytes | Image.Image | np.ndarray


def each_image(images: Any) -> Iterable[Any]:
    """Yields several images one by one; a single image is yielded as the only one.

    A single image is a path, bytes, an open file, a Pillow image, or an array (h, w), (h, w, 1), (h, w, 3) or
    (h, w, 4). A stack is an array (n, h, w) or (n, h, w, 1, 3 or 4); an array of three dimensions whose last axis is 1,
    3 or 4 is one image. Any other iterable yields its items.

    Args:
        images: Any of these; tensors are treated as arrays. Dictionaries, sets and tables are not accepted.

    Raises:
        UsageTypeError: `images` is neither an image nor several images.
        UsageError: An array has another shape.

    Example:
        >>> len(each_image(np.zeros((130, 160)))), len(each_image(np.zeros((5, 130, 160))))
        (1, 5)
    """
    if is_one(images):
        return [images]
    if is_array(images):
        return _of_array(to_array(images))
    unordered = isinstance(images, Mapping | Set) or hasattr(images, "columns")
    if unordered or not isinstance(images, Iterable):
        kind = type(images).__name__
        hint = "; give a column of paths, or a list of its values" if unordered else ""
        raise UsageTypeError(f"images are {KINDS}, or a list or another iterable of such; got a {kind}{hint}")
    return images


def is_one(value: object) -> bool:
    """Whether `value` is a single image other than an array.

    >>> is_one("a.png"), is_one(["a.png"])
    (True, False)
    """
    paths = isinstance(value, str | os.PathLike | bytes | bytearray | memoryview)
    return paths or isinstance(value, Image.Image) or hasattr(value, "read")


def one_image(image: Any) -> Any:
    """Returns `image` if it is a single image, or the only image of a stack.

    Raises:
        UsageTypeError: `image` is not an image.
        UsageError: `image` holds several images, or none.

    Example:
        >>> one_image(np.zeros((1, 130, 160))).shape
        (130, 160)
    """
    if not is_one(image) and not is_array(image):
        raise UsageTypeError(f"one image is wanted ({KINDS}), got a {type(image).__name__}")
    found = list(each_image(image))
    if len(found) != 1:
        raise UsageError(f"one image is wanted, got an array {np.shape(image)} of {len(found)}")
    return found[0]


def hold(source: Any, limits: Limits = DEFAULT, copy: bool = False) -> Held:
    """Reads an open file or an unloaded Pillow image, and copies memory that may change; returns the current contents.

    Args:
        source: One image.
        limits: Limits on the number of bytes.
        copy: Whether to copy arrays and loaded Pillow images as well, because their owner continues to use them.

    Raises:
        ImageError: The file is closed, not binary, or too large.
        UsageTypeError: `source` is not an image.
    """
    if isinstance(source, str | bytes):
        return source
    if isinstance(source, os.PathLike):
        return _of_path(source)
    if isinstance(source, bytearray | memoryview):
        return _of_memory(memoryview(source))
    if isinstance(source, Image.Image):
        held = _of_pillow(source, limits)
        return _copied(held) if copy and isinstance(held, Image.Image) else held
    if hasattr(source, "read"):
        return _of_file(source, limits)
    if is_array(source):
        array = to_array(source)
        if array.ndim == 0 and isinstance(array.item(), str | bytes):  # a tensor with the contents of a file
            return array.item()
        return array.copy() if copy else array
    raise UsageTypeError(f"an image is {KINDS}, got a {type(source).__name__}")


def hold_each(images: Any, limits: Limits = DEFAULT) -> Iterator[Held | ImageError]:
    """Yields each image of `each_image` held in memory, or an error for an image whose file cannot be read.

    Raises:
        UsageTypeError: An item is not an image; gives its position.
        UsageError: An array has another shape.
    """
    found = each_image(images)
    copy = isinstance(found, Iterator)  # a generator may reuse the array that it yielded
    for index, image in enumerate(found):
        try:
            yield hold(image, limits, copy)
        except ImageError as error:
            yield error
        except UsageTypeError as error:
            raise UsageTypeError(f"image {index}: {error}") from None


def file_bytes(path: str, limits: Limits = DEFAULT) -> bytes:
    """Reads the contents of an image file after checking its size.

    Raises:
        ImageError: `path` is not a file, or the file is too large.
        OSError: The file cannot be read.
    """
    if not path:
        raise ImageError("an empty path")
    place = Path(path)
    if not place.is_file():
        if is_address(path):
            raise ImageError(NOT_LOCAL)
        if place.is_dir():
            raise ImageError("a folder, not an image")
        raise ImageError("not a regular file" if place.exists() else "no such file")
    with place.open("rb", buffering=0) as file:
        limits.check_bytes(os.fstat(file.fileno()).st_size)
        return file.readall()


def name_of(source: Held) -> str:
    """Returns the name of a source for error messages."""
    if isinstance(source, str):
        return source if source.strip() and len(source) < _LONGEST_PATH else repr(source[:80])
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or f"Pillow image of mode {source.mode}"
    return f"array {source.shape} of {source.dtype}"


def mistaken(source: Held) -> str:
    """Returns what to give instead, if bytes hold a path, or an array holds paths or the bytes of a file; else "".

    >>> mistaken(b"folder/image.png")
    '; these bytes are a path, not the contents of a file: give it as text, os.fsdecode(path)'
    """
    if isinstance(source, bytes) and len(source) < _LONGEST_PATH and re.fullmatch(rb"[ -~]*[./\\][ -~]*", source):
        return "; these bytes are a path, not the contents of a file: give it as text, os.fsdecode(path)"
    if isinstance(source, np.ndarray) and source.ndim == 1:
        if source.dtype.kind in "SU":
            return "; these are paths, not pixels: give one of them, or all to Predictor.predict"
        if source.dtype == np.uint8:
            return "; the contents of a file are given as bytes, array.tobytes()"
    return ""


def _of_array(array: np.ndarray) -> Iterable[Any]:
    if array.ndim == 0 and isinstance(array.item(), str | bytes):
        return [array.item()]
    if array.ndim == 1 and (array.dtype.kind in "OUS" or not array.size):
        return array.tolist()
    if array.dtype.kind == "O":
        raise UsageError(f"an array {array.shape} of objects is no image: give its arrays as a list")
    last = array.shape[-1] if array.ndim else 0
    if array.ndim == 2 or (array.ndim == 3 and last in CHANNELS):
        return [array]
    if (array.ndim == 3 and last > max(CHANNELS)) or (array.ndim == 4 and last in CHANNELS):
        return array
    first = "; channels come last: move that axis" if array.ndim == 4 and array.shape[1] in CHANNELS else ""
    raise UsageError(
        f"an array {array.shape} is neither one image (h, w), (h, w, 1, 3 or 4) nor a stack of them (n, h, w), "
        f"(n, h, w, 1, 3 or 4){first}"
    )


def _of_path(path: os.PathLike[Any]) -> str:
    try:
        return os.fsdecode(path)
    except TypeError as error:
        raise UsageTypeError(f"a {type(path).__name__} is not readable as a path: {error}") from None


def _copied(image: Image.Image) -> Image.Image:
    """Copies the current pixels of a loaded image, since `seek` and `paste` change an image in place."""
    try:
        return decode_loaded(image).copy()
    except DECODE_ERRORS as error:
        raise ImageError(f"{name_of(image)}: {explain_fault(error)}") from error


def _of_memory(view: memoryview) -> bytes:
    if view.ndim != 1 or view.itemsize != 1:
        raise UsageTypeError(f"memory of {view.ndim} dimensions is no file: give np.asarray of it for pixels")
    return bytes(view)


def _of_pillow(image: Image.Image, limits: Limits) -> bytes | Image.Image:
    """Returns the file of an image that is opened but not loaded, so that `decode` reads it; else the loaded image."""
    if isinstance(image, ImageFile.ImageFile):
        # A WebP has no tiles before it is loaded; a loaded image has none, and, except for some TIFFs, no file.
        fp = getattr(image, "fp", None)  # an unpickled WebP has no such attribute
        unloaded = bool(image.tile) or (image.format == "WEBP" and fp is not None)
        if unloaded and (fp is None or fp.closed):
            raise ImageError(f"{name_of(image)}: closed or verified before it was read: open it again")
        # After a seek to a later page, decoding the file would return the first page instead.
        if unloaded and not image.tell() and image.format in (*FORMATS, "MPO"):
            return _of_file(fp, limits)
    try:
        limits.check_size(*image.size)
        image.load()
    except DECODE_ERRORS as error:
        raise ImageError(f"{name_of(image)}: {explain_fault(error)}") from error
    return image


def _of_file(file: Any, limits: Limits) -> bytes:
    """Reads all of an open file and restores its position."""
    try:
        if isinstance(file, io.TextIOBase):
            raise ImageError("opened as text: open it with mode 'rb'")
        if getattr(file, "closed", False):
            raise ImageError("a closed file: open it again")
        if not getattr(file, "readable", lambda: True)():
            raise ImageError("opened for writing: open it with mode 'rb'")
        if not getattr(file, "seekable", lambda: hasattr(file, "seek") and hasattr(file, "tell"))():
            return _of_stream(file, limits)
        place = file.tell()
        try:
            file.seek(0, os.SEEK_END)
            limits.check_bytes(file.tell())
            file.seek(0)
            return bytes(file.read())
        finally:
            file.seek(place)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        name = getattr(file, "name", "") or f"open {type(file).__name__}"
        raise ImageError(f"{name}: {explain_fault(error)}") from error


def _of_stream(file: Any, limits: Limits) -> bytes:
    """Reads the rest of a file of unknown size, up to the limit."""
    parts: list[bytes] = []
    count = 0
    while count <= limits.bytes and (part := file.read(_BLOCK)):
        parts.append(part)
        count += len(part)
    limits.check_bytes(count)
    return b"".join(parts)
