"""From stored DICOM values to the 8 bits of a display: modality, values of interest, inversion (PS3.4, annex N)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zoo.core.errors import ImageError
from zoo.core.warn import warn_user
from zoo.data.images.dicom_meta import shown

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Range of the values, without padding, that an image with more than 8 bits and no window is displayed in.
PERCENTILES = (0.5, 99.5)


def displayed(stored: np.ndarray, dataset: Dataset) -> Image.Image:
    """Maps stored values to 8 bits, as `zoo.data.images.dicom.decode_dicom` says.

    Args:
        stored: int32 (rows, columns), or uint8 (rows, columns, 3), which is kept.
        dataset: Data set with the tags of the modality, the window and the photometric interpretation.

    Raises:
        ImageError: A lookup table is damaged, or every pixel is padding.

    Example:
        >>> from types import SimpleNamespace
        >>> ramp = np.arange(256, dtype=np.int32).reshape(16, 16)
        >>> displayed(ramp, {"BitsStored": 8, "PhotometricInterpretation": "MONOCHROME1"}).getpixel((0, 0))
        255
    """
    if stored.ndim == 3:
        return Image.fromarray(stored)
    padding = _padding(stored, dataset)
    if padding is not None and padding.all():
        raise ImageError("a DICOM file in which every pixel is padding")
    low, high = int(stored.min()), int(stored.max())
    # Every step maps single values, so each possible value is computed once.
    values = _modality(np.arange(low, high + 1), dataset)
    shown = _values_of_interest(values, stored - low, padding, dataset)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        shown = 1.0 - shown
    table = np.floor(255.0 * shown + 0.5).astype(np.uint8)
    pixels = table[stored - low]
    if padding is not None:
        pixels[padding] = 0
    return Image.fromarray(pixels)


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Mask of padding pixels (PS3.3, C.7.5.1.1.2); None without a padding value."""
    value = _number(dataset.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = _number(dataset.get("PixelPaddingRangeLimit"))
    ends = sorted((value, value if limit is None else limit))
    bits = int(dataset.get("BitsStored") or 16)
    if dataset.get("PixelRepresentation") == 1:  # some writers store the value without its sign
        ends = sorted(end - (1 << bits) if end >= 1 << (bits - 1) else end for end in ends)
    mask = (stored >= ends[0]) & (stored <= ends[1])
    return mask if mask.any() else None


def _modality(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Modality LUT or rescale; the slope and intercept of a missing rescale are 1 and 0."""
    tables = dataset.get("ModalityLUTSequence")
    if tables:
        return _looked_up(stored, tables[0], dataset)[0]
    slope, intercept = _number(dataset.get("RescaleSlope")), _number(dataset.get("RescaleIntercept"))
    if slope == 0:
        raise ImageError("a DICOM file with a rescale slope of 0")
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def _values_of_interest(
    values: np.ndarray, index: np.ndarray, padding: np.ndarray | None, dataset: Dataset
) -> np.ndarray:
    """Maps modality values to 0..1 by the VOI LUT, the first window, or the percentiles of the image."""
    tables = dataset.get("VOILUTSequence")
    if tables:
        found, bits = _looked_up(values, tables[0], dataset)
        return np.clip(found / ((1 << bits) - 1), 0.0, 1.0)
    center, width = (_first(dataset.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
    if center is not None and width is not None:
        function = str(dataset.get("VOILUTFunction") or "LINEAR")
        if width >= 1 or (width > 0 and function != "LINEAR"):
            return _window(values, center, width, function)
        warn_user(f"DICOM images with a window of width {width:g}, which has no meaning: shown without it")
    bits = int(dataset.get("BitsStored") or 16)
    if bits <= 8 and values[0] >= 0 and values[-1] < 1 << bits and not dataset.get("ModalityLUTSequence"):
        return values / ((1 << bits) - 1)  # values made for a display, as those of a PNG
    inside = np.bincount((index if padding is None else index[~padding]).ravel(), minlength=len(values))
    return _between_percentiles(values, inside)


def _between_percentiles(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Maps values, of which each occurs `counts` times, linearly to 0..1 between the `PERCENTILES` of the image."""
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(counts[order]) / counts.sum()
    low, high = (values[order][np.searchsorted(shares, percent / 100.0)] for percent in PERCENTILES)
    if low == high:  # nearly all pixels have one value
        present = values[counts > 0]
        low, high = present.min(), present.max()
    return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)


def _window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Maps values to 0..1 by a window (PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if function != "LINEAR":
        raise ImageError(f"a DICOM file with the VOI LUT function {shown(function)}")
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _looked_up(values: np.ndarray, item: Any, dataset: Dataset) -> tuple[np.ndarray, int]:
    """Values through a lookup table (PS3.3, C.11.1.1.1), and the bits of its entries."""
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or data is None or len(descriptor) != 3:
        raise ImageError("a DICOM file whose lookup table is incomplete")
    count, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), int(descriptor[2])
    if dataset.get("PixelRepresentation") == 1 and first >= 1 << 15:  # read as unsigned, but of signed pixels
        first -= 1 << 16
    if isinstance(data, bytes):
        narrow = bits <= 8 and len(data) < 2 * count
        table = np.frombuffer(data[: len(data) // 2 * 2] if not narrow else data, np.uint8 if narrow else "<u2")
    else:
        table = np.asarray([data] if np.isscalar(data) else list(data), np.uint16)
    if not 1 <= bits <= 16 or len(table) < count:
        raise ImageError(f"a DICOM file whose lookup table has {len(table):,} entries of {count:,}, of {bits} bits")
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, count - 1)
    return table[places].astype(np.float64), bits


def _first(value: Any) -> float | None:
    """The first of several values, such as windows; None if there is none."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if len(value) else None
    return _number(value)


def _number(value: Any) -> float | None:
    """A finite number; None if the tag is absent or empty."""
    if value is None or value == "" or value == b"":
        return None
    if isinstance(value, bytes):  # of unknown representation, as in implicit VR
        value = int.from_bytes(value, "little")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ImageError(f"a DICOM file with {shown(value)} in place of a number") from None
    if not np.isfinite(number):
        raise ImageError(f"a DICOM file with the number {number}")
    return number
