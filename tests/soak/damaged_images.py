"""Damage that knows image formats: lengths, sizes, counts and places in headers, with checksums that agree again."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soak import mutation
from soak.mutation import Rng


@dataclass(frozen=True)
class Field:
    """A number in a file: where it lies, its form for `struct`, and its name."""

    at: int
    form: str
    name: str


@dataclass(frozen=True)
class Piece:
    """A part of a file that can be left out, repeated or moved: a segment, a chunk, an element."""

    start: int
    end: int


def damaged(data: bytes, name: str, others: Sequence[bytes], rng: Rng) -> tuple[bytes, str]:
    """A damaged file, and the format with what was done to it (twice, now and then)."""
    kind = name.partition(" ")[0]
    way = rng.random()
    if way < 0.05:
        return mutation.splice(data, others[rng.integers(len(others))], rng), f"{kind}, spliced"
    if way < 0.3:
        found, done = mutation.blind(data, rng)
    elif way < 0.45 and (made := _inside(data, kind, rng)) is not None:
        found, done = made, "pixels damaged, checksums agree"
    else:
        found, done = _structured(data, kind, rng)
    if rng.random() < 0.25:
        found = _structured(found, kind, rng)[0] if rng.random() < 0.6 else mutation.blind(found, rng)[0]
        done += " and more"
    return found, f"{kind}, {done}"


def _structured(data: bytes, kind: str, rng: Rng) -> tuple[bytes, str]:
    fields, pieces = _PARSERS[kind](data)
    if pieces and (not fields or rng.random() < 0.25):
        return _moved(data, pieces, kind, rng)
    if not fields:
        return mutation.blind(data, rng)
    # Each name is as likely as another: a palette has many fields, a size has two.
    names = sorted({field.name for field in fields})
    name = names[rng.integers(len(names))]
    chosen = [field for field in fields if field.name == name]
    field = chosen[rng.integers(len(chosen))]
    width = struct.calcsize(field.form)
    near = struct.unpack_from(field.form, data, field.at)[0]
    found = mutation.put(data, field.at, field.form, mutation.extreme(width, rng, near))
    return (_checked(found) if kind == "png" and rng.random() < 0.9 else found), name


def _moved(data: bytes, pieces: list[Piece], kind: str, rng: Rng) -> tuple[bytes, str]:
    piece = pieces[rng.integers(len(pieces))]
    part, way = data[piece.start : piece.end], int(rng.integers(3))
    without = data[: piece.start] + data[piece.end :]
    if way == 0:
        return without, "a part left out"
    if way == 1:
        times = int(rng.choice([2, 3, 200, 200_000 // max(len(part), 1) + 1]))
        return data[: piece.start] + part * times + data[piece.end :], "a part repeated"
    other = pieces[rng.integers(len(pieces))].start
    at = min(other, len(without))
    return without[:at] + part + without[at:], "a part moved"


#: A marker of a table, a frame or a scan.
_NEXT = re.compile(rb"\xff[\xc0-\xcf\xda]")


def _jpeg(data: bytes) -> tuple[list[Field], list[Piece]]:
    fields, pieces, at = [], [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        fields += [Field(at + 1, "B", "marker"), Field(at + 2, ">H", "length of a segment")]
        if marker in (0xC0, 0xC1, 0xC2):
            fields += [Field(at + 4, "B", "precision"), Field(at + 5, ">H", "height"), Field(at + 7, ">H", "width")]
            fields += [Field(at + 9, "B", "components")]
            fields += [Field(i, "B", "component") for i in range(at + 10, min(end, len(data)))]
        if marker in (0xC4, 0xDB, 0xDD, 0xDA, 0xE1, 0xEE):
            name = {0xC4: "huffman", 0xDB: "quantisation", 0xDD: "restarts", 0xDA: "scan"}.get(marker, "application")
            fields += [Field(i, "B", name) for i in range(at + 4, min(end, len(data), at + 64))]
        pieces.append(Piece(at, min(end, len(data))))
        at = end
        if marker == 0xDA:  # more scans follow in a progressive one
            found = _NEXT.search(data, at)
            at = found.start() if found else len(data)
    return [field for field in fields if field.at + 2 <= len(data)], pieces


def _png(data: bytes) -> tuple[list[Field], list[Piece]]:
    fields, pieces, at = [], [], 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        fields += [Field(at, ">I", "length of a chunk"), Field(at + 4 + len(pieces) % 4, "B", "name of a chunk")]
        if name == b"IHDR" and at + 21 <= len(data):
            fields += [Field(at + 8, ">I", "width"), Field(at + 12, ">I", "height")]
            fields += [
                Field(at + 16 + i, "B", ("depth", "colour", "method", "filter", "interlace")[i]) for i in range(5)
            ]
        elif name != b"IDAT" and 0 < length < len(data) - at - 8:
            words = name.decode("latin-1")
            fields += [Field(i, "B", words) for i in range(at + 8, at + 8 + min(length, 40))]
        if length > len(data) - at:
            break
        pieces.append(Piece(at, at + 12 + length))
        at += 12 + length
    return fields, pieces


def _checked(data: bytes) -> bytes:
    """The PNG with the right checksum of each chunk."""
    found, at = bytearray(data), 8
    while at + 12 <= len(found):
        length = int.from_bytes(found[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(found):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


_TAGS = {
    256: "width", 257: "height", 258: "bits", 259: "compression", 262: "photometric", 273: "strips", 277: "samples",
    278: "rows of a strip", 279: "lengths of strips", 317: "predictor",
}  # fmt: skip


def _tiff(data: bytes) -> tuple[list[Field], list[Piece]]:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    place, room = (f"{order}Q", 8) if big else (f"{order}I", 4)
    fields, pieces = [Field(2, f"{order}H", "version"), Field(8 if big else 4, place, "first directory")], []
    at, seen = _number(data, 8 if big else 4, place), set()
    while 0 < at < len(data) and at not in seen:
        seen.add(at)
        counted = f"{order}Q" if big else f"{order}H"
        fields.append(Field(at, counted, "tags"))
        count = min(_number(data, at, counted), 40)
        at += struct.calcsize(counted)
        for _ in range(count):
            tag = _number(data, at, f"{order}H")
            name = _TAGS.get(tag)
            entry = 4 + 2 * room
            fields += [Field(at, f"{order}H", "tag"), Field(at + 2, f"{order}H", "type of a tag")]
            fields += [Field(at + 4, place, "count of a tag"), Field(at + 4 + room, place, name or "value of a tag")]
            pieces.append(Piece(at, at + entry))
            at += entry
        fields.append(Field(at, place, "next directory"))
        at = _number(data, at, place)
    return [field for field in fields if field.at + struct.calcsize(field.form) <= len(data)], pieces


def _number(data: bytes, at: int, form: str) -> int:
    return int(struct.unpack_from(form, data, at)[0]) if at + struct.calcsize(form) <= len(data) else 0


def _webp(data: bytes) -> tuple[list[Field], list[Piece]]:
    fields, pieces, at = [Field(4, "<I", "length of the file")], [], 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        fields += [Field(at + 4, "<I", "length of a chunk"), Field(at + 3, "B", "name of a chunk")]
        words = name.decode("latin-1").strip()
        fields += [Field(i, "B", f"header of {words}") for i in range(at + 8, min(at + 24, len(data)))]
        fields += [Field(i, "B", f"data of {words}") for i in range(at + 24, min(at + 200, at + 8 + length, len(data)))]
        end = at + 8 + length + length % 2
        pieces.append(Piece(at, min(end, len(data))))
        at = end
    return fields, pieces


def _bmp(data: bytes) -> tuple[list[Field], list[Piece]]:
    names = ("length of the file", "reserved", "offset", "header", "width", "height")
    fields = [Field(2 + 4 * i, "<I", name) for i, name in enumerate(names)]
    fields += [Field(26, "<H", "planes"), Field(28, "<H", "bits")]
    rest = ("compression", "length of the image", "resolution", "resolution", "colours", "important colours")
    fields += [Field(30 + 4 * i, "<I", name) for i, name in enumerate(rest)]
    return [field for field in fields if field.at + 4 <= len(data)], []


def _dicom(data: bytes) -> tuple[list[Field], list[Piece]]:
    """Elements with a short explicit length or an implicit one, as far as they can be told apart."""
    fields, pieces, at = [], [], 132
    long = (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR", b"OF")
    while at + 8 <= len(data):
        explicit = data[at + 4 : at + 6].isalpha() and data[at + 4 : at + 6].isupper()
        form, place = ("<I", at + 4) if not explicit else ("<H", at + 6)
        if explicit and data[at + 4 : at + 6] in long:
            form, place = "<I", at + 8
        length, start = _number(data, place, form), place + struct.calcsize(form)
        group, element = struct.unpack_from("<HH", data, at)
        fields += [Field(at, "<H", "group"), Field(at + 2, "<H", "element"), Field(place, form, "length of an element")]
        if explicit:
            fields.append(Field(at + 4 + at % 2, "B", "type of an element"))
        if group == 0x0028:
            fields += [Field(start, "<H", "how pixels are stored")] * (length >= 2)
        elif group == 0x7FE0:
            # Items of compressed pixels, and the header of their stream.
            fields += [Field(start + 4, "<I", "length of an item"), Field(start + 12, "<I", "length of an item")]
            fields += [Field(i, "B", "stream") for i in range(start + 16, min(start + 200, len(data)))]
            return [field for field in fields if field.at + 4 <= len(data)], pieces
        elif element and 0 < length < 200:
            fields += [Field(start + i, "B", "value") for i in range(length)]
        if length > len(data) - start:
            break
        pieces.append(Piece(at, start + length))
        at = start + length
    return [field for field in fields if field.at + 4 <= len(data)], pieces


_PARSERS: dict[str, Callable[[bytes], tuple[list[Field], list[Piece]]]] = {
    "jpeg": _jpeg, "png": _png, "tiff": _tiff, "webp": _webp, "bmp": _bmp, "dicom": _dicom,
}  # fmt: skip


def _inside(data: bytes, kind: str, rng: Rng) -> bytes | None:
    """Damages what is compressed, and compresses it again; None where the format has no such thing."""
    if kind == "png":
        chunks = [(p, data[p.start + 4 : p.start + 8]) for p in _png(data)[1]]
        images = [piece for piece, name in chunks if name == b"IDAT"]
        if not images:
            return None
        packed = b"".join(data[p.start + 8 : p.end - 4] for p in images)
        try:
            plain = mutation.blind(zlib.decompress(packed), rng)[0]
        except zlib.error:
            return None
        again = zlib.compress(plain)
        chunk = struct.pack(">I", len(again)) + b"IDAT" + again
        rest = data[: images[0].start] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[images[-1].end :]
        return rest
    if kind == "dicom":
        at = data.find(b"1.2.840.10008.1.2.1.99")
        if at < 0:
            return None
        start = next(i for i in range(at + 22, at + 600) if data[i : i + 2] != b"\x02\0" and _starts(data, i))
        try:
            plain = zlib.decompress(data[start:], -15)
        except zlib.error:
            return None
        packer = zlib.compressobj(wbits=-15)
        return data[:start] + packer.compress(mutation.blind(plain, rng)[0]) + packer.flush()
    return None


def _starts(data: bytes, at: int) -> bool:
    try:
        return len(zlib.decompressobj(-15).decompress(data[at:], 64)) == 64
    except zlib.error:
        return False
