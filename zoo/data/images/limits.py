"""What reading one image may cost at most, whatever the file declares."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from zoo.core.errors import ImageError, UsageError

#: Above it Pillow itself warns, and refuses twice as many.
_PILLOW_PIXELS = 89_478_485


@dataclass(frozen=True)
class Limits:
    """Bounds on one image; what exceeds one is an `ImageError` that names it.

    All but `seconds` are checked before any pixel is decoded. `seconds` are the processor time of the thread that
    decodes, so that a busy machine refuses no image, and are looked at between the blocks of a file: what a library
    does in one call (a TIFF's compressed strips, a WebP) is bounded by the other limits alone. At its worst a thread
    takes twice `bytes` for the file and 16 bytes for each of `pixels`.

    Attributes:
        bytes: Size of the file.
        seconds: Processor time to decode it.
        pixels: Width times height. The largest detectors give about 20 megapixels.
        aspect: Longest side over shortest.
        side: Shortest side, in pixels.
        segments: Chunks of a PNG or WebP; segments of a JPEG, and bytes of filling between them; tags and strips of a
            TIFF.
        scans: Scans of a JPEG, each of which goes over all pixels again; 10 are usual.
        metadata: Bytes of one block that holds no pixels (EXIF, text, colour profile).

    Raises:
        UsageError: A limit that is not positive, or more pixels than Pillow decodes.

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

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"the limit {name} has to be positive, got {value!r}")
        if self.pixels > _PILLOW_PIXELS:
            raise UsageError(f"the limit pixels is at most {_PILLOW_PIXELS:,}, as Pillow's; got {self.pixels:,}")

    def check_bytes(self, count: int) -> None:
        """Raises `ImageError` where a file of `count` bytes is too large; called before it is read."""
        if count > self.bytes:
            raise ImageError(f"a file of {_megabytes(count)}; at most {_megabytes(self.bytes)} are read")

    def check_size(self, width: int, height: int) -> None:
        """Raises `ImageError` on a width and height in pixels that no X-ray has; called before pixels are decoded."""
        size = f"{width} x {height} pixels"
        if width * height > self.pixels:
            raise ImageError(f"{size}; at most {self.pixels / 1e6:.9g} megapixels are read")
        if min(width, height) < self.side:
            raise ImageError(f"{size}; each side needs {self.side} or more")
        if max(width, height) > self.aspect * min(width, height):
            raise ImageError(f"{size}; one side is more than {self.aspect:g} times the other")


#: What holds where nothing else is asked for.
DEFAULT = Limits()


class TimedBytes(io.BytesIO):
    """The bytes of a file, for a decoder; each `read` raises `ImageError` once the time is over.

    Args:
        data: The file.
        seconds: Processor time of this thread, from now on.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._seconds, self._end = seconds, time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all."""
        self.check_time()
        return super().read(size)

    def check_time(self) -> None:
        """Raises `ImageError` where the time is over."""
        if time.thread_time() > self._end:
            raise ImageError(f"not decoded within {self._seconds:g} s of processor time")


def _megabytes(count: int) -> str:
    if count < 1_000_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:,.4g} MB" if count < 1e9 else f"{count / 1e9:,.4g} GB"
