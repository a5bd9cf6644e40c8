"""Headers of DICOM files, read without their pixels: facts of an image in typed form, and identifiers on request alone.

What reads images (`zoo.data.images.dicom`) never sees these tags: the facts and identifiers here are read only by
commands that were asked for them.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zoo.core.errors import ImageError
from zoo.core.file_kinds import DICOM, HEAD, image_kind
from zoo.data.images.decode import DECODE_ERRORS
from zoo.data.images.dicom_meta import DEFLATED, inflated, is_nested, prepare_pydicom, transfer_syntax
from zoo.data.images.limits import DEFAULT, Limits, TimedBytes
from zoo.data.images.sources import file_bytes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: How an image is named in a result: by its file, by its SOP Instance UID, or by a hash of that.
Ids = Literal["file", "uid", "hash"]

#: Environment variable with the key of the hashes; without it they are plain sha256.
KEY = "ZOO_IDS_KEY"

#: Bytes at the start of a file that hold its file meta information.
_HEAD = 1 << 16

#: Hexadecimal digits of a hashed identifier.
_DIGITS = 32

#: View codes (PS3.16, CID 4010) of chest radiographs -> View Position, in SNOMED CT and in the older codes (SRT).
_VIEW_CODES = {
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("272479007", "R-40888"), "PA"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399067008", "R-102CD"), "LATERAL"),
    **dict.fromkeys(("399173006", "R-10236"), "LL"),
    **dict.fromkeys(("399198007", "R-10232"), "RL"),
}

#: Tags of the facts and identifiers, by keyword.
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality", "BodyPartExamined"),
    *("ViewPosition", "ViewCodeSequence", "ImageLaterality", "Laterality"),
    *("PatientID", "PatientSex", "PatientAge", "SpecificCharacterSet"),
)


@dataclass(frozen=True)
class HeaderFacts:
    """Facts of one image as its header has them; "" where it has none.

    Attributes:
        view: "PA", "AP", "LL", "RL", "LATERAL", "FRONTAL" or another View Position: of View Code Sequence (0054,0220),
            or else of View Position (0018,5101).
        laterality: Image Laterality (0020,0062), or else Laterality (0020,0060): "L", "R", "B" or "U".
        age: Patient's Age (0010,1010), such as "058Y"; `labels.facts.ages` reads it.
        sex: Patient's Sex (0010,0040); `labels.facts.sexes` reads it.
        modality: Modality (0008,0060).
        body_part: Body Part Examined (0018,0015).
    """

    view: str = ""
    laterality: str = ""
    age: str = ""
    sex: str = ""
    modality: str = ""
    body_part: str = ""


@dataclass(frozen=True)
class Identifiers:
    """What a header says of the identity of an image; never logged, cached or written unless that is asked for.

    Attributes:
        image: SOP Instance UID (0008,0018).
        study: Study Instance UID (0020,000D).
        patient: Patient ID (0010,0020).
    """

    image: str = ""
    study: str = ""
    patient: str = ""

    def __repr__(self) -> str:
        return "Identifiers(not shown)"  # a traceback or a log never has them by chance


def is_dicom(path: str | Path) -> bool:
    """Whether a file begins as a DICOM file does, whatever its name."""
    with Path(path).open("rb") as file:
        return image_kind(file.read(HEAD)) is DICOM


def read_header(source: str | Path | bytes, limits: Limits = DEFAULT, tags: Sequence[str] | None = None) -> Dataset:
    """Reads the header of a DICOM file, up to its pixels.

    Args:
        source: A path, or the contents of the file.
        limits: Limits on size and time; a deflated file is expanded within them.
        tags: Keywords of the tags to read; all if None.

    Raises:
        ImageError: The file is no DICOM file, damaged or too large, or pydicom is not installed. The message contains
            nothing of the header.
    """
    try:
        prepare_pydicom()
        from pydicom import dcmread
        from pydicom.errors import BytesLengthException
    except ImportError:
        raise ImageError("a DICOM file: pip install 'xrayslam-zoo[dicom]' to read it") from None
    name = "" if isinstance(source, bytes) else f"{source}: "
    try:
        with _opened(source, limits) as file:
            wanted = None if tags is None else list(tags)
            dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=wanted)
        for _ in dataset.iterall():  # pydicom converts a value only when it is asked for
            pass
        return dataset
    except ImageError as error:
        raise ImageError(f"{name}{error}") from None
    except (*DECODE_ERRORS, NotImplementedError, BytesLengthException):
        raise ImageError(f"{name}a DICOM file whose header is damaged") from None


def read_facts(source: str | Path | bytes, limits: Limits = DEFAULT) -> tuple[HeaderFacts, Identifiers]:
    """Reads the facts and the identifiers in the header of a DICOM file; its pixels are not read.

    Raises:
        ImageError: As `read_header`.
    """
    dataset = read_header(source, limits, _TAGS)
    text = partial(_text, dataset)
    facts = HeaderFacts(
        _view(dataset), text("ImageLaterality") or text("Laterality"), text("PatientAge"), text("PatientSex"),
        text("Modality"), text("BodyPartExamined"),
    )  # fmt: skip
    return facts, Identifiers(text("SOPInstanceUID"), text("StudyInstanceUID"), text("PatientID"))


def hashed(identifier: str) -> str:
    """Returns the hash that stands for an identifier: HMAC-SHA256 with the key in `ZOO_IDS_KEY`, or plain SHA-256.

    It hides the identifier from a reader who does not have it. It is no anonymisation: whoever has the images, or a
    list of identifiers, can hash them and find each again. With a key, only those who have the key can; equal images
    then have equal hashes only under the same key.

    Example:
        >>> hashed("1.2.3")[:12] if KEY not in os.environ else "c47f5b18b8a4"
        'c47f5b18b8a4'
    """
    key = os.environ.get(KEY, "")
    text = identifier.encode()
    found = hmac.new(key.encode(), text, hashlib.sha256) if key else hashlib.sha256(text)
    return found.hexdigest()[:_DIGITS]


class _TimedFile(io.BufferedReader):
    """An open file whose `read` raises `ImageError` after the time limit, as that of `TimedBytes`."""

    clock: TimedBytes

    def read(self, size: int | None = -1, /) -> bytes:
        self.clock.check_time()
        return super().read(size)


def _opened(source: str | Path | bytes, limits: Limits) -> io.BufferedIOBase:
    """A DICOM file that is read only as far as it is asked for; a deflated one is expanded."""
    head = source[:_HEAD] if isinstance(source, bytes) else _start(Path(source), limits)
    if image_kind(head[:HEAD]) is not DICOM:
        raise ImageError("not a DICOM file")
    if transfer_syntax(head) == DEFLATED:
        whole = source if isinstance(source, bytes) else file_bytes(str(source), limits)
        return TimedBytes(inflated(whole, limits), limits.seconds)
    if isinstance(source, bytes):
        return TimedBytes(source, limits.seconds)
    file = _TimedFile(io.FileIO(source))
    file.clock = TimedBytes(b"", limits.seconds)
    return file


def _start(path: Path, limits: Limits) -> bytes:
    if not path.is_file():
        raise ImageError("no such file" if not path.exists() else "not a regular file")
    limits.check_bytes(path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        return file.read(_HEAD)


def _view(dataset: Dataset) -> str:
    """The view by its code, which is standardised, or else by the text."""
    items = dataset.get("ViewCodeSequence")
    for item in () if items is None or isinstance(items, str | bytes) else items:
        if view := _VIEW_CODES.get(str(item.get("CodeValue", ""))):
            return view
    return _text(dataset, "ViewPosition")


def _text(dataset: Dataset, tag: str) -> str:
    value = dataset.get(tag)
    return "" if value is None or is_nested(dataset, tag) else str(value).strip()
