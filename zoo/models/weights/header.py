"""The header of a safetensors file, checked before its values are read or a network is built for them.

The format: 8 bytes with the length of the header (little-endian), a JSON object with dtype, shape and position of each
tensor, then the values, without gaps.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.core.errors import ReleaseError, WeightsError
from zoo.core.file_kinds import UNKNOWN, looks_like

#: Limits that are checked before memory is taken. The main ensemble's three members have 1,447 tensors together, in
#: headers of 0.2 MB.
MAX_HEADER_BYTES, MAX_TENSORS, MAX_RANK, MAX_BYTES = 4 * 2**20, 50_000, 16, 16 * 2**30

#: Name of a dtype in the format -> name in NumPy (bfloat16: ml_dtypes) and bytes per value. `save_safetensors` writes
#: no float64, complex or eight-bit floats.
DTYPES = {
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    **{f"I{8 * size}": (f"int{8 * size}", size) for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": (f"uint{8 * size}", size) for size in (1, 2, 4, 8)},
}

_NAME = re.compile(r"[A-Za-z0-9_.:-][A-Za-z0-9_.:/-]*")
_MAX_NAME = 512


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        dtype: Number type as the format writes it, such as "F32".
        shape: Shape of the tensor; () for a scalar.
        start: Position of its first value, in bytes from the start of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return self.size * DTYPES[self.dtype][1]


def read_header(path: str | Path) -> dict[str, TensorInfo]:
    """Reads dtype, shape and position of each tensor, by name, in the order of the file; no value is read.

    Raises:
        WeightsError: No such file; not a safetensors file (the message says what it looks like instead); a header that
            is too large, is not JSON or has duplicate keys; a name with characters other than
            `A-Z a-z 0-9 _ . : / -` or with `..`; a dtype that is not in `DTYPES`; or positions that overlap, leave
            gaps or do not match the size of the file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    size = path.stat().st_size
    try:
        if size > MAX_BYTES:
            raise ValueError(f"{size:,} bytes are over the limit of {MAX_BYTES:,}")
        length, text = _header_text(path, size)
        return _parse(text, values_start=8 + length, size=size)
    except (ValueError, RecursionError) as error:
        kind = looks_like(path)
        seems = "" if kind in (UNKNOWN, "a safetensors file") else f" (it is {kind})"
        raise WeightsError(f"{path} is not a readable safetensors file{seems}: {error}") from None


def read_release_header(path: str | Path) -> dict[str, TensorInfo]:
    """Reads the header of a file of a release, as `read_header` does; its errors are `ReleaseError`."""
    try:
        return read_header(path)
    except WeightsError as error:
        raise ReleaseError(str(error)) from None


def count_parameters(path: str | Path) -> int:
    """Number of values in a safetensors file, according to its header; `WeightsError` as in `read_header`."""
    return sum(tensor.size for tensor in read_header(path).values())


def check_name(name: str) -> None:
    """Raises `ValueError` if `read_header` would refuse this name of a tensor."""
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"tensor name {name[:60]!r} is not a plain one (A-Z a-z 0-9 _ . : / -, no '..')")


def _header_text(path: Path, size: int) -> tuple[int, bytes]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10:
            raise ValueError(f"it has {size} bytes, an empty header alone has 10")
        if length > size - 8:
            raise ValueError(f"its header should have {length:,} bytes, the whole file has {size:,}")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header of {length:,} bytes is over the limit of {MAX_HEADER_BYTES:,}")
        text = file.read(length)
    if not text.startswith(b"{"):
        raise ValueError("its header is no JSON object")
    # Counted in the text: a parsed header takes ten times its size.
    if (tensors := text.count(b'"data_offsets"')) > MAX_TENSORS:
        raise ValueError(f"{tensors:,} tensors are over the limit of {MAX_TENSORS:,}")
    return length, text


def _parse(text: bytes, values_start: int, size: int) -> dict[str, TensorInfo]:
    header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(header.pop("__metadata__", {}), dict):
        raise ValueError("its metadata are no JSON object")
    tensors, ends = {}, {}
    for name, facts in header.items():
        check_name(name)
        tensors[name], ends[name] = _tensor(name, facts, values_start)
    # Every byte belongs to one tensor: no overlap, no gap, nothing after the last.
    here = values_start
    ordered = sorted(tensors, key=lambda name: (tensors[name].start, ends[name]))
    for name in ordered:
        if tensors[name].start != here:
            raise ValueError(f"{name} begins at byte {tensors[name].start:,}, where byte {here:,} is due")
        here = ends[name]
    if here != size:
        raise ValueError(f"its tensors end at byte {here:,}, the file has {size:,}: it was cut off or added to")
    return {name: tensors[name] for name in ordered}


def _tensor(name: str, facts: Any, values_start: int) -> tuple[TensorInfo, int]:
    """A tensor and the position after its values."""
    if not isinstance(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{name} has dtype {str(dtype)[:20]!r}, not one of {', '.join(DTYPES)}")
    if not _are_counts(shape) or len(shape) > MAX_RANK:
        raise ValueError(f"{name} has no shape of at most {MAX_RANK} numbers >= 0")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} needs two numbers >= 0 as data_offsets")
    tensor = TensorInfo(dtype, tuple(shape), values_start + offsets[0])
    if tensor.nbytes > MAX_BYTES:
        raise ValueError(f"{name} of shape {shape} is over the limit of {MAX_BYTES:,} bytes")
    if offsets[1] - offsets[0] != tensor.nbytes:
        raise ValueError(
            f"{name} has {offsets[1] - offsets[0]:,} bytes, its shape {shape} of {dtype} {tensor.nbytes:,}"
        )
    return tensor, values_start + offsets[1]


def _are_counts(numbers: Any) -> bool:
    # True is an int as well; a number of thousands of digits would take long to print and fill the message.
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 2**63 for n in numbers)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice[:60]!r} appears twice in its header")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} in its header is no JSON number")
