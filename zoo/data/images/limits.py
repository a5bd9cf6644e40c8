"""Limits on the size, memory and time of reading one image, whatever its file declares."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from zoo.core.errors import ImageError, UsageError

#: Pillow's own limit: it warns above this and refuses more than twice as many.
_PILLOW_PIXELS = 89_478_485


@dataclass(frozen=True)
class Limits:
    """Limits on one image; exceeding one raises an `ImageError` that names it.

    All limits except `seconds` are checked before any pixel is decoded. `seconds` is processor time of the decoding
    thread, so that a busy machine refuses no image. It is checked between blocks of a file; an operation that a
    library performs in one call (compressed strips of a TIFF, a WebP) is bounded only by the other limits. In the
    worst case a thread needs twice `bytes` of memory for the file, plus 16 bytes per pixel of `pixels`.

    Attributes:
        bytes: Size of the file.
        seconds: Processor time to decode it.
        pixels: Width times height. The largest detectors produce about 20 megapixels.
        aspect: Longest side divided by shortest side.
        side: Shortest side in pixels.
        segments: Chunks of a PNG or WebP; segments of a JPEG and padding bytes between them; tags and strips of a TIFF.
        scans: Scans of a JPEG, each of which processes all pixels again; 10 are usual.
        metadata: Bytes of one block without pixels (EXIF, text, colour profile).
        any_modality: Whether DICOM files of other modalities and body parts than a chest radiograph's are read.

    Raises:
        UsageError: A limit is not positive, or `pixels` is more than Pillow decodes.

    Example:
        >>> Limits(bytes=10**9, seconds=60).pixels
        64000000
    """

    bytes: int = 256_000_000
    seconds: float = 5.0
    pixels: int = 64_000_000
    aspect: float = 10.0
    side: int = 8
    segments: int = 100_000
    scans: int = 100
    metadata: int = 8_000_000
    any_modality: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "any_modality" and not value > 0:
                raise UsageError(f"the limit {name} has to be positive, got {value!r}")
        if self.pixels > _PILLOW_PIXELS:
            raise UsageError(f"the limit pixels is at most {_PILLOW_PIXELS:,}, as Pillow's; got {self.pixels:,}")

    def check_bytes(self, count: int) -> None:
        """Raises `ImageError` if a file of `count` bytes is too large; call it before reading the file."""
        if count > self.bytes:
            raise ImageError(f"a file of {_megabytes(count)}; at most {_megabytes(self.bytes)} are read")

    def check_size(self, width: int, height: int) -> None:
        """Raises `ImageError` if no X-ray has this width and height in pixels; call it before decoding the pixels."""
        size = f"{width} x {height} pixels"
        if width * height > self.pixels:
            raise ImageError(f"{size}; at most {self.pixels / 1e6:.9g} megapixels are read")
        if min(width, height) < self.side:
            raise ImageError(f"{size}; each side needs {self.side} or more")
        if max(width, height) > self.aspect * min(width, height):
            raise ImageError(f"{size}; one side is more than {self.aspect:g} times the other")


#: Limits that are used by default.
DEFAULT = Limits()


class TimedBytes(io.BytesIO):
    """Contents of a file for a decoder; each `read` raises `ImageError` after the time limit.

    Args:
        data: Contents of the file.
        seconds: Processor time of this thread from now on.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._seconds, self._end = seconds, time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next `size` bytes, or all remaining bytes."""
        self.check_time()
        return super().read(size)

    def check_time(self) -> None:
        """Raises `ImageError` if the time limit is exceeded."""
        if time.thread_time() > self._end:
            raise ImageError(f"not decoded within {self._seconds:g} s of processor time")


def _megabytes(count: int) -> str:
    if count < 1_000_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:,.4g} MB" if count < 1e9 else f"{count / 1e9:,.4g} GB"
