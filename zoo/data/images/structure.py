"""Counts the pieces of an image file before it is decoded.

A decoder processes everything that a file declares: millions of empty chunks, megabytes of padding, thousands of scans,
or strips that point to the same bytes would take it minutes. This module counts such pieces without decoding them, and
tells kinds of JPEG that are not supported from damaged ones.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.file_kinds import JPEG, PNG, TIFF, WEBP, ImageKind
from zoo.data.images.limits import Limits

_CONVERT = "is not supported: convert it to an 8-bit JPEG or to PNG"

#: JPEG markers of frames (ITU-T T.81, table B.1) whose coding is not supported.
_BASELINE, _EXTENDED, _PROGRESSIVE, _JPEG_LS = 0xC0, 0xC1, 0xC2, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}
_CODINGS = {
    **dict.fromkeys((0xC3, 0xC7), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCD, 0xCE), "an arithmetic-coded JPEG"),
    **dict.fromkeys((0xCB, 0xCF), "a lossless, arithmetic-coded JPEG"),
    _JPEG_LS: "a JPEG-LS image",
}
_SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1
_NO_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))

#: A marker within the data of a scan, in which 0xFF00 is the byte 0xFF and 0xFFD0 to 0xFFD7 restart the decoder.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LONG_FILLING = 4096
_NO_FILLING = re.compile(rb"[^\xff]")

#: TIFF tags, and the integer types.
_COMPRESSION, _STRIPS, _STRIP_BYTES = 259, 273, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}

#: Limit on the total length of the strips relative to the file: some writers state their decoded length.
_STRIP_SLACK = 4


def check_structure(data: bytes, kind: ImageKind, limits: Limits) -> None:
    """Checks the number of pieces in a file against `limits`; truncation and damage are left to the decoder.

    Raises:
        ImageError: The file exceeds a limit, or is a JPEG with a coding or depth that is not supported.
    """
    check = _CHECKS.get(kind)
    if check is not None:
        check(data, limits)


def _check_png(data: bytes, limits: Limits) -> None:
    at, count = 8, 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        count += 1
        if count > limits.segments:
            raise ImageError(f"a PNG of more than {limits.segments:,} chunks")
        if name == b"IEND":
            return
        if name not in (b"IDAT", b"fdAT") and at + length < len(data):  # otherwise the file is damaged
            _check_metadata(length, "PNG", limits)
        at += 12 + length


def _check_webp(data: bytes, limits: Limits) -> None:
    _check_canvas(data, limits)
    at, count = 12, 0
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        count += 1
        if count > limits.segments:
            raise ImageError(f"a WebP of more than {limits.segments:,} chunks")
        if name in (b"EXIF", b"ICCP", b"XMP "):
            _check_metadata(length, "WebP", limits)
        at += 8 + length + length % 2


def _check_canvas(data: bytes, limits: Limits) -> None:
    """Checks the size that a WebP declares, since its decoder allocates the memory on opening."""
    name = data[12:16]
    if name == b"VP8X" and len(data) >= 30:
        limits.check_size(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
    elif name == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        limits.check_size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    elif name == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        limits.check_size(width & 0x3FFF, height & 0x3FFF)


def _check_jpeg(data: bytes, limits: Limits) -> None:
    components, progressive, exif = 0, False, 0
    for marker, at, length in _segments(data, limits):
        if marker in _FRAMES:
            _check_frame(marker, data[at + 2] if at + 2 < len(data) else 8)
            progressive = marker == _PROGRESSIVE
            components = data[at + 7] if at + 7 < len(data) else 0
        elif marker == _EXIF and data[at + 2 : at + 6] == b"Exif":
            exif += length
            _check_metadata(exif, "JPEG", limits)
        elif marker == _SCAN:
            # Without progression a decoder reads only one scan with every component.
            _check_filling(data, at + length)
            if progressive or data[at + 2 : at + 3] != bytes([components]):
                _check_scans(data, at + length, limits)
            return


def _segments(data: bytes, limits: Limits) -> Iterator[tuple[int, int, int]]:
    """Yields marker, position and length (of the data after the marker) of each segment before a JPEG's first scan."""
    at, filling, count = 2, 0, 0
    while (start := data.find(b"\xff", at)) >= 0 and (found := _NO_FILLING.search(data, start)):
        end, marker = found.start(), data[found.start()]
        filling += end - 1 - at
        count += 1
        if filling > limits.segments:
            raise ImageError(f"a JPEG with more than {limits.segments:,} bytes of filling between its segments")
        if count > limits.segments:
            raise ImageError(f"a JPEG of more than {limits.segments:,} segments")
        at = end + 1
        if marker in _NO_LENGTH:
            continue
        if marker == _END or at + 2 > len(data):
            return
        length = int.from_bytes(data[at : at + 2], "big")
        yield marker, at, length
        at += max(length, 2)


