"""The images that results are about: their headers, with what DICOM demands of an image and without their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.core.errors import ImageError, UsageError
from zoo.data.images.dicom_header import read_header
from zoo.data.images.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Tags without which an image cannot be referenced.
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")

#: Tags of patient and study that every image has, if only empty (type 2 in PS3.3, C.7.1.1 and C.7.2.1).
_PRESENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)


def source_of(image: str | Path | bytes, limits: Limits = DEFAULT) -> Dataset:
    """Reads the header of an image that results are to reference.

    Args:
        image: Path or contents of a DICOM file.
        limits: Limits on its size and time.

    Returns:
        The header, with tags of patient and study that must be present added empty where they were absent.

    Raises:
        ImageError: It is no DICOM file, or lacks an identifier that a reference needs; names the tag, never a value.
    """
    header = read_header(image, limits)
    missing = [tag for tag in _NEEDED if not header.get(tag)]
    if missing:
        name = "" if isinstance(image, bytes) else f"{image}: "
        raise ImageError(f"{name}a DICOM file without {', '.join(missing)}, which a result has to reference")
    for tag in _PRESENT:
        if header.get(tag) is None:
            setattr(header, tag, "")
    return header


def check_one_study(sources: Sequence[Dataset]) -> None:
    """Raises `UsageError` unless all sources are of one study of one patient, and there is at least one."""
    if not sources:
        raise UsageError("a DICOM result needs at least one source image")
    if len({str(source.StudyInstanceUID) for source in sources}) > 1:
        raise UsageError("images of different DICOM studies cannot share a report: their Study Instance UIDs differ")
    if len({str(source.get("PatientID", "")) for source in sources}) > 1:
        raise UsageError("images of different patients cannot share a report: their Patient IDs differ")
