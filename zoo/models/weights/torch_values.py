"""What PyTorch and NumPy put into pickles: storages, tensors and arrays, described and not yet read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from zoo.core.errors import WeightsError
from zoo.models.weights.inert_pickle import Maker
from zoo.models.weights.inert_values import Name, Pending

#: Name of a dtype of PyTorch -> ours.
_DTYPES: dict[str, Any] = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "complex64", "complex128", "bool")},
    **{name: np.dtype(name) for name in ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}

#: Class of a typed storage -> dtype; an untyped one counts bytes.
_STORAGES = {
    **{"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Bool": "bool"},
    **{"Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Untyped": "uint8"},
    **{"ComplexFloat": "complex64", "ComplexDouble": "complex128"},
}

#: PyTorch's own limit of axes, and most elements of one tensor: no index overflows.
_MAX_AXES, _MAX_ELEMENTS = 64, 2**40


@dataclass(frozen=True)
class Storage:
    """A flat piece of memory in a file: its key there, the type of its elements and their number."""

    key: str
    dtype: np.dtype[Any]
    elements: int
    offset: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, in elements of `dtype`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def storage_of(identifier: Any) -> Any:
    """Makes a `Storage` from a persistent id; of a class that was saved with its source, its name.

    Raises:
        WeightsError: The id is not one of PyTorch's.
    """
    kind, *rest = identifier if isinstance(identifier, tuple) and identifier else (None,)
    if kind == "module" and rest and isinstance(rest[0], Name):
        return rest[0]
    if kind != "storage" or len(rest) not in (4, 5) or not isinstance(rest[0], Name) or not isinstance(rest[1], str):
        raise WeightsError("its pickle refers to something that is no storage of PyTorch")
    dtype = _storage_dtype(rest[0].name)
    view = rest[4] if len(rest) == 5 else None
    if view is None:
        return Storage(rest[1], dtype, _count(rest[3], "size of a storage"))
    if not isinstance(view, tuple) or len(view) != 3:
        raise WeightsError("its pickle describes a view of a storage wrongly")
    _, offset, elements = view
    return Storage(rest[1], dtype, _count(elements, "size of a view"), _count(offset, "place of a view"))


def makers() -> Mapping[str, Maker]:
    """The functions that stand in for the classes and functions of PyTorch, NumPy and the standard library."""
    numpy = {f"numpy.{core}.multiarray": core for core in ("core", "_core")}
    return {
        "collections.OrderedDict": lambda *pairs: _ordered(*pairs),
        "collections.defaultdict": lambda *factory: {},
        **dict.fromkeys(("builtins.set", "__builtin__.set"), lambda values=(): _checked_list(values)),
        "torch.Size": lambda values: tuple(_count(v, "size") for v in _checked_list(values)),
        "torch.device": lambda *where: str(where[0])[:40] if where and isinstance(where[0], str) else "",
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": lambda s, o, n, k, grad, hooks, dtype, *more: _tensor(
            s, o, n, k, dtype=dtype
        ),
        "torch._utils._rebuild_parameter": lambda data, *more: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *more: data,
        "torch.nn.parameter.Parameter": lambda data, *more: data,
        "torch.autograd.variable.Variable": lambda data, *more: data,
        "torch.serialization._get_layout": lambda name: name,
        "numpy.dtype": NumpyType,
        "numpy.ndarray": lambda *args: NumpyArray(),
        "_codecs.encode": _encode,
        **{f"{place}._reconstruct": lambda *args: NumpyArray() for place in numpy},
        **{f"{place}.scalar": _scalar for place in numpy},
    }


class NumpyType(Pending):
    """A dtype of NumPy: numbers only."""

    def __init__(self, name: Any, *more: Any) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[biufc](1|2|4|8|16)", name):
            raise WeightsError("it holds a NumPy array of another type than numbers")
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        """Takes the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class NumpyArray(Pending):
    """An array of NumPy; `value` is None until its state came."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Takes shape, dtype, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], NumpyType):
            raise WeightsError("it holds a NumPy array whose description is damaged")
        shape: tuple[int, ...] = _sizes(state[1])
        flat = _buffer(state[4], state[2].dtype)
        elements: int = math.prod([*shape])
        if elements != flat.size:
            raise WeightsError(f"it holds a NumPy array of shape {shape} with {flat.size} elements")
        self.value = flat.reshape(shape, order="F" if state[3] else "C")


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, NumpyType):
        raise WeightsError("it holds a number of NumPy whose description is damaged")
    flat = _buffer(data, kind.dtype)
    if flat.size != 1:
        raise WeightsError("it holds a number of NumPy whose description is damaged")
    return flat[0].item()


def _buffer(data: Any, dtype: np.dtype[Any]) -> np.ndarray:
    if not isinstance(data, bytes | bytearray) or len(data) % dtype.itemsize:
        raise WeightsError("it holds a NumPy array whose bytes are damaged")
    return np.frombuffer(data, dtype)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any, dtype: Any = None) -> Tensor:
    if not isinstance(storage, Storage):
        raise WeightsError("its pickle describes a tensor without a storage")
    kind = storage.dtype if dtype is None else _named_dtype(dtype)
    place, sizes, steps = _count(offset, "place of a tensor"), _sizes(shape), _sizes(strides)
    if len(sizes) != len(steps):
        raise WeightsError(f"its pickle describes a tensor with {len(sizes)} sizes and {len(steps)} strides")
    available = storage.elements * storage.dtype.itemsize // kind.itemsize
    last = place + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    # More elements than the storage has (strides of 0) would need more memory than the file.
    elements: int = math.prod(sizes)
    if elements > available or (elements and last >= available):
        raise WeightsError(
            f"its pickle describes a tensor of shape {sizes} beyond its storage of {available:,} elements"
        )
    return Tensor(storage, place, sizes, steps, kind)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(_count(v, "size of a tensor") for v in _checked_list(values))
    if len(sizes) > _MAX_AXES:
        raise WeightsError(f"its pickle describes a tensor of {len(sizes)} axes")
    return sizes


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_ELEMENTS:
        raise WeightsError(f"its pickle holds a {what} that is not a number from 0 to 2**40")
    return value


def _checked_list(values: Any) -> list[Any]:
    if not isinstance(values, list | tuple | set | frozenset):
        raise WeightsError("its pickle has something else where a list belongs")
    return list(values)


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    found = {}
    for pair in _checked_list(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str | int):
            raise WeightsError("its pickle has something else where a pair belongs")
        found[pair[0]] = pair[1]
    return found


def _encode(text: Any, encoding: Any = "") -> bytes:
    """Bytes in protocol 2 are text in Latin-1."""
    if not isinstance(text, str) or encoding != "latin1":
        raise WeightsError("its pickle encodes text in a way that no PyTorch file needs")
    return text.encode("latin-1")


def _named_dtype(dtype: Any) -> np.dtype[Any]:
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Name) else ""
    if name not in _DTYPES:
        raise WeightsError(f"it holds tensors of type {name[:40] or 'unknown'}, which are not read")
    return _DTYPES[name]


def _storage_dtype(name: str) -> np.dtype[Any]:
    found = re.fullmatch(r"torch\.(?:cuda\.|storage\.)?_?(\w+?)Storage", name)
    if not found or found[1] not in _STORAGES:
        raise WeightsError(f"it holds storages of type {name[:60]!r}, which are not read")
    return _DTYPES[_STORAGES[found[1]]]


def as_array(tensor: Tensor, stored: np.ndarray, big_endian: bool) -> np.ndarray:
    """The values of a tensor, in C order and in this machine's byte order.

    Args:
        tensor: The description; the makers have checked that it lies inside its storage.
        stored: The bytes of its storage, uint8 (n,).
        big_endian: Byte order of the storage.
    """
    if not tensor.elements:
        return np.empty(tensor.shape, tensor.dtype)
    size = tensor.dtype.itemsize
    flat = stored[: len(stored) // size * size].view(tensor.dtype)[tensor.offset :]
    steps = tuple(step * size for step in tensor.strides)
    strided = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, writeable=False)
    values = np.ascontiguousarray(strided).reshape(tensor.shape)
    if not big_endian or size == 1:
        return values
    unit = np.dtype(f"u{size // 2 if tensor.dtype.kind == 'c' else size}")
    return np.frombuffer(np.frombuffer(values.tobytes(), unit).byteswap().tobytes(), tensor.dtype).reshape(tensor.shape)
