"""The one decoder for all files and backends: Pillow, with explicit rules for the cases that Pillow gets wrong.

Without these rules Pillow clips 16-bit pixels to white, drops the low bytes of 16-bit colour, turns floats in 0..1
black, ignores the EXIF orientation, and shows the colour below transparent pixels.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from zoo.core.errors import ImageError
from zoo.core.file_kinds import DICOM, HEAD, READABLE, UNKNOWN, file_kind, image_kind
from zoo.data.images.depth import depth_table, scale_depth, significant_bits
from zoo.data.images.dicom import decode_dicom
from zoo.data.images.limits import DEFAULT, Limits, TimedBytes
from zoo.data.images.structure import check_structure

#: Increased by one whenever a rule here changes pixels, so that caches of decoded images are rebuilt.
DECODER = 3

#: Formats that are read. The content determines the format, never the extension.
FORMATS = tuple(kind.name.upper() for kind in READABLE if kind is not DICOM)

#: A JPEG scaled inside its DCT keeps at least this multiple of the requested size. Block means nearly as large as the
#: requested pixels would not act as a bilinear filter: at 9/8 a 2048 px image decodes a quarter faster but differs by
#: up to 8 grey levels, and a real image of 512 px by up to 40.
_DCT_MARGIN = 2

#: Bytes of a JPEG decoded between two checks of the time: a scan over all pixels can be a hundred bytes long.
_JPEG_BLOCK, _PROGRESSIVE_BLOCK = 16_384, 4_096

#: Pixels of a 16-bit colour image that are combined at a time.
_BAND = 1 << 20

#: Characters of a reason that are shown: it may quote the file, or a value of a header that has no end.
_WORDS = 300

#: Exceptions that Pillow is known to raise on damaged and hostile files.
DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, size: int | None = None, channels: int = 1, limits: Limits = DEFAULT) -> Image.Image:
    """Decodes the first frame of an image file to 8 bits, upright, with transparent pixels on black.

    A JPEG that is much larger than requested is scaled inside its DCT to at least twice `size` on both sides, which
    takes half the time of a full decode and differs from it by less than one grey level on average. A TIFF with
    several pages or an animated PNG yields its first frame. A PNG that lacks only its IEND chunk is accepted: its
    pixels are complete and checksummed. Any other truncation is an error.

    Args:
        data: Contents of the file.
        size: Height and width in pixels to which the caller will resize, or None for full resolution.
        channels: 1 (grey) or 3 (RGB); with 1 a colour JPEG is decoded to grey directly.
        limits: Limits on size, memory and time.

    Returns:
        A loaded image of mode "L" or "RGB".

    Raises:
        ImageError: The format is not allowed, a limit is exceeded, or the bit depth is undefined. The message omits the
            file name.
        Exception: One of `DECODE_ERRORS` if the file is damaged.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("L", (64, 48), 200).save(file, "PNG")
        >>> decode(file.getvalue()).size
        (64, 48)
    """
    limits.check_bytes(len(data))
    kind = image_kind(data[:HEAD])
    if kind is None or not kind.readable:
        raise ImageError(describe(data[:HEAD]))
    if kind is DICOM:
        return decode_dicom(data, limits)
    file = TimedBytes(data, limits.seconds)
    check_structure(data, kind, limits)
    try:
        image = Image.open(file, formats=[kind.name.upper()])
    except Image.UnidentifiedImageError:
        raise ImageError(f"{kind} whose header is damaged") from None
    except Image.DecompressionBombError:
        most = f"{limits.pixels / 1e6:.9g} megapixels"
        raise ImageError(f"a decompression bomb, or damaged: far more pixels than the {most} that are read") from None
    limits.check_size(*image.size)
    if image.format in ("JPEG", "MPO"):
        enough = size * _DCT_MARGIN if size else None
        image.draft("L" if channels == 1 else "RGB", (enough, enough) if enough else None)
        image.decodermaxblock = _PROGRESSIVE_BLOCK if "progressive" in image.info else _JPEG_BLOCK
    if image.format == "PNG":
        return _upright(image, _decode_png(file, image))
    image.load()
    return _upright(image, _flatten_own(image))


def describe(head: bytes) -> str:
    """Describes a file that is not decoded by its first `HEAD` bytes, and what the user can do about it."""
    kind = image_kind(head)
    if kind is not None:
        return f"{kind}, which is not supported: {kind.advice}"
    if not head:
        return "not an image: the file is empty (0 bytes)"
    if file_kind(head) != UNKNOWN:
        return f"not an image: {file_kind(head)}"
    readable = ", ".join(kind.name for kind in READABLE)
    return f"not an image: unknown content (starts with {head[:8]!r}); readable are {readable}"


def explain_fault(error: BaseException) -> str:
    """Describes a decoder's error in one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= _WORDS else f"{text[:_WORDS]} ..."
    if isinstance(error, OSError) and error.strerror:  # str(error) would repeat the file name
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, (ImageError, UnicodeError)):
        return text
    if isinstance(error, OSError) and "truncated" in text.lower():
        return "the file is truncated"
    return f"the file is damaged: {text or type(error).__name__}"


