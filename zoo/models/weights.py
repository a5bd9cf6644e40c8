"""A model's weights as a flat file: stable names, strict reading, and models built without paying for random ones."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zoo.errors import WeightsError

_SHOWN = 4


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


def save_safetensors(
    model: keras.layers.Layer, path: str | Path, dtype: Literal["float32", "float16"] | None = None
) -> Path:
    """Writes the weights of a model as a safetensors file, whole or not at all.

    Args:
        model: As in `named_weights`.
        path: The file to write; an older one is replaced.
        dtype: Of the float weights in the file; None keeps theirs.

    Returns:
        The path.

    Raises:
        WeightsError: A weight is NaN or infinite (in `dtype`), so that no file that cannot be read again is written.
    """
    path = Path(path)
    tensors = {}
    for name, variable in named_weights(model).items():
        value = np.asarray(keras.ops.convert_to_numpy(variable), order="C")
        if dtype is not None and np.issubdtype(value.dtype, np.floating):
            with np.errstate(over="ignore"):  # an overflow is reported below
                value = value.astype(dtype)
        _require_finite(name, value, f"{path} was not written")
        tensors[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        new = Path(folder) / path.name
        save_file(tensors, new)
        new.replace(path)
    return path


def load_safetensors(model: keras.layers.Layer, path: str | Path, prefix: str = "") -> None:
    """Sets every weight of a model from a safetensors file; a refused file leaves the model as it was.

    The file is mapped and read one tensor at a time, so the weights are in memory once.

    Args:
        model: As in `named_weights`.
        path: A file of `save_safetensors`.
        prefix: Take only the tensors whose names start so, without it: `"backbone/"` of a classifier's file.

    Raises:
        WeightsError: No such file, not a safetensors file, names or shapes that are not exactly the model's, or a
            value that is NaN or infinite.
    """
    path, variables = Path(path), named_weights(model)
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            keys = [key for key in list(file.keys()) if key.startswith(prefix)]
            shapes = {key.removeprefix(prefix): file.get_slice(key).get_shape() for key in keys}
            _require_same(shapes, variables, path)
            for name in variables:
                _require_finite(name, file.get_tensor(prefix + name), f"{path} was not loaded")
            for name, variable in variables.items():
                variable.assign(file.get_tensor(prefix + name).astype(variable.dtype, copy=False))
    except (SafetensorError, TypeError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error


@contextlib.contextmanager
def uninitialized() -> Iterator[None]:
    """Models built inside have no starting values; load weights into them before use.

    Random starting values cost most of a cold start on JAX, which compiles the generator anew for each shape. In
    their place stand NaNs, so that a weight which nothing sets afterwards cannot pass for a trained one. Random
    state of dropout is set as ever. Concerns the calling thread alone.

    Example:
        >>> with uninitialized():                                       # doctest: +SKIP
        ...     model = Ensemble.from_spec(spec)
        >>> load_safetensors(model, "model.safetensors")                # doctest: +SKIP
    """
    thread = threading.get_ident()
    with _PATCHING:
        originals = {cls: cls.__call__ for cls in _initializers() if "__call__" in vars(cls)}
        for cls, original in originals.items():
            cls.__call__ = _without_values(original, thread)
        try:
            yield
        finally:
            for cls, original in originals.items():
                cls.__call__ = original


#: The patched classes are the process's: one thread at a time.
_PATCHING = threading.RLock()


def _without_values(original: Callable[..., Any], thread: int) -> Callable[..., Any]:
    def call(self: Any, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        name = keras.backend.standardize_dtype(dtype)
        if threading.get_ident() != thread or "float" not in name:
            return original(self, shape, dtype=dtype, **kwargs)
        # With its dtype given, JAX takes the array over as it is; without one it compiles a copy for each shape.
        return keras.ops.convert_to_tensor(np.full(shape, np.nan, "float32"), dtype=name)

    return call


def _initializers() -> set[Any]:
    found: set[Any] = set()
    waiting: list[Any] = [keras.initializers.Initializer]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found.update(subclasses)
        waiting.extend(subclasses)
    return found


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


def _require_same(found: Mapping[str, list[int]], wanted: Mapping[str, Any], path: Path) -> None:
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    other = [
        f"{name} {tuple(found[name])} in the file, {tuple(variable.shape)} in the model"
        for name, variable in wanted.items()
        if name in found and tuple(found[name]) != tuple(variable.shape)
    ]
    if missing or extra or other:
        raise WeightsError(
            f"{path} is of another model: of the model's {len(wanted)} weights {len(missing)} are not in the file"
            f"{_some(missing)}; of the file's {len(found)} {len(extra)} are not in the model{_some(extra)}; "
            f"{len(other)} have another shape{_some(other)}"
        )


def _require_finite(name: str, value: np.ndarray, consequence: str) -> None:
    if not np.isfinite(value).all():
        count = value.size - int(np.isfinite(value).sum())
        raise WeightsError(f"{consequence}: {count} of {value.size} values of {name} are NaN or infinite")


def _some(names: list[str]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
