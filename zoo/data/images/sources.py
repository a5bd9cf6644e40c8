"""Where an image may come from: which values are one image, which are several, and their bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image, ImageFile

from zoo.core.errors import ImageError, UsageError, UsageTypeError
from zoo.data.images.arrays import CHANNELS, is_array, to_array
from zoo.data.images.decode import DECODE_ERRORS, FORMATS, decode_loaded, explain_fault
from zoo.data.images.limits import DEFAULT, Limits

#: Bytes that are read at once from a file that does not tell its size.
_BLOCK = 1 << 20

KINDS = "a path, the bytes of a file, an open file, a Pillow image, or an array or tensor"


@runtime_checkable
class ArrayLike(Protocol):
    """An array or a tensor of any library."""

    def __array__(self) -> np.ndarray:
        """As NumPy has it."""


#: One image, from wherever it comes.
ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray | ArrayLike
)

#: What is held of a source until it is decoded: nothing that its owner could change or close meanwhile.
Held: TypeAlias = str | bytes | Image.Image | np.ndarray


def each_image(images: Any) -> Iterable[Any]:
    """Several images one by one, or one image as the only one of its kind.

    One image is a path, bytes, an open file, a Pillow image, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). A
    stack of them is an array (n, h, w) or (n, h, w, 1, 3 or 4): three dimensions with a last axis of 1, 3 or 4 are one
    image. Everything else that can be iterated over gives its items.

    Args:
        images: Any of these; tensors as arrays. A dictionary, a set and a table are none of them.

    Raises:
        UsageTypeError: Neither an image nor several.
        UsageError: An array of another shape.

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
    """Whether `value` is a single image that is no array."""
    paths = isinstance(value, str | os.PathLike | bytes | bytearray | memoryview)
    return paths or isinstance(value, Image.Image) or hasattr(value, "read")


def one_image(image: Any) -> Any:
    """The single image that `image` is, or that an array holds as its only one.

    Raises:
        UsageTypeError: Not an image.
        UsageError: Several images, or none.
    """
    if not is_one(image) and not is_array(image):
        raise UsageTypeError(f"one image is wanted ({KINDS}), got a {type(image).__name__}")
    found = list(each_image(image))
    if len(found) != 1:
        raise UsageError(f"one image is wanted, got an array {np.shape(image)} of {len(found)}")
    return found[0]


def hold(source: Any, limits: Limits = DEFAULT, copy: bool = False) -> Held:
    """What `source` is now: an open file or a Pillow image not yet loaded is read, memory that may change copied.

    Args:
        source: One image.
        limits: Of the bytes that are read.
        copy: Copy arrays and loaded Pillow images as well, since their owner goes on to use them.

    Raises:
        ImageError: A file that is closed, not binary, or too large.
        UsageTypeError: Not an image.
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
        if array.ndim == 0 and isinstance(array.item(), str | bytes):  # a tensor that holds a file
            return array.item()
        return array.copy() if copy else array
    raise UsageTypeError(f"an image is {KINDS}, got a {type(source).__name__}")


def hold_each(images: Any, limits: Limits = DEFAULT) -> Iterator[Held | ImageError]:
    """Each image of `each_image`, held; in place of one whose file cannot be read, the error.

    Raises:
        UsageTypeError: Not images; says which of several is none.
        UsageError: An array of another shape.
    """
    found = each_image(images)
    copy = isinstance(found, Iterator)  # a generator may go on to use the array that it gave
    for index, image in enumerate(found):
        try:
            yield hold(image, limits, copy)
        except ImageError as error:
            yield error
        except UsageTypeError as error:
            raise UsageTypeError(f"image {index}: {error}") from None


def file_bytes(path: str, limits: Limits = DEFAULT) -> bytes:
    """The bytes of an image file, whose size is looked at first.

    Raises:
        ImageError: No file, or one that is too large.
        OSError: It cannot be read.
    """
    place = Path(path)
    if not place.is_file():
        if place.is_dir():
            raise ImageError("a folder, not an image")
        raise ImageError("not a regular file" if place.exists() else "no such file")
    with place.open("rb", buffering=0) as file:
        limits.check_bytes(os.fstat(file.fileno()).st_size)
        return file.readall()


def name_of(source: Held) -> str:
    """A source as errors name it."""
    if isinstance(source, str):
        return source
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or f"Pillow image of mode {source.mode}"
    return f"array {source.shape} of {source.dtype}"


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
    """The pixels of a loaded image as they are now: `seek` and `paste` change an image in its place."""
    try:
        return decode_loaded(image).copy()
    except DECODE_ERRORS as error:
        raise ImageError(f"{name_of(image)}: {explain_fault(error)}") from error


def _of_memory(view: memoryview) -> bytes:
    if view.ndim != 1 or view.itemsize != 1:
        raise UsageTypeError(f"memory of {view.ndim} dimensions is no file: give np.asarray of it for pixels")
    return bytes(view)


def _of_pillow(image: Image.Image, limits: Limits) -> bytes | Image.Image:
    """The file of an image that was only opened, so that it is decoded as every file; any other, loaded."""
    if isinstance(image, ImageFile.ImageFile):
        # A WebP has no tiles before it is loaded; a loaded image has none, and but for some TIFFs no file.
        fp = getattr(image, "fp", None)  # a WebP that was pickled has none
        unloaded = bool(image.tile) or (image.format == "WEBP" and fp is not None)
        if unloaded and (fp is None or fp.closed):
            raise ImageError(f"{name_of(image)}: closed or verified before it was read: open it again")
        # A later page that was sought for is not what the file gives.
        if unloaded and not image.tell() and image.format in (*FORMATS, "MPO"):
            return _of_file(fp, limits)
    try:
        limits.check_size(*image.size)
        image.load()
    except DECODE_ERRORS as error:
        raise ImageError(f"{name_of(image)}: {explain_fault(error)}") from error
    return image


def _of_file(file: Any, limits: Limits) -> bytes:
    """All of an open file, which is left where it was."""
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
    """The rest of a file that tells no size, of which no more than the limit is read."""
    parts: list[bytes] = []
    count = 0
    while count <= limits.bytes and (part := file.read(_BLOCK)):
        parts.append(part)
        count += len(part)
    limits.check_bytes(count)
    return b"".join(parts)