def decode_loaded(image: Image.Image) -> Image.Image:
    """Converts an image that Pillow has loaded to the result of `decode`, as far as its pixels allow.

    The image is rotated as its EXIF block states. Pillow's `convert` and `resize` keep that block;
    `ImageOps.exif_transpose` removes it.

    Raises:
        ImageError: The pixels have no defined range, or Pillow is known to load them incorrectly.
    """
    if image.format == "PNG" and image.mode in ("RGB", "RGBA") and _has_lost_bits(image):
        raise ImageError("a PNG with 16 bits a colour, of which Pillow loads 8: give its path, or open it again")
    if image.format == "TIFF" and _is_mapped_askew(image):
        raise ImageError("a turned TIFF, which Pillow has loaded in rows of a wrong length: give its path")
    return _upright(image, _flatten_own(image))


def flatten(image: Image.Image, bits: int | None = None) -> Image.Image:
    """Converts a loaded image of any mode to mode "L" or "RGB" in 8 bits, with transparent pixels on black.

    Args:
        image: Image in any Pillow mode.
        bits: Significant bits of 16-bit pixels if the file declares them.

    Raises:
        ImageError: Pixels are floats, whose range is undefined, or integers outside 0..65535.

    Example:
        >>> flatten(Image.new("LA", (1, 1), (200, 0))).getpixel((0, 0))  # fully transparent
        (0, 0, 0)
    """
    if image.mode == "F":
        raise ImageError("float pixels have no defined range: save the image in 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(_in_8_bits(np.asarray(image), bits))
    if image.mode == "La":  # which Pillow converts to "LA" alone
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(image, mask=image.getchannel("A"))
        return black
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _flatten_own(image: Image.Image) -> Image.Image:
    """Applies `flatten`, with TIFF tags that Pillow ignores."""
    return _flatten_tiff(image) if hasattr(image, "tag_v2") else flatten(image)


def _has_lost_bits(image: Image.Image) -> bool:
    """Whether a loaded PNG had 16 bits per colour in its file; if the file is gone, whether its pixels suggest it."""
    try:
        with Path(getattr(image, "filename", "")).open("rb") as file:
            head = file.read(25)
        return len(head) == 25 and head[24] == 16
    except (OSError, ValueError):
        return bool(np.asarray(image.getextrema())[:3].max() < 64)


def _is_mapped_askew(image: Image.Image) -> bool:
    """Whether a loaded TIFF is memory-mapped and rotated by 90 degrees: Pillow 13 swaps its sides before mapping."""
    if getattr(image, "map", None) is None:
        return False
    with suppress(OSError), Image.open(getattr(image, "filename", ""), formats=["TIFF"]) as again:
        return again.tag_v2.get(0x0112, 1) > 4  # type: ignore[attr-defined]
    return False


def _upright(source: Image.Image, pixels: Image.Image) -> Image.Image:
    """Returns `pixels` rotated as the EXIF block of `source` states (Pillow has already rotated a TIFF)."""
    turn = _TURNS.get(source.getexif().get(0x0112, 1))
    return pixels if turn is None else pixels.transpose(turn)


def _in_8_bits(values: np.ndarray, bits: int | None) -> np.ndarray:
    """Scales 16-bit pixels by their depth; keeps 32-bit pixels up to 255, as for an array with the same values."""
    if values.dtype.itemsize > 2 and bits is None and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    return scale_depth(values, bits)


def _decode_png(file: TimedBytes, image: ImageFile.ImageFile) -> Image.Image:
    rawmode = str(image.tile[0][3]) if image.tile else ""
    if "16B" not in rawmode:
        image.load()
        return flatten(image)
    bits = significant_bits(file)
    if image.mode.startswith("I"):
        image.load()
        return flatten(image, bits)
    return flatten(_deep_colour(file, image, rawmode, bits))


def _deep_colour(file: TimedBytes, image: Image.Image, rawmode: str, bits: int | None) -> Image.Image:
    """Decodes a PNG with 16 bits per colour; Pillow decodes only the high bytes, so the low ones need a second pass."""
    image.load()
    second = Image.open(file, formats=("PNG",))
    grey = rawmode == "LA;16B"  # its four bytes a pixel read as four channels: grey high, grey low, alpha high, low
    second.tile = [second.tile[0]._replace(args="RGBA" if grey else rawmode.replace("16B", "16L"))]
    second.load()
    highs, lows = (slice(0, 1), slice(1, 2)) if grey else (slice(0, 3), slice(0, 3))

    def deep(rows: slice) -> np.ndarray:
        file.check_time()
        box = (0, rows.start, image.width, rows.stop)
        high, low = np.asarray(image.crop(box))[..., highs], np.asarray(second.crop(box))[..., lows]
        return high.astype(np.uint16) << 8 | low

    # In bands, since a 16-bit array of all pixels takes several times the memory of the image.
    band = max(1, _BAND // image.width)
    bands = [slice(y, min(y + band, image.height)) for y in range(0, image.height, band)]
    table = depth_table(max(int(deep(rows).max()) for rows in bands), bits)
    pixels = np.concatenate([table[deep(rows)] for rows in bands])
    colour = Image.fromarray(pixels[..., 0] if grey else pixels)
    if image.mode == "RGBA":
        colour.putalpha(image.getchannel("A"))
    return colour


def _flatten_tiff(image: Image.Image) -> Image.Image:
    tags = image.tag_v2  # type: ignore[attr-defined]
    flat = flatten(image)
    if image.mode.startswith("I") and tags.get(262) == 0:  # "white is zero", which Pillow ignores in 16 bits
        return flat.point(range(255, -1, -1))
    extrema = np.asarray(flat.getextrema())
    if flat.mode == "RGB" and max(tags.get(258, (8,))) > 8 and extrema.max() < 64:
        raise ImageError("a TIFF with fewer than 16 bits in 16-bit colour: save it as PNG or in 8 bits")
    return flat
