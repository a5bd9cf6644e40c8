"""Damage to bytes that knows nothing of their format; what knows it lies with the kinds."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator


def flip(data: bytes, rng: Rng) -> bytes:
    """Turns one to eight bits."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        found[rng.integers(len(found))] ^= 1 << rng.integers(8)
    return bytes(found)


def overwrite(data: bytes, rng: Rng) -> bytes:
    """Sets a few bytes in a row to values at the ends of their range."""
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 9))
    return data[:at] + bytes(rng.choice([0, 1, 0x7F, 0x80, 0xFF], n).tolist()) + data[at + n :]


def cut(data: bytes, rng: Rng) -> bytes:
    """Ends early."""
    return data[: rng.integers(len(data))]


def delete(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.integers(1, 65)) :]


def repeat(data: bytes, rng: Rng) -> bytes:
    """Has a part twice or many times."""
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 65))
    return data[:at] + data[at : at + n] * int(rng.choice([2, 3, 50])) + data[at + n :]


def append(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


BLIND: dict[str, Callable[[bytes, Rng], bytes]] = {
    "bits": flip, "bytes": overwrite, "cut": cut, "deleted": delete, "repeated": repeat, "appended": append,
}  # fmt: skip


def blind(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """One damage of any sort, and its name."""
    name = str(rng.choice([*BLIND]))
    return (BLIND[name](data, rng) if data else data), name


def splice(data: bytes, other: bytes, rng: Rng) -> bytes:
    """The beginning of one file, and the end of another."""
    return data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other) + 1) :]


def extreme(width: int, rng: Rng, near: int = 0) -> int:
    """A number of so many bytes at an end of its range, or near another."""
    most = (1 << 8 * width) - 1
    ends = [0, 1, 2, 3, most, most - 1, most >> 1, (most >> 1) + 1, 1 << int(rng.integers(8 * width))]
    around = [near + 1, near - 1, near * 2, near // 2, near + int(rng.integers(-300, 300))]
    return int(rng.choice(np.array([*ends, *around, int(rng.integers(0, most, dtype=np.uint64))], object))) & most


def put(data: bytes, at: int, form: str, value: int) -> bytes:
    """Writes a number; `form` is of `struct`."""
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]
