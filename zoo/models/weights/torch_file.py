"""Reads PyTorch's `.pt` and `.pth` files without PyTorch, and without running anything in them."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from zoo.core.errors import WeightsError
from zoo.models.weights.inert_pickle import read_pickle
from zoo.models.weights.torch_modules import find
from zoo.models.weights.torch_values import Storage, Tensor, as_array, makers, storage_of

#: What a file starts with: both pickles of the older format have protocol 2 or more.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"

#: torch/serialization.py (github.com/pytorch/pytorch, BSD-3): the first two pickles of the older format.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

#: caffe2/serialize/versions.h of PyTorch: newest version of the zip format.
_NEWEST_ZIP = 10

#: Most entries of a zip file (one for each storage), bytes of its pickle, and bytes of all tensors for each byte of the
#: file, since tensors may share storages.
_MAX_ENTRIES, _MAX_PICKLE, _MAX_SHARING = 100_000, 1 << 28, 4


@dataclass(frozen=True)
class TorchFile:
    """What a file holds.

    Attributes:
        tensors: Name -> value, as `state_dict()` of the network names them. bfloat16 and float8 have the types of
            `ml_dtypes`. Arrays are not to be written to.
        attributes: Plain values beside the network, such as "epoch", and of a whole module its own: numbers, text,
            tuples of these, and arrays.
        others: Names and kinds of what else was beside the network, which was not read, such as "optimizer (a dict)".
    """

    tensors: Mapping[str, np.ndarray]
    attributes: Mapping[str, object]
    others: tuple[str, ...] = ()


def read_torch(path: str | Path) -> TorchFile:
    """Reads the network in a PyTorch file: a state dict, a whole module, or a dict that holds one of them.

    Both formats of `torch.save` are read: zip (since PyTorch 1.6) and a row of pickles before. Nothing in the file is
    executed; memory is bounded by the size of the file.

    Args:
        path: A `.pt` or `.pth` file.

    Raises:
        WeightsError: The file is not one of these, is cut off, damaged, hostile, newer than what is known here, or a
            TorchScript archive.

    Example:
        >>> read_torch("densenet121.pth").tensors["features.conv0.weight"].shape       # doctest: +SKIP
        (64, 3, 7, 7)
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    try:
        with path.open("rb") as file:
            start = file.read(4)
            if start == _ZIP:
                return _read_zip(file, path.stat().st_size)
            if start[:1] == _PICKLE:
                return _read_legacy(file)
    except WeightsError as error:
        raise WeightsError(f"{path} was not loaded: {error}") from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError, KeyError, ValueError, OSError, struct.error) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{path} was not loaded: it is cut off or damaged ({reason})") from None
    shown = "is empty" if not start else f"starts with {start!r}"
    raise WeightsError(f"{path} is not a PyTorch file of version 0.4 or newer: it {shown}")


def _read_zip(file: IO[bytes], size: int) -> TorchFile:
    with zipfile.ZipFile(file) as archive:
        entries = _entries(archive, size)
        if "data.pkl" not in entries:
            raise WeightsError("it is a zip file, but not one of PyTorch: there is no data.pkl in it")
        version = archive.read(entries["version"]).strip() if "version" in entries else b"3"
        if not version.isdigit() or int(version[:9]) > _NEWEST_ZIP:
            raise WeightsError(f"its format is {version[:20]!r}, newer than {_NEWEST_ZIP}")
        order = archive.read(entries["byteorder"]).strip() if "byteorder" in entries else b"little"
        if order not in (b"little", b"big"):
            raise WeightsError(f"its byte order is {order[:20]!r}, neither little nor big")
        if entries["data.pkl"].file_size > _MAX_PICKLE:
            raise WeightsError(f"its pickle has {entries['data.pkl'].file_size:,} bytes, which no network needs")

        def fetch(storage: Storage) -> bytes:
            entry = entries.get(f"data/{storage.key}")
            needed = storage.elements * storage.dtype.itemsize
            if entry is None or entry.file_size < needed:
                held = "missing" if entry is None else f"of {entry.file_size:,} bytes"
                raise WeightsError(f"its storage {storage.key[:40]!r} is {held}, expected {needed:,} bytes")
            return archive.read(entry)[:needed]

        root = read_pickle(io.BytesIO(archive.read(entries["data.pkl"])), makers(), storage_of)
        return _collect(root, fetch, size, order == b"big")


