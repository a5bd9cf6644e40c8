"""Reads the files of a multipart request into memory, within limits that are counted while the bytes arrive.

Nothing is written to a disk, unlike by the form parsers of web frameworks, which spool large files to temporary ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from zoo.service.refusals import Refusal, busy

#: Name of the form's field, which is repeated for each file.
FIELD = "files"

#: Bytes of the headers of one file.
_HEADERS = 16_384


@dataclass(frozen=True)
class Upload:
    """One uploaded file.

    Attributes:
        name: Its name as the client gave it, "" if it gave none.
        content: Its bytes.
    """

    name: str
    content: bytes


class Ledger:
    """Counts the bytes of all uploads that are in memory.

    Args:
        most: Bytes at most.

    >>> ledger = Ledger(10)
    >>> ledger.take(8)
    >>> ledger.held
    8
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Adds bytes; raises a 503 if there are too many."""
        if self.held + count > self.most:
            raise busy("the uploads of other requests fill the memory: try again later")
        self.held += count

    def give_back(self, count: int) -> None:
        """Subtracts bytes that are no longer needed."""
        self.held -= count


async def read_uploads(
    headers: Mapping[str, str], chunks: AsyncIterator[bytes], *, body: int, files: int, ledger: Ledger, taken: list[int]
) -> list[Upload]:
    """Reads the files of one request, in the order of upload.

    Args:
        headers: Headers of the request, by names in lower case.
        chunks: The body.
        body: Bytes of the body at most.
        files: Number of files at most.
        ledger: Counts the bytes of all requests.
        taken: Receives the numbers of bytes that were taken from the ledger, also if reading fails.

    Raises:
        Refusal: The request exceeds a limit, is no complete multipart form, or has no files.
    """
    form = _Form(_boundary(headers.get("content-type", "")), files)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > body:
        raise _too_large(body)
    count = 0
    async for chunk in chunks:
        count += len(chunk)
        if count > body:
            raise _too_large(body)
        ledger.take(len(chunk))
        taken.append(len(chunk))
        form.write(chunk)
    return form.finish()


def _too_large(body: int) -> Refusal:
    return Refusal("too large", f"the request has more than {body / 1e6:,.4g} MB: send its files in several requests")


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise Refusal("not multipart", f"send a form (multipart/form-data) with the field {FIELD!r} for each file")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise Refusal("malformed", "the Content-Type has no boundary (of at most 200 characters)")
    return boundary


class _Form:
    """Files of a form, from the events of a parser."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._uploads, self._ended = most, list[Upload](), False
        self._header, self._value, self._size = bytearray(), bytearray(), 0
        self._disposition, self._name, self._parts = b"", "", list[bytes]()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Parses the next bytes."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Refusal("malformed", "the body is no valid multipart form") from None

    def finish(self) -> list[Upload]:
        """Returns the files after the last byte."""
        if not self._ended:
            raise Refusal("malformed", "the body ends before the last boundary of its form")
        if not self._uploads:
            raise Refusal("no files", f"the form has no files: send each in a field {FIELD!r}")
        return self._uploads

    def _begin(self) -> None:
        if len(self._uploads) >= self._most:
            raise Refusal("too large", f"more than {self._most} files: send them in several requests")
        self._disposition, self._name, self._size = b"", "", 0
        self._parts = []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, count: int) -> None:
        self._size += count
        if self._size > _HEADERS:
            raise Refusal("malformed", f"the headers of a file have more than {_HEADERS:,} bytes")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            raise Refusal("no files", f"a field {field[:40]!r}: only files are sent, each in a field {FIELD!r}")
        if b"filename" not in options:
            raise Refusal("no files", f"a field {FIELD!r} with a text: send a file (curl: -F {FIELD}=@image.png)")
        self._name = options[b"filename"].decode("utf-8", "replace")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._parts.append(data[start:end])

    def _end_part(self) -> None:
        self._uploads.append(Upload(self._name, b"".join(self._parts)))
        self._parts = []

    def _end(self) -> None:
        self._ended = True
