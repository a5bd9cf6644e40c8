"""Recognises the kind of a file by its first bytes, whatever its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

#: Number of bytes at the start of a file that suffice; DICOM has its mark after 128 bytes.
HEAD = 256

UNKNOWN = "another file"


@dataclass(frozen=True)
class ImageKind:
    """A kind of image file.

    Attributes:
        name: Short name, such as "HEIC".
        advice: What to do with a file of an unsupported kind; "" for supported kinds.

    >>> str(ImageKind("GIF", "save its first frame as PNG")), ImageKind("PNG").readable
    ('a GIF image', True)
    """

    name: str
    advice: str = ""

    @property
    def readable(self) -> bool:
        """Whether the zoo can decode this kind."""
        return not self.advice

    def __str__(self) -> str:
        article = "an" if self.name in ("AVIF", "ICO", "NRRD", "OpenEXR") else "a"
        return f"{article} {self.name} {'file' if self.name in ('DICOM', 'NRRD') else 'image'}"


JPEG, PNG, BMP, TIFF, WEBP, DICOM = (ImageKind(name) for name in ("JPEG", "PNG", "BMP", "TIFF", "WebP", "DICOM"))

#: The kinds that are decoded.
READABLE = (JPEG, PNG, BMP, TIFF, WEBP, DICOM)

_CONVERT = "convert it to PNG or JPEG"
_HEIC = ImageKind("HEIC", f"{_CONVERT}, or open it with Pillow and the plugin pillow-heif and give the image")
_AVIF = ImageKind("AVIF", f"{_CONVERT}, or open it with Pillow and give the image")
_GIF = ImageKind("GIF", "save its first frame as PNG")

#: First bytes -> kind of image.
_IMAGES = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG", PNG),
    *((mark, TIFF) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    *((mark, ImageKind("JPEG 2000", _CONVERT)) for mark in (b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")),
    *((mark, ImageKind("JPEG XL", _CONVERT)) for mark in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n")),
    (b"II\xbc", ImageKind("JPEG XR", _CONVERT)),
    (b"8BPS", ImageKind("Photoshop", _CONVERT)),
    (b"v/1\x01", ImageKind("OpenEXR", _CONVERT)),
    (b"\0\0\x01\0", ImageKind("ICO", _CONVERT)),
    (b"NRRD000", ImageKind("NRRD", "save its slice as PNG")),
)

#: Netpbm has only two letters as its mark, which many texts begin with; so the image size must follow.
_NETPBM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s")

#: First group of a DICOM file without a preamble.
_DICOM_GROUPS = (b"\x02\0", b"\x08\0")

#: A DICOMDIR file lists other files and holds no image.
_DICOM_DIRECTORY = b"1.2.840.10008.1.3.10\0"

#: Brands of ISO media files (bytes 8 to 12, behind "ftyp") that hold still images.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _HEIC),
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
}

#: Header lengths of BMP (bytes 14 to 18). BMP has only two letters as its mark, which many texts begin with.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)

#: First bytes -> kind of file. Texts are compared without case and leading spaces.
_BINARY = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5), which is not read from a download"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    *((b"\x80" + bytes([protocol]), "a Python pickle, which can run code and is never read") for protocol in range(6)),
    (b"%PDF", "a PDF document"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_TEXT = (
    (b"<!doctype", "an HTML page, perhaps an error page saved as the file"),
    (b"<html", "an HTML page, perhaps an error page saved as the file"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML page, perhaps an error page saved as the file"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself (run 'git lfs pull')"),
    (b"{", "a JSON text"),
)

#: Name of the first entry of a zip archive -> kind of archive.
_ARCHIVES = (
    (b"metadata.json", "a Keras archive (.keras), which can run code and is never read"),
    (b"config.json", "a Keras archive (.keras), which can run code and is never read"),
    (b"data.pkl", "a PyTorch archive (.pt), which can run code and is never read"),
    (b".npy", "a NumPy archive (.npz)"),
)


def image_kind(head: bytes) -> ImageKind | None:
    """The kind of an image file by its first `HEAD` bytes; None if it is not a known kind of image.

    >>> image_kind(b"GIF89a" + bytes(250)).readable
    False
    >>> image_kind(b"Name,Age") is None
    True
    """
    if head[128:132] == b"DICM" or (head[:2] in _DICOM_GROUPS and head[4:6] in (b"UI", b"UL", b"CS")):
        return None if _DICOM_DIRECTORY in head else DICOM
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12]) or next((kind for brand, kind in _BRANDS.items() if brand in head[16:64]), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if _NETPBM.match(head):
        return ImageKind("Netpbm", _CONVERT)
    return next((kind for mark, kind in _IMAGES if head.startswith(mark)), None)


def file_kind(head: bytes) -> str:
    """Describes a file of an unexpected kind by its first `HEAD` bytes; `UNKNOWN` if nothing is recognised.

    >>> file_kind(b"%PDF-1.7")
    'a PDF document'
    """
    if not head:
        return "an empty file"
    # First, since safetensors begins with a length, whose bytes can equal any of the other marks.
    if head[8:9] == b"{" and head[4:8] == bytes(4):
        return "a safetensors file"
    image = image_kind(head)
    if image is not None:
        return str(image)
    if _DICOM_DIRECTORY in head:
        return "a DICOM directory"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    kind = next((kind for start, kind in _BINARY if head.startswith(start)), None) or next(
        (kind for start, kind in _TEXT if text.startswith(start)), UNKNOWN
    )
    if kind == "a zip archive":
        length = int.from_bytes(head[26:28], "little")
        return next((archive for name, archive in _ARCHIVES if head[30 : 30 + length].endswith(name)), kind)
    return kind


def looks_like(path: Path) -> str:
    """Describes a file as `file_kind` does; only its first bytes are read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.png")
    ...     _ = path.write_bytes(b"%PDF-1.7")
    ...     looks_like(path)
    'a PDF document'
    """
    with path.open("rb") as file:
        return file_kind(file.read(HEAD))
