"""What precedes the data set of a DICOM file: its transfer syntax, and the expansion of a deflated data set."""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.core.counting import counted
from zoo.core.errors import ImageError
from zoo.data.images.limits import Limits, TimedBytes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Deflated Explicit VR Little Endian (PS3.5, A.5): all that follows the file meta information is one deflated stream.
DEFLATED = "1.2.840.10008.1.2.1.99"

_EXPLICIT = b"1.2.840.10008.1.2.1\0"

#: Group 0002 is always little endian with explicit VR; these VRs have a length of four bytes.
_LONG = (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR", b"OF", b"OD", b"OL", b"OV")

#: Bytes that are expanded between two looks at the clock.
_BLOCK = 1 << 20

#: Texts of a header that a message may show (CS of PS3.5, 6.2), and numbers.
_CODE, _NUMBER = re.compile(r"[A-Z][A-Z0-9_ ]{0,15}"), re.compile(r"[-+]?(\d{1,9}(\.\d{0,9})?|nan|inf)(e[-+]?\d{1,3})?")

#: Values of a list that a message shows.
_SHOWN = 4

_SILENT = logging.NullHandler()

#: The filter of warnings by pydicom and highdicom.
_IGNORED = ("ignore", None, Warning, re.compile(r"(pydicom|highdicom)(\..*)?$"), 0)


def prepare_pydicom() -> None:
    """Imports pydicom and drops its messages and warnings, since they show values of the header.

    Its own warnings and those of highdicom then appear nowhere: on no terminal, in no log, and in no note of a report.

    Raises:
        ImportError: It is not installed.
    """
    from pydicom import config

    # Its warnings of values with a wrong form would show the values, and tracebacks of codecs would fill the terminal.
    config.settings.reading_validation_mode = config.IGNORE
    messages = logging.getLogger("pydicom")
    messages.addHandler(_SILENT)
    messages.propagate = False  # or the log of a service would have them
    # Others may have put a filter before it: one that collects warnings, for a report.
    if not warnings.filters or warnings.filters[0] != _IGNORED:
        warnings.filterwarnings("ignore", module=_IGNORED[3].pattern)


def is_nested(dataset: Dataset, keyword: str) -> bool:
    """Whether an element that should be a value is a sequence, which may hold anything: its text must not be shown."""
    element = dataset.get_item(keyword)
    return element is not None and element.VR == "SQ"


def shown(value: object) -> str:
    """What a message may say of a value: numbers and codes as they are, of any other text only its length.

    In a damaged file, an identifier may stand where a number or a code should.

    >>> shown("CT"), shown([1.5, "2"]), shown("1.2.826.0.1"), shown("Doe^Jane")
    ("'CT'", '[1.5, 2]', 'a text of 11 characters', 'a text of 8 characters')
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        each = [shown(one) for one in value[:_SHOWN]]
        return f"[{', '.join([*each, '...'] if len(value) > _SHOWN else each)}]"
    text = str(value)
    if _NUMBER.fullmatch(text):
        return text
    return repr(text) if _CODE.fullmatch(text) else f"a text of {counted(len(text), 'character')}"


def transfer_syntax(data: bytes) -> str:
    """The UID of the transfer syntax in the header of a DICOM file, with or without a preamble; "" if it has no header.

    Raises:
        ImageError: The group of this element is cut off.
    """
    return _file_meta(data)[0]


def inflated(data: bytes, limits: Limits) -> bytes:
    """Expands a file with a deflated data set to one in Explicit VR Little Endian; returns other files as they are.

    Args:
        data: Contents of the file.
        limits: The expanded data set may have `limits.bytes`, as a file may; `limits.seconds` holds here too.

    Raises:
        ImageError: The stream is larger than that, cut off or damaged.

    Example:
        >>> inflated(b"no DICOM", Limits())
        b'no DICOM'
    """
    syntax, start = _file_meta(data)
    if syntax != DEFLATED:
        return data
    clock = TimedBytes(b"", limits.seconds)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    parts, size, rest = [], 0, data[start:]
    try:
        while not stream.eof:
            clock.check_time()
            part = stream.decompress(rest, _BLOCK)
            rest = stream.unconsumed_tail
            if not part and not rest:
                break
            parts.append(part)
            size += len(part)
            if size > limits.bytes:
                raise ImageError(f"a deflated DICOM file that expands to more than {limits.bytes / 1e6:.9g} MB")
    except zlib.error:
        raise ImageError("a deflated DICOM file whose stream is damaged") from None
    if not stream.eof:
        raise ImageError("a deflated DICOM file that is cut off")
    meta = b"\x02\0\x10\0UI" + struct.pack("<H", len(_EXPLICIT)) + _EXPLICIT
    return b"".join((bytes(128), b"DICM", meta, *parts))


def _file_meta(data: bytes) -> tuple[str, int]:
    """The transfer syntax, and where group 0002 ends; "" and 0 for a bare data set."""
    start = 132 if data[128:132] == b"DICM" else 0
    if not start and data[:2] != b"\x02\0":
        return "", 0
    file = io.BytesIO(data)
    file.seek(start)
    syntax = ""
    while (head := file.read(8))[:2] == b"\x02\0":
        if len(head) < 8:
            break
        element, kind, length = struct.unpack("<2x H 2s H", head)
        if kind in _LONG:
            wide = file.read(4)
            if len(wide) < 4:
                break
            (length,) = struct.unpack("<I", wide)
        value = file.read(min(length, 1 << 20))
        if element == 0x0010:
            syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
    if not syntax:
        raise ImageError("a DICOM file whose header is cut off or names no transfer syntax")
    return syntax, file.tell() - len(head)
