"""A model's weights as a flat file: stable names, strict reading, and in memory once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import keras
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from zoo.core.errors import WeightsError
from zoo.core.files import whole_file
from zoo.models.weights import host_memory
from zoo.models.weights.header import DTYPES, TensorInfo, check_name, read_header
from zoo.models.weights.header import count_parameters as count_parameters
from zoo.models.weights.uninitialized import build_uninitialized as build_uninitialized
from zoo.models.weights.uninitialized import uninitialized as uninitialized

#: Of the float weights in a file.
DType = Literal["float32", "float16", "bfloat16"]

_SHOWN = 4

#: Names of weights that are variances (`_walk` may count them).
_VARIANCE = re.compile(r"(^|/)(moving_)?variance(_\d+)?$")

#: Values that are checked at a time: few enough that no copy of a whole tensor is ever held.
_PIECE = 2**18


def named_weights(model: keras.layers.Layer) -> dict[str, Any]:
    """The variables of a model by names that depend on its structure alone.

    A name reads `member/backbone/conv1_conv/kernel`. Names that Keras made up (`conv2d_7`, counted over the whole
    process) are replaced by the class and a count among the siblings, so that two processes agree.

    Args:
        model: An `Ensemble`, `Classifier`, `Backbone`, or any Keras model or layer.

    Returns:
        Name -> `keras.Variable`, in the order of the model's layers. Dropout's random state is not among them.

    Raises:
        WeightsError: A variable of the model was not reached, or two have one name.
    """
    pairs = list(_walk(model, ""))
    named = dict(pairs)
    if len(named) != len(pairs) or {id(v) for v in named.values()} != {id(v) for v in model.weights}:
        doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise WeightsError(
            f"the weights of {model.name!r} have no stable names: "
            f"{len(named)} names for {len(model.weights)} weights, {len(doubled)} of them twice{_some(doubled)}"
        )
    return named


def save_safetensors(model: keras.layers.Layer, path: str | Path, dtype: DType | None = None) -> Path:
    """Writes the weights of a model as a safetensors file, whole or not at all.

    Args:
        model: As in `named_weights`.
        path: The file to write; an older one is replaced.
        dtype: Of the float weights in the file; None keeps theirs. bfloat16 has float32's range and 8 bits of
            precision, float16 has 11 bits and ends at 65,504.

    Returns:
        The path.

    Raises:
        WeightsError: A weight is NaN or infinite, or becomes so in `dtype`, a variance is negative, or a name would be
            refused: no file that cannot be read again is written.
    """
    path = Path(path)
    tensors = {}
    for name, variable in named_weights(model).items():
        value = np.asarray(keras.ops.convert_to_numpy(variable), order="C")
        _require_finite(name, _not_finite(value), value.size, f"{path} was not written")
        _require_variance(name, value, f"{path} was not written")
        tensors[name] = _stored(name, value, dtype, path)
    with whole_file(path) as new:
        save_file(tensors, new)
    return path


def load_safetensors(model: keras.layers.Layer, path: str | Path, prefix: str = "") -> None:
    """Sets every weight of a model from a safetensors file, in the model's dtypes.

    A refused file leaves the model as it was. The values are checked in small pieces, then read one tensor at a time
    into memory that the backend takes over: on a CPU they are in memory once.

    Args:
        model: As in `named_weights`.
        path: A file of `save_safetensors`.
        prefix: Take only the tensors whose names start so, without it: `"backbone/"` of a classifier's file.

    Raises:
        WeightsError: No such file, not a safetensors file (as `read_header`), names, shapes or kinds of numbers that
            are not exactly the model's, or a value that is NaN or infinite (in the model's dtype).
    """
    path, variables = Path(path), named_weights(model)
    header = read_header(path)
    found = {key.removeprefix(prefix): tensor for key, tensor in header.items() if key.startswith(prefix)}
    _require_same(found, variables, path)
    with path.open("rb") as file:
        for name, variable in variables.items():
            dtype = np.dtype(variable.dtype)
            wrong = 0
            for piece in _pieces(file, found[name], path):
                wrong += _not_finite(_cast(piece, dtype))
                _require_variance(name, piece, f"{path} was not loaded")
            _require_finite(name, wrong, found[name].size, f"{path} was not loaded")
        for name, variable in variables.items():
            variable.assign(host_memory.adopt(_read(file, found[name], np.dtype(variable.dtype), path)))


def _walk(layer: keras.layers.Layer, prefix: str) -> Iterator[tuple[str, Any]]:
    if hasattr(layer, "weight_parts"):
        for name, part in layer.weight_parts().items():
            yield from _walk(part, f"{prefix}{name}/" if name else prefix)
    elif isinstance(layer, keras.Model):
        for name, child in _stable_names(layer.layers):
            yield from _walk(child, f"{prefix}{name}/")
    else:
        # A layer of several layers has several kernels: counted in the order in which it made them.
        seen: Counter[str] = Counter()
        for variable in layer.weights:
            count = seen[variable.name]
            seen[variable.name] += 1
            yield prefix + (f"{variable.name}_{count}" if count else variable.name), variable


def _stable_names(layers: list[keras.layers.Layer]) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Layers that have weights, each with its own name, or class and position where Keras made the name up."""
    positions: Counter[str] = Counter()
    for layer in layers:
        if not layer.weights:
            continue
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind.replace("_", "") == type(layer).__name__.lower():
            count = positions[kind]
            positions[kind] += 1
            yield (f"{kind}_{count}" if count else kind), layer
        else:
            yield layer.name, layer


