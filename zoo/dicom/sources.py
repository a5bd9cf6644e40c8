"""The images that results are about: their headers, with what DICOM demands of an image and without their pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.core.errors import ImageError, UsageError
from zoo.core.warn import warn_user
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

#: Tags that are copied into results, with the form that each must have.
_FORMS = {
    "PatientSex": r"[MFO]",
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), r"\d{8}"),
    **dict.fromkeys(("PatientBirthTime", "StudyTime"), r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?"),
}


def source_of(image: str | Path | bytes, limits: Limits = DEFAULT) -> Dataset:
    """Reads the header of an image that results are to reference.

    Args:
        image: Path or contents of a DICOM file.
        limits: Limits on its size and time.

    Returns:
        The header, with tags of patient and study that must be present added empty where they were absent, and emptied
        with a warning where no result may have them in their form.

    Raises:
        ImageError: It is no DICOM file, lacks an identifier that a reference needs, or is of a class or in a character
            set that is not in the standard; names the tag, never a value.
    """
    header = read_header(image, limits)
    missing = [tag for tag in _NEEDED if not header.get(tag)]
    name = "" if isinstance(image, bytes) else f"{image}: "
    if missing:
        raise ImageError(f"{name}a DICOM file without {', '.join(missing)}, which a result has to reference")
    for tag in _PRESENT:
        if header.get(tag) is None:
            setattr(header, tag, "")
    try:
        _set_characters(header)
        _set_forms(header)
    except ImageError as error:
        raise ImageError(f"{name}{error}") from None
    return header


def _set_characters(header: Dataset) -> None:
    """Writes Specific Character Set (0008,0005) as the standard and highdicom do, or raises `ImageError`.

    An empty value is the default; the first of several then stands for ISO 2022 IR 6 (PS3.3, C.12.1.1.2).
    """
    from highdicom import SpecificCharacterSetValues
    from pydicom.charset import python_encoding

    given = header.get("SpecificCharacterSet") or ""
    values = [given] if isinstance(given, str) else [str(value) for value in given]
    for spelling, right in (
        (r"ISO[ _-]?IR[ _-]?(\d+)", r"ISO_IR \1"),
        (r"ISO[ _-]2022[ _-]IR[ _-](\d+)", r"ISO 2022 IR \1"),
    ):
        values = [re.sub(f"(?i)^{spelling}$", right, value.strip()) for value in values]
    if any(value not in python_encoding for value in values):
        raise ImageError("a DICOM file in a character set that is not in the standard, whose text no result can copy")
    if len(values) == 1 and values[0] in ("", "ISO_IR 6"):
        header.pop("SpecificCharacterSet", None)
        return
    values = [value or "ISO 2022 IR 6" for value in values]
    if set(values) - {value.value for value in SpecificCharacterSetValues}:  # such as the Korean one
        header.decode()
        values = ["ISO_IR 192"]
    header.SpecificCharacterSet = values if len(values) > 1 else values[0]


def _set_forms(header: Dataset) -> None:
    """Empties tags whose form no result may have; dates and times of before DICOM 3.0 lose their separators."""
    for tag, form in _FORMS.items():
        text = str(header.get(tag) or "").strip()
        old = re.fullmatch(r"(\d{4})\.(\d\d)\.(\d\d)|(\d\d):(\d\d):(\d\d(?:\.\d+)?)", text)  # PS3.5, 6.2, DA and TM
        text = "".join(part or "" for part in old.groups()) if old else text
        if text and not (re.fullmatch(form, text) and ("Date" not in tag or _is_day(text))):
            warn_user(f"DICOM headers whose {tag} has no valid form, which is left empty in results")
            text = ""
        if tag in header:
            setattr(header, tag, text)
    for tag in ("PatientName", "ReferringPhysicianName"):
        if header[tag].VM > 1:
            warn_user(f"DICOM headers with several values of {tag}, of which the first is copied into results")
            setattr(header, tag, header[tag].value[0])


def _is_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def check_one_study(sources: Sequence[Dataset]) -> None:
    """Raises `UsageError` unless all sources are of one study of one patient, and there is at least one."""
    if not sources:
        raise UsageError("a DICOM result needs at least one source image")
    if len({str(source.StudyInstanceUID) for source in sources}) > 1:
        raise UsageError("images of different DICOM studies cannot share a report: their Study Instance UIDs differ")
    if len({str(source.get("PatientID", "")) for source in sources}) > 1:
        raise UsageError("images of different patients cannot share a report: their Patient IDs differ")
