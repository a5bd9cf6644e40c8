"""The stored values of a DICOM frame: codestreams are checked before they are decoded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.core.errors import ImageError
from zoo.data.images.dicom_meta import shown
from zoo.data.images.limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Transfer syntaxes (PS3.5, annex A): JPEG of 8 or 12 bits, lossless JPEG, JPEG-LS, JPEG 2000, RLE.
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = (
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    *(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)),
)
_RLE = "1.2.840.10008.1.2.5"

_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")

#: Bytes of the header of an RLE frame (PS3.5, G.5).
_RLE_HEADER = 64


def stored_values(dataset: Dataset, limits: Limits) -> np.ndarray:
    """Decodes the only frame of a data set.

    Args:
        dataset: Data set whose rows, columns and frames are checked.
        limits: Limits on size, memory and time.

    Returns:
        int32 (rows, columns): stored values, without the bits of overlays; or uint8 (rows, columns, 3), RGB.

    Raises:
        ImageError: The pixels are cut off, of another size than declared, or of an unsupported form.
    """
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    bits = dataset.get("BitsAllocated")
    if bits not in (8, 16):
        raise ImageError(f"a DICOM file with {shown(bits)} bits allocated for a pixel; 8 and 16 are read")
    if photometric not in ("MONOCHROME1", "MONOCHROME2", *_COLOUR):
        raise ImageError(f"a DICOM file with photometric interpretation {shown(photometric)}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        values = _encapsulated(dataset, str(syntax), limits)
    elif dataset.PixelData[:4] == b"\xfe\xff\x00\xe0":  # the item of an encapsulated frame (PS3.5, A.4)
        raise ImageError("a DICOM file of compressed pixels whose transfer syntax says that they are not")
    else:
        values = _decoded(dataset, raw=photometric == "PALETTE COLOR" or photometric.startswith("MONO"))
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        colours = apply_color_lut(values, dataset)
        return (colours >> (8 * (colours.dtype.itemsize - 1))).astype(np.uint8)
    if photometric in _COLOUR:
        if values.ndim != 3 or values.dtype != np.uint8:
            raise ImageError(f"a DICOM file with colours of {values.dtype}; 8 bits are read")
        return values
    if values.ndim != 2:
        raise ImageError(f"a DICOM file with pixels of shape {values.shape}, called {photometric}")
    return _without_overlays(values, dataset, packed=not syntax.is_encapsulated or str(syntax) == _RLE)


def _encapsulated(dataset: Dataset, syntax: str, limits: Limits) -> np.ndarray:
    from pydicom.encaps import get_frame

    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == _RLE:
        _check_rle(stream, dataset)
        return _decoded(dataset)
    if syntax in _JPEG_2000:
        found = _jpeg_2000_size(stream)
    elif syntax in (*_JPEG, *_JPEG_LOSSLESS, *_JPEG_LS):
        found = _jpeg_size(stream)
    else:
        raise ImageError(f"a DICOM file in the transfer syntax {syntax}, which is not supported: save it uncompressed")
    rows, columns, precision = found
    declared = (int(dataset.Rows), int(dataset.Columns))
    if (rows, columns) != declared:
        raise ImageError(
            f"a DICOM file of {declared[1]} x {declared[0]} pixels whose codestream has {columns} x {rows}"
        )
    if syntax in _JPEG_LOSSLESS or (syntax in _JPEG and precision > 8):
        return _by_imagecodecs(stream, syntax, precision)
    return _decoded(dataset)


def _decoded(dataset: Dataset, raw: bool = True) -> np.ndarray:
    from pydicom.pixels import get_decoder

    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    if not decoder.is_available:
        raise ImageError(f"{decoder.UID.name} has no decoder here: pip install 'xrayslam-zoo[dicom]'")
    mono = str(dataset.PhotometricInterpretation).startswith("MONO")
    # Its own correction takes the lowest bits for those stored, whatever High Bit says.
    options: dict[str, Any] = {"correct_unused_bits": False}
    values, _ = decoder.as_array(dataset, index=0, raw=raw and mono, **options)
    return np.asarray(values)


def _by_imagecodecs(stream: bytes, syntax: str, precision: int) -> np.ndarray:
    """Decodes lossless and 12-bit JPEG, which no codec of pydicom with a permissive licence does."""
    try:
        import imagecodecs
    except ImportError:
        kind = "lossless" if syntax in _JPEG_LOSSLESS else f"{precision}-bit"
        raise ImageError(f"{kind} JPEG has no decoder here: pip install 'xrayslam-zoo[dicom]'") from None
    decode: Any = imagecodecs.jpegsof3_decode if syntax in _JPEG_LOSSLESS else imagecodecs.jpeg8_decode
    return np.asarray(decode(stream))


def _without_overlays(values: np.ndarray, dataset: Dataset, packed: bool) -> np.ndarray:
    """Keeps the stored bits of each pixel (PS3.5, 8.1.1), with their sign."""
    bits = int(dataset.get("BitsStored") or 8 * values.dtype.itemsize)
    if not 1 <= bits <= 8 * values.dtype.itemsize:
        raise ImageError(f"a DICOM file with {bits} bits stored in {8 * values.dtype.itemsize}")
    shift = int(dataset.get("HighBit", bits - 1)) - bits + 1 if packed else 0
    if not 0 <= shift <= 8 * values.dtype.itemsize - bits:
        raise ImageError(f"a DICOM file with high bit {shown(dataset.HighBit)} for {bits} bits stored")
    whole = values.astype(np.int32) >> shift & ((1 << bits) - 1)
    if dataset.get("PixelRepresentation") == 1:
        whole -= (whole >> (bits - 1)) << bits
    return whole


def _jpeg_size(stream: bytes) -> tuple[int, int, int]:
    """Rows, columns and precision of the frame of a JPEG or JPEG-LS stream."""
    if not stream.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ImageError("a DICOM file whose JPEG is cut off")
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, rows, columns = struct.unpack_from(">BHH", stream, at + 4)
            return rows, columns, precision
        at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    raise ImageError("a DICOM file whose JPEG has no frame")


def _jpeg_2000_size(stream: bytes) -> tuple[int, int, int]:
    """Rows, columns and precision in the SIZ segment (ISO 15444-1, A.5.1) of a JPEG 2000 codestream."""
    at = stream.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 43:
        raise ImageError("a DICOM file whose JPEG 2000 codestream has no header")
    width, height, left, top = struct.unpack_from(">IIII", stream, at + 8)
    return height - top, width - left, (stream[at + 42] & 0x7F) + 1


def _check_rle(stream: bytes, dataset: Dataset) -> None:
    expected = int(dataset.get("SamplesPerPixel") or 1) * int(dataset.BitsAllocated) // 8
    count = int.from_bytes(stream[:4], "little") if len(stream) >= _RLE_HEADER else 0
    if count != expected:
        raise ImageError(f"a DICOM file whose RLE has {count} segments; its pixels need {expected}")