def _check_frame(marker: int, bits: int) -> None:
    """Raises `ImageError` for a JPEG of a kind that is not supported, which decoders would report as damaged."""
    if marker in _CODINGS:
        raise ImageError(f"{_CODINGS[marker]}, which {_CONVERT}")
    if bits != 8:
        raise ImageError(f"a {bits}-bit JPEG, which {_CONVERT}")


def _check_scans(data: bytes, at: int, limits: Limits) -> None:
    scans, count = 1, 0
    while found := _MARKER.search(data, at):
        at, marker = found.end(), data[found.end() - 1]
        count += 1
        if marker == _END:
            return
        scans += marker == _SCAN
        if scans > limits.scans:
            raise ImageError(f"a JPEG of more than {limits.scans:,} scans")
        if count > limits.segments:
            raise ImageError(f"a JPEG of more than {limits.segments:,} segments")
        at += max(int.from_bytes(data[at : at + 2], "big"), 2)


def _check_filling(data: bytes, at: int) -> None:
    """Raises `ImageError` for a run of padding between scans, which a decoder would scan again for each block."""
    start = data.find(b"\xff" * _LONG_FILLING, at)
    if start >= 0 and data.find(b"\xff\xd9", at, start) < 0:  # harmless after the end of the image
        raise ImageError(f"a JPEG with {_LONG_FILLING:,} bytes of filling or more between its segments")


def _check_tiff(data: bytes, limits: Limits) -> None:
    try:
        tags = _tags(data, limits)
        compression = _numbers(data, tags, _COMPRESSION)
        sides = [int(side[0]) for tag in (_TILE_WIDTH, _TILE_HEIGHT) if (side := _numbers(data, tags, tag)).size]
        if math.prod(sides) > limits.pixels:  # a whole tile is decoded, however small the image
            raise ImageError(f"a TIFF with tiles of {' x '.join(map(str, sides))} pixels")
        for place, lengths in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
            pieces = tags.get(place, ("", 0, 0))[1]
            if pieces > limits.segments:
                raise ImageError(f"a TIFF of {pieces:,} strips; at most {limits.segments:,} are read")
            # Uncompressed strips are read up to the size of their pixels, whatever length they declare.
            if pieces > 1 and compression.size and compression[0] != 1:
                own = _numbers(data, tags, lengths)
                total = int(own.sum(dtype=np.float64)) if own.size else pieces * len(data)
                if total > _STRIP_SLACK * len(data):
                    raise ImageError("a TIFF whose strips are together longer than the file")
    except (struct.error, OverflowError):  # truncated or damaged: the decoder reports it
        return


def _tags(data: bytes, limits: Limits) -> dict[int, tuple[str, int, int]]:
    """Returns the type, count and position of the values of each tag in the first directory of a TIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
    if count > limits.segments:
        raise ImageError(f"a TIFF of {count:,} tags; at most {limits.segments:,} are read")
    at += 8 if big else 2
    entry, room = (f"{order}HHQ", 8) if big else (f"{order}HHI", 4)
    tags: dict[int, tuple[str, int, int]] = {}
    for _ in range(count):
        tag, kind, values = struct.unpack_from(entry, data, at)
        at += struct.calcsize(entry)
        integers = _INTEGERS.get(kind, "")
        inside = not integers or values * int(integers[1]) <= room
        place = at if inside else struct.unpack_from(f"{order}Q" if big else f"{order}I", data, at)[0]
        tags.setdefault(tag, (order + integers if integers else "", values, place))
        at += room
    return tags


def _numbers(data: bytes, tags: dict[int, tuple[str, int, int]], tag: int) -> np.ndarray:
    """Returns the integers of a tag; empty if the tag is missing or truncated."""
    kind, count, place = tags.get(tag, ("", 0, 0))
    if not kind or not count or place + count * int(kind[-1]) > len(data):
        return np.empty(0, np.uint64)
    return np.frombuffer(data, kind, count, place)


def _check_metadata(length: int, kind: str, limits: Limits) -> None:
    if length > limits.metadata:
        raise ImageError(f"a {kind} with {length:,} bytes of metadata in one block; {limits.metadata:,} are read")


_CHECKS: dict[ImageKind, Callable[[bytes, Limits], None]] = {
    PNG: _check_png,
    JPEG: _check_jpeg,
    TIFF: _check_tiff,
    WEBP: _check_webp,
}
