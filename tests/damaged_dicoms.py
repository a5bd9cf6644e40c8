"""Damage to DICOM files that knows their elements: each mutant has one element that is wrong in one way."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Rng = np.random.Generator

#: Value representations whose length has four bytes (PS3.5, 7.1.2).
LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
VRS = (*LONG, *b"AE AS AT CS DA DS FD FL IS LO PN SH SS UI US XX".split())
GROUPS = (0x0000, 0x0008, 0x0028, 0x5400, 0x7FE0)

TEXTS = (
    *(b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"2\\3", b"\\" * 300, b"9" * 300, b"1.2.3", b"\0" * 8, b"\xff" * 8),
    *(b"MONOCHROME1", b"PALETTE COLOR", b"YBR_FULL_422", b"SIGMOID", b"CT", b"FOR PROCESSING", b"ISO 2022 IR 87"),
    *(struct.pack("<H", number) for number in (0, 1, 3, 7, 17, 255, 0x7FFF, 0xFFFF)),
)
SYNTAXES = (
    *(b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.1.99", b"1.2.3", b""),
    *(b"1.2.840.10008.1.2.4." + number for number in (b"50", b"51", b"57", b"70", b"80", b"90", b"95", b"201")),
)


class Element(NamedTuple):
    """An element as it lies in a file: the pixels of a compressed image are one value without a length."""

    tag: tuple[int, int]
    vr: bytes
    value: bytes
    length: int | None = None

    def encoded(self) -> bytes:
        length = len(self.value) if self.length is None else self.length
        head = struct.pack("<HH", *self.tag) + self.vr
        if self.vr in LONG:
            return head + struct.pack("<2xI", length & 0xFFFFFFFF) + self.value
        return head + struct.pack("<H", length & 0xFFFF) + self.value


def elements(file: bytes) -> list[Element]:
    """The elements of a file in Explicit VR Little Endian, in order.

    >>> [each.tag for each in elements(bytes(128) + b"DICM" + Element((0x28, 2), b"US", b"12").encoded())]
    [(40, 2)]
    """
    found, at = [], 132
    while at < len(file):
        group, number, vr = struct.unpack_from("<HH2s", file, at)
        length, start = (
            (struct.unpack_from("<I", file, at + 8)[0], at + 12)
            if vr in LONG
            else (struct.unpack_from("<H", file, at + 6)[0], at + 8)
        )
        at = len(file) if length == 0xFFFFFFFF else start + length
        found.append(Element((group, number), vr, file[start:at], length if length == 0xFFFFFFFF else None))
    return found


def _length(one: Element, rng: Rng) -> list[Element]:
    ends = (0, 1, len(one.value) - 1, len(one.value) + 2, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
    return [one._replace(length=int(rng.choice(ends)))]


def _value(one: Element, rng: Rng) -> list[Element]:
    texts = SYNTAXES if one.tag == (2, 0x10) else TEXTS
    value = texts[rng.integers(len(texts))]
    return [one._replace(value=value + bytes(len(value) % 2), length=None)]


def _nested(one: Element, rng: Rng) -> list[Element]:
    """The element inside sequences of sequences, under its own tag."""
    value = one.encoded()
    for _ in range(int(rng.choice([1, 3, 50, 800]))):
        value = Element((0x0008, 0x1140), b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value).encoded()
    return [Element(one.tag, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value)]


DAMAGE: dict[str, Callable[[Element, Rng], list[Element]]] = {
    "representation": lambda one, rng: [one._replace(vr=VRS[rng.integers(len(VRS))])],
    "length": _length,
    "value": _value,
    "cut": lambda one, rng: [one._replace(value=one.value[: rng.integers(len(one.value) + 1)])],
    "removed": lambda one, rng: [],
    "twice": lambda one, rng: [one, one],
    "tag": lambda one, rng: [one._replace(tag=(int(rng.choice(GROUPS)), int(rng.choice([0, 8, 16]))))],
    "nested": _nested,
}


def mutant(file: bytes, rng: Rng) -> tuple[bytes, str]:
    """A file in Explicit VR Little Endian with one element damaged, and how."""
    parts = elements(file)
    # As often among those that pixels need as among all.
    needed = [i for i, part in enumerate(parts) if part.tag[0] in (0x0002, 0x0028, 0x7FE0)]
    at = int(rng.choice(needed if rng.random() < 0.5 else np.arange(len(parts))))
    name = str(rng.choice([*DAMAGE]))
    parts[at : at + 1] = DAMAGE[name](parts[at], rng)
    if rng.random() < 0.1:
        parts.insert(int(rng.integers(len(parts) + 1)), parts.pop(int(rng.integers(len(parts)))))
        name += ", out of order"
    return file[:132] + b"".join(part.encoded() for part in parts), name