def _entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by their names below the one folder of the archive; sizes are checked before anything is read."""
    found = archive.infolist()
    if len(found) > _MAX_ENTRIES:
        raise WeightsError(f"it has {len(found):,} entries, which no network needs")
    inside = {entry.filename.partition("/")[2]: entry for entry in found}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        raise WeightsError("it is a TorchScript archive, which holds code: save the state_dict instead")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in found):
        raise WeightsError("its entries are compressed or encrypted, which PyTorch's are not")
    if sum(entry.file_size for entry in found) > size:
        raise WeightsError("its entries are larger than the file")
    return inside


def _read_legacy(file: IO[bytes]) -> TorchFile:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
        if read_pickle(source) != _MAGIC:
            raise WeightsError("it is a pickle, but not one of PyTorch")
        if (protocol := read_pickle(source)) != _PROTOCOL:
            shown = f"{protocol}" if isinstance(protocol, int) and abs(protocol) < 10**9 else "unknown"
            raise WeightsError(f"its format is {shown}, expected {_PROTOCOL}")
        read_pickle(source)  # sizes of types on the machine that wrote it; storages are little-endian always
        dtypes: dict[str, np.dtype[Any]] = {}

        def persistent(identifier: Any) -> Any:
            found = storage_of(identifier)
            if isinstance(found, Storage) and dtypes.setdefault(found.key, found.dtype) != found.dtype:
                raise WeightsError(f"its storage {found.key[:40]!r} has two types")
            return found

        root = read_pickle(source, makers(), persistent)
        places = _places(source, read_pickle(source), dtypes)

        def fetch(storage: Storage) -> bytes:
            start, end = places.get(storage.key, (0, 0))
            start += storage.offset * storage.dtype.itemsize
            needed = storage.elements * storage.dtype.itemsize
            if start + needed > end:
                raise WeightsError(f"its storage {storage.key[:40]!r} is missing or too small")
            return source[start : start + needed]

        return _collect(root, fetch, len(source), False)


def _places(source: mmap.mmap, keys: Any, dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, tuple[int, int]]:
    """Where each storage begins and ends: behind the pickles, each after the number of its elements in 8 bytes."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WeightsError("its list of storages is damaged")
    places, at = {}, source.tell()
    for key in keys:
        if key not in dtypes:
            raise WeightsError(f"its storage {key[:40]!r} has no type")
        end = at + 8 + int.from_bytes(source[at : at + 8], "little") * dtypes[key].itemsize
        if end > len(source):
            raise WeightsError(f"it is cut off: it has {len(source):,} bytes, and a storage ends at byte {end:,}")
        places[key], at = (at + 8, end), end
    return places


def _collect(root: Any, fetch: Callable[[Storage], bytes], size: int, big_endian: bool) -> TorchFile:
    found = find(root)
    extra = {name: value for name, value in found.attributes.items() if isinstance(value, Tensor)}
    wanted = [*found.tensors.values(), *extra.values()]
    if sum(tensor.elements * tensor.dtype.itemsize for tensor in wanted) > _MAX_SHARING * size:
        raise WeightsError(f"its tensors need more than {_MAX_SHARING} times the memory of the file")
    read: dict[Storage, np.ndarray] = {}

    def value(tensor: Tensor) -> np.ndarray:
        if tensor.storage not in read:
            read[tensor.storage] = np.frombuffer(fetch(tensor.storage), "uint8")
        return as_array(tensor, read[tensor.storage], big_endian)

    tensors = {name: value(tensor) for name, tensor in found.tensors.items()}
    attributes = {**found.attributes, **{name: value(tensor) for name, tensor in extra.items()}}
    return TorchFile(tensors, attributes, tuple(found.others))
