"""Reads a chest radiograph from a DICOM file: which objects are accepted, and their header.

The pixels take the road of `dicom_frames` (stored values) and `dicom_display` (8 bits). Only the tags listed here are
read; no name, number or date of a patient is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PIL import Image

from zoo.core.errors import ImageError
from zoo.core.warn import warn_user
from zoo.data.images.dicom_meta import inflated, is_nested, prepare_pydicom, shown, transfer_syntax
from zoo.data.images.limits import DEFAULT, Limits, TimedBytes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Modalities of projection radiographs (PS3.3, C.7.3.1.1.1); RG is their old name.
RADIOGRAPHS = ("CR", "DX", "RG")

#: Words of Body Part Examined (0018,0015) that a chest radiograph has.
_CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "STERNUM", "CXR", "THORACIC")

#: UIDs that the standard itself gives.
_OF_DICOM = re.compile(r"1\.2\.840\.10008\.[0-9.]{1,50}")

#: Transfer syntaxes whose pixels are deflated one by one, or lie on a server.
_REFUSED = {
    "1.2.840.10008.1.2.4.95": "whose pixels lie on a server (JPIP)",
    "1.2.840.10008.1.2.8.1": "with deflated frames",
}

#: Tags without which pixels have no meaning.
_NEEDED = ("PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")

#: Tags that are read, by keyword.
_TAGS = (
    *("SOPClassUID", "Modality", "BodyPartExamined", "PresentationIntentType", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData", "PixelData"),
)


def decode_dicom(data: bytes, limits: Limits = DEFAULT) -> Image.Image:
    """Decodes a radiograph in a DICOM file to 8 bits as it would be displayed.

    In this order: stored bits without overlays; modality LUT or rescale; VOI LUT, or the first window by its function,
    or, without either, the percentiles of `dicom_display.PERCENTILES` (8-bit images are kept as they are); inversion
    of MONOCHROME1 or Presentation LUT Shape INVERSE; 8 bits. Padding is black and enters no statistic.

    Args:
        data: Contents of the file.
        limits: Limits on size, memory and time. `any_modality` accepts other modalities and body parts.

    Returns:
        A loaded image of mode "L" or "RGB".

    Raises:
        ImageError: pydicom or a decoder is not installed, the file is no single-frame radiograph of a chest, or it is
            damaged; states the reason and contains no identifier from the header.
    """
    try:
        from pydicom.errors import BytesLengthException, InvalidDicomError

        prepare_pydicom()
    except ImportError:
        raise ImageError("a DICOM file: pip install 'xrayslam-zoo[dicom]' to read it") from None
    from zoo.data.images.dicom_display import displayed
    from zoo.data.images.dicom_frames import stored_values

    try:
        dataset = _header(data, limits)
        check_radiograph(dataset, limits)
        return displayed(stored_values(dataset, limits), dataset)
    except (InvalidDicomError, BytesLengthException):
        raise ImageError("a DICOM file whose header is damaged") from None
    except NotImplementedError as error:  # a RuntimeError, but of pydicom's limits and not of a damaged file
        raise ImageError(f"a DICOM file in a form that is not supported: {' '.join(str(error).split())}") from None


def check_radiograph(dataset: Dataset, limits: Limits) -> None:
    """Checks that a data set is one frame of a chest radiograph, without decoding it.

    Raises:
        ImageError: It has no pixels, several frames, or is of another modality or body part.
    """
    if not dataset.get("PixelData"):
        raise ImageError("a DICOM file without pixels")
    for keyword in _TAGS:
        if not keyword.endswith("Sequence") and is_nested(dataset, keyword):
            raise ImageError(f"a DICOM file whose {keyword} is a sequence")
    for keyword in _NEEDED:
        if dataset.get(keyword) in (None, ""):
            raise ImageError(f"a DICOM file without {keyword}, which its pixels need")
    frames = _number(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise ImageError(f"a DICOM file of {frames:,} frames: save the frame that is wanted on its own")
    rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
    limits.check_size(columns, rows)
    if limits.any_modality:
        return
    modality = str(dataset.get("Modality", "") or "")
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    insist = "--any-modality (Limits(any_modality=True)) reads it all the same"
    if modality and modality not in RADIOGRAPHS:
        raise ImageError(f"a DICOM file of modality {shown(modality)}, not a radiograph (CR, DX): {insist}")
    if part and not any(word in part for word in _CHEST):
        raise ImageError(f"a DICOM file of body part {shown(part)}, not a chest: {insist}")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        warn_user(
            "DICOM images FOR PROCESSING (0008,0068): raw detector values, which no radiologist reads; results differ"
        )
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and dataset.get("PresentationLUTShape") == "IDENTITY":
        warn_user(
            "DICOM images of MONOCHROME1 with Presentation LUT Shape IDENTITY, which contradict each other: "
            "MONOCHROME1 is obeyed, and the image inverted"
        )
    if dataset.get("BurnedInAnnotation") == "YES":
        warn_user("DICOM images with burned-in annotation (0028,0301): text in the pixels may name the patient")


def _header(data: bytes, limits: Limits) -> Dataset:
    from pydicom import dcmread
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = transfer_syntax(data)
    if syntax and not UID(syntax).is_transfer_syntax:
        # With a wrong length or tag, it may be an identifier.
        named = repr(syntax) if _OF_DICOM.fullmatch(syntax) else shown(syntax)
        raise ImageError(f"a DICOM file in {named}, which is no transfer syntax")
    if syntax in _REFUSED:
        raise ImageError(f"a DICOM file {_REFUSED[syntax]}: save it in another transfer syntax")
    data = inflated(data, limits)
    file = TimedBytes(data, limits.seconds)
    try:
        dataset = dcmread(file, force=True, specific_tags=list(_TAGS))
    except OSError:
        file.check_time()  # pydicom says that it found no tag, whatever ended a read inside a sequence
        raise
    if not syntax and "TransferSyntaxUID" not in dataset.file_meta:  # a bare data set, whose encoding pydicom has found
        little, implicit = dataset.is_little_endian, dataset.is_implicit_VR
        dataset.file_meta.TransferSyntaxUID = (
            ExplicitVRBigEndian if not little else ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )
    return dataset


def _number(dataset: Dataset, keyword: str, default: int = 0) -> int:
    value = dataset.get(keyword, default)
    try:
        return default if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        raise ImageError(f"a DICOM file with {keyword} {shown(value)}") from None
