"""What all DICOM results share: the library that writes them, their series, equipment and private coding scheme."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from zoo._version import __version__
from zoo.core.errors import ImageError, MissingExtraError, ZooError
from zoo.data.images.dicom_meta import prepare_pydicom
from zoo.dicom.algorithm import MANUFACTURER, Algorithm
from zoo.dicom.codes import PRIVATE

if TYPE_CHECKING:
    from highdicom import ContributingEquipment
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.dataset import Dataset

#: Kind of result -> Series Number (0020,0011), far from those of a modality.
SERIES = {"report": 9901, "map": 9902, "capture": 9903}


def require_highdicom() -> None:
    """Prepares highdicom, whose warnings and messages would show names of patients and identifiers.

    Raises:
        MissingExtraError: It is not installed.
    """
    for library in ("pydicom", "highdicom"):
        if find_spec(library) is None:
            raise MissingExtraError("DICOM results", library, "dicom")
    prepare_pydicom()
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # below that it logs identifiers of images


@contextmanager
def headers_copied() -> Iterator[None]:
    """Turns what highdicom and pydicom raise on the header of an image into an `ImageError` without its values.

    Errors that arise elsewhere are faults of this package and stay as they are.

    >>> with headers_copied():
    ...     int("x")
    Traceback (most recent call last):
    ...
    ValueError: invalid literal for int() with base 10: 'x'
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        frames = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
        theirs = [name for name in frames if "/highdicom/" in name or "/pydicom/" in name]
        if not theirs:
            raise
        where = "/".join(theirs[-1].split("/")[-2:])
        kind = type(error).__name__
        raise ImageError(f"a DICOM file whose header no result can copy ({kind} in {where})") from None


def with_usual_characters(made: Dataset) -> None:
    """Writes the default first character set of several as an empty value, as images have it.

    highdicom takes "ISO 2022 IR 6" alone, which means the same but which Orthanc 1.10 shows as unreadable names.

    >>> from pydicom.dataset import Dataset
    >>> made = Dataset()
    >>> made.SpecificCharacterSet = ["ISO 2022 IR 6", "ISO 2022 IR 87"]
    >>> with_usual_characters(made)
    >>> list(made.SpecificCharacterSet)
    ['', 'ISO 2022 IR 87']
    """
    given = made.get("SpecificCharacterSet")
    if given is not None and not isinstance(given, str) and given[0] == "ISO 2022 IR 6":
        made.SpecificCharacterSet = ["", *given[1:]]


def when_text(when: datetime | None) -> tuple[str, str]:
    """Returns date and time of creation as DICOM writes them (VR DA and TM).

    >>> when_text(datetime(2026, 5, 4, 13, 2, 1))
    ('20260504', '130201')
    """
    at = datetime.now() if when is None else when
    return at.strftime("%Y%m%d"), at.strftime("%H%M%S")


def contributor(algorithm: Algorithm) -> ContributingEquipment:
    """The item of Contributing Equipment Sequence (0018,A001) for the model."""
    from highdicom import ContributingEquipment
    from pydicom.sr.codedict import codes

    return ContributingEquipment(
        MANUFACTURER,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=algorithm.name,
        software_versions=__version__,
        device_serial_number=algorithm.manifest_sha256[:16],
        contribution_description="Research model that computed the findings",
    )


def private_schemes() -> list[CodingSchemeIdentificationItem]:
    """The item of Coding Scheme Identification Sequence (0008,0110) for the private codes."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [
        CodingSchemeIdentificationItem(
            PRIVATE, name="Findings of xrayslam-zoo", responsible_organization="xrayslam-zoo"
        )
    ]
