"""One decoder for every file and every backend: Pillow, with explicit rules for what it would get silently wrong.

Left alone, Pillow clips 16-bit pixels to white, drops the low bytes of 16-bit colour, turns floats in 0..1 to black,
ignores the EXIF orientation, and shows what lies under a transparent pixel.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np
from PIL import Image, ImageFile

from zoo.core.errors import ImageError
from zoo.data.images.depth import scale_depth, significant_bits

#: Raised by one whenever a rule here gives other pixels than before: caches of decoded films are then made anew.
DECODER = 2

#: Formats that are read, told by the content and never by the extension.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")

#: Larger images are refused before any memory is taken: the biggest detectors give about 20 megapixels.
MAX_PIXELS = 64_000_000

#: Longest side over shortest; and the shortest side in pixels.
MAX_ASPECT, MIN_SIDE = 10, 8

#: A DCT-scaled JPEG keeps this many times the wanted size. Means of blocks that are nearly as large as the wanted
#: pixels are no bilinear filter: at 9/8 a 2048 px film decodes a quarter faster and is up to 8 grey levels
#: off, a real one of 512 px up to 40.
_DCT_MARGIN = 2

#: What Pillow is known to raise on damaged and hostile files.
DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
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

_OTHER_FILES = {
    b"version https://git-lfs": "a git-lfs pointer, not the image itself: run `git lfs pull`",
    b"<!doctype": "an HTML page, perhaps of a failed download",
    b"<html": "an HTML page, perhaps of a failed download",
    b"gif8": "a GIF: save it as PNG",
    b"\x00\x00\x00\x0cjp": "a JPEG 2000 file: save it as PNG",
    b"%pdf": "a PDF: save its picture as PNG",
    b"pk\x03\x04": "a ZIP archive: unpack it first",
    b"\xff\xd8": "a JPEG whose header is damaged",
    b"\x89png": "a PNG whose header is damaged",
}


def decode(file: IO[bytes], size: int | None = None, channels: int = 1) -> Image.Image:
    """Decodes the first frame of an open file, upright, flattened on black, in 8 bits.

    A JPEG that is much larger than asked for is scaled inside its DCT, to twice `size` or more on both sides, which
    costs half of a full decode and differs from it by less than one grey level in the mean. Transparent pixels
    are laid on black. Of a TIFF with several pages or an animated PNG the first frame is taken. A PNG whose IEND
    chunk alone is missing is accepted: its pixels are complete and checksummed. Any other truncation is an error.

    Args:
        file: Opened for reading in binary, seekable.
        size: Height and width in pixels that the caller will resize to, or None for all pixels.
        channels: 1 (grey) or 3 (RGB), so that a grey JPEG of a colour file needs no colour conversion.

    Returns:
        An image of mode "L" or "RGB", loaded.

    Raises:
        ImageError: Not an allowed format, too large, too narrow, or of a depth that is not defined; without a name.
        Exception: One of `DECODE_ERRORS` on a damaged file.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        file.seek(0)
        raise ImageError(f"not an image: {describe(file.read(132))}") from None
    check_size(*image.size)
    if image.format in ("JPEG", "MPO"):
        enough = size * _DCT_MARGIN if size else None
        image.draft("L" if channels == 1 else "RGB", (enough, enough) if enough else None)
    if image.format == "PNG":
        return _upright(image, _decode_png(file, image))
    image.load()
    if image.format == "TIFF":
        return _upright(image, _flatten_tiff(image))
    return _upright(image, flatten(image))


def describe(head: bytes) -> str:
    """What a file that is no readable image seems to be, told by its first 132 bytes."""
    if not head:
        return "the file is empty (0 bytes)"
    if head[128:132] == b"DICM":
        return "a DICOM file: convert it to PNG first"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for prefix, words in _OTHER_FILES.items():
        if start.startswith(prefix):
            return words
    return f"unknown content (starts with {head[:8]!r}); readable are {', '.join(FORMATS)}"


def check_size(width: int, height: int) -> None:
    """Raises `ImageError` on a width and height in pixels that no X-ray has; called before pixels are decoded."""
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} x {height} pixels; at most {MAX_PIXELS // 10**6} megapixels are read")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width} x {height} pixels; each side needs {MIN_SIDE} or more")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other")


def flatten(image: Image.Image, bits: int | None = None) -> Image.Image:
    """A loaded image of any mode in 8 bits, as mode "L" or "RGB", with transparent pixels laid on black.

    Args:
        image: Of any Pillow mode.
        bits: Significant bits of 16-bit pixels where the file tells them.

    Raises:
        ImageError: Float pixels, whose range is not defined, or integers outside 0..65535.
    """
    if image.mode == "F":
        raise ImageError("float pixels have no defined range: save the image in 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(scale_depth(np.asarray(image), bits))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(image, mask=image.getchannel("A"))
        return black
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _upright(source: Image.Image, pixels: Image.Image) -> Image.Image:
    """`pixels` turned as the EXIF block of `source` asks (Pillow has done so for a TIFF)."""
    turn = _TURNS.get(source.getexif().get(0x0112, 1))
    return pixels if turn is None else pixels.transpose(turn)


def _decode_png(file: IO[bytes], image: ImageFile.ImageFile) -> Image.Image:
    rawmode = str(image.tile[0][3]) if image.tile else ""
    if "16B" not in rawmode:
        image.load()
        return flatten(image)
    bits = significant_bits(file)
    if image.mode.startswith("I"):
        image.load()
        return flatten(image, bits)
    return flatten(_deep_colour(file, image, rawmode, bits))


def _deep_colour(file: IO[bytes], image: Image.Image, rawmode: str, bits: int | None) -> Image.Image:
    """A PNG with 16 bits a colour: Pillow decodes the high bytes only, so the low ones take a second pass."""
    image.load()
    second = Image.open(file, formats=("PNG",))
    if rawmode == "LA;16B":  # its four bytes a pixel read as four channels: grey high, grey low, alpha high, low
        second.tile = [second.tile[0]._replace(args="RGBA")]
        high, low = np.asarray(image)[..., 0], np.asarray(second)[..., 1]
        grey = Image.fromarray(scale_depth(high.astype(np.uint16) << 8 | low, bits))
        return Image.merge("LA", (grey, image.getchannel("A")))
    second.tile = [second.tile[0]._replace(args=rawmode.replace("16B", "16L"))]
    high, low = np.asarray(image)[..., :3], np.asarray(second)[..., :3]
    colour = Image.fromarray(scale_depth(high.astype(np.uint16) << 8 | low, bits))
    if image.mode == "RGBA":
        colour.putalpha(image.getchannel("A"))
    return colour


def _flatten_tiff(image: Image.Image) -> Image.Image:
    tags = image.tag_v2  # type: ignore[attr-defined]
    flat = flatten(image)
    if image.mode.startswith("I") and tags.get(262) == 0:  # "white is zero", which Pillow leaves so in 16 bits
        return flat.point(range(255, -1, -1))
    extrema = np.asarray(flat.getextrema())
    if flat.mode == "RGB" and max(tags.get(258, (8,))) > 8 and extrema.max() < 64:
        raise ImageError("a TIFF with fewer than 16 bits in 16-bit colour: save it as PNG or in 8 bits")
    return flat
