"""Sound image files of every format that is read, small, in the forms that their formats have."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from dicoms import dicom, lookup, with_stream
from PIL import Image
from pydicom import uid


def chest(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth image with a lively range, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    values = sum(np.sin(x / rng.uniform(5, 20) + y / rng.uniform(5, 20) + rng.uniform(0, 6)) for _ in range(4))
    noisy = 127 + 28 * values + rng.normal(0, 3, (height, width))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def sound_images() -> dict[str, bytes]:
    """Format and form -> file."""
    grey = Image.fromarray(chest(0, 48, 64))
    colour = Image.merge("RGB", [Image.fromarray(chest(i, 48, 64)) for i in range(3)])
    deep = Image.fromarray((chest(0, 48, 64).astype(np.uint16) << 4) + 7)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a radiograph"
    return {
        "jpeg grey": _saved(grey, "JPEG", restart_marker_blocks=4),
        "jpeg colour": _saved(colour, "JPEG", exif=exif),
        "jpeg progressive": _saved(colour, "JPEG", progressive=True),
        "jpeg cmyk": _saved(colour.convert("CMYK"), "JPEG"),
        "png grey": _saved(grey, "PNG", exif=exif),
        "png 16 bits": _saved(deep, "PNG"),
        "png colour": _saved(colour, "PNG", optimize=True),
        "png palette": _saved(colour.quantize(17), "PNG", transparency=3),
        "png alpha": _saved(colour.convert("RGBA"), "PNG"),
        "png animated": _saved(grey, "PNG", save_all=True, append_images=[grey.rotate(9)]),
        "tiff plain": _saved(grey, "TIFF"),
        "tiff 16 bits": _saved(deep, "TIFF"),
        "tiff lzw": _saved(colour, "TIFF", compression="tiff_lzw"),
        "tiff deflate": _saved(grey, "TIFF", compression="tiff_adobe_deflate", exif=exif),
        "tiff jpeg": _saved(colour, "TIFF", compression="jpeg"),
        "tiff pages": _saved(grey, "TIFF", save_all=True, append_images=[grey, grey]),
        "tiff big": _saved(grey, "TIFF", big_tiff=True),
        "webp lossy": _saved(colour, "WEBP", exif=exif),
        "webp lossless": _saved(grey, "WEBP", lossless=True),
        "webp animated": _saved(grey, "WEBP", save_all=True, append_images=[grey.rotate(9)]),
        "bmp grey": _saved(grey, "BMP"),
        "bmp colour": _saved(colour, "BMP"),
        "bmp black and white": _saved(grey.convert("1"), "BMP"),
        **_dicoms(grey),
    }


def _dicoms(grey: Image.Image) -> dict[str, bytes]:
    values = np.asarray(grey)
    window: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 3000, "PhotometricInterpretation": "MONOCHROME1"}
    plain = dicom(values, 8)
    return {
        "dicom 12 bits": dicom(values.astype(np.uint16) << 4, 12, **window),
        "dicom implicit": dicom(
            values.astype(np.uint16) << 4, 12, uid.ImplicitVRLittleEndian, VOILUTSequence=lookup(0, 12, np.arange(4096))
        ),
        "dicom big endian": dicom(values.astype(np.uint16) << 4, 12, uid.ExplicitVRBigEndian),
        "dicom deflated": dicom(values, 8, uid.DeflatedExplicitVRLittleEndian),
        "dicom jpeg": with_stream(plain, _saved(grey, "JPEG"), uid.JPEGBaseline8Bit),
        "dicom jpeg 2000": with_stream(plain, _saved(grey, "JPEG2000", no_jp2=True), uid.JPEG2000),
        "dicom rle": with_stream(plain, _rle(values), uid.RLELossless),
    }


def _rle(values: np.ndarray) -> bytes:
    """A frame in runs of 64 bytes as they are (PS3.5, annex G)."""
    rows = values.reshape(-1, 64)
    return np.array([1, 64, *(0,) * 14], "<u4").tobytes() + b"".join(b"\x3f" + row.tobytes() for row in rows)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