def _stored(name: str, value: np.ndarray, dtype: DType | None, path: Path) -> np.ndarray:
    """A finite value as it goes into the file."""
    try:
        check_name(name)
    except ValueError as error:
        raise WeightsError(f"{path} was not written: {error}; give the layer another name") from None
    if dtype is None or value.dtype.kind not in "fV":
        return value
    stored = _cast(value, np.dtype(dtype))
    if over := _not_finite(stored):
        wider = "bfloat16" if dtype == "float16" and not _not_finite(_cast(value, np.dtype("bfloat16"))) else "float32"
        raise WeightsError(
            f"{path} was not written: {over} of {value.size} values of {name} are beyond {dtype}'s largest "
            f"({float(ml_dtypes.finfo(dtype).max):g}, got {np.abs(value).max():g}): use dtype {wider!r}"
        )
    return stored


def _pieces(file: BufferedReader, tensor: TensorInfo, path: Path) -> Iterator[np.ndarray]:
    """The values of a tensor, some at a time."""
    for first in range(0, tensor.size, _PIECE):
        yield _values(file, tensor, first, np.empty(min(_PIECE, tensor.size - first), DTYPES[tensor.dtype][0]), path)


def _read(file: BufferedReader, tensor: TensorInfo, dtype: np.dtype, path: Path) -> np.ndarray:
    """All values of a tensor as `dtype`, in memory for `host_memory.adopt`."""
    value = host_memory.aligned(tensor.shape, dtype)
    if DTYPES[tensor.dtype][0] == dtype.name:
        return _values(file, tensor, 0, value, path)
    flat, first = value.reshape(-1), 0
    for piece in _pieces(file, tensor, path):
        flat[first : first + piece.size] = _cast(piece, dtype)
        first += piece.size
    return value


def _values(file: BufferedReader, tensor: TensorInfo, first: int, into: np.ndarray, path: Path) -> np.ndarray:
    file.seek(tensor.start + first * into.itemsize)
    # Through bytes: Python's buffers do not know bfloat16.
    if file.readinto(into.reshape(-1).view(np.uint8).data) != into.nbytes:
        raise WeightsError(f"{path} was cut off while it was read: load it again")
    return into


def _cast(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # an overflow is found by the caller
        return value.astype(dtype, copy=False)


def _require_same(found: Mapping[str, TensorInfo], wanted: Mapping[str, Any], path: Path) -> None:
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    both = [name for name in wanted if name in found]
    shapes = [
        f"{name} {found[name].shape} in the file, {tuple(wanted[name].shape)} in the model"
        for name in both
        if found[name].shape != tuple(wanted[name].shape)
    ]
    kinds = [
        f"{name} {DTYPES[found[name].dtype][0]} in the file, {wanted[name].dtype} in the model"
        for name in both
        if not _converts(DTYPES[found[name].dtype][0], wanted[name].dtype)
    ]
    if missing or extra or shapes or kinds:
        raise WeightsError(
            f"{path} is of another model: of the model's {len(wanted)} weights {len(missing)} are not in the file"
            f"{_some(missing)}; of the file's {len(found)} {len(extra)} are not in the model{_some(extra)}; "
            f"{len(shapes)} have another shape{_some(shapes)}"
            + (f"; {len(kinds)} are other kinds of numbers{_some(kinds)}" if kinds else "")
        )


def _converts(theirs: str, ours: str) -> bool:
    """Any float to any float; whole numbers only to the same ones."""
    return theirs == ours or ("float" in theirs and "float" in ours)


def _not_finite(value: np.ndarray) -> int:
    return value.size - int(np.isfinite(value).sum())


def _require_finite(name: str, wrong: int, size: int, consequence: str) -> None:
    if wrong:
        raise WeightsError(f"{consequence}: {wrong} of {size} values of {name} are NaN or infinite")


def _require_variance(name: str, values: np.ndarray, consequence: str) -> None:
    """A batch normalisation divides by the root of its variance."""
    if _VARIANCE.search(name) and (below := int((values < 0).sum())):
        raise WeightsError(f"{consequence}: {below} values of {name} are negative, a variance never is")


def _some(names: list[str]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
