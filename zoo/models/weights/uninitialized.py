"""Models built without starting values, which saves time and memory before weights are loaded."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from zoo.core import keras_compat
from zoo.models.weights import host_memory

#: Kernels are freed each time this many variables were created, while their memory can still serve the next ones.
_KERNELS = 64

#: Number of values allocated at first. Memory that is not used costs nothing.
_ROOM = 2**22


@contextlib.contextmanager
def uninitialized(deferred: bool = False) -> Iterator[None]:
    """Context in which models are built without starting values; load weights into them before use.

    Random starting values take most of a cold start on JAX, which compiles the generator for each shape. NaNs replace
    them, so that a weight that is never set cannot pass for a trained one; all weights share one array of NaNs, as
    large as the largest. The random state of dropout is set as usual. Only the calling thread is affected.

    Args:
        deferred: Create the variables at the end of the block, outside the name scopes of the layers. TensorFlow
            caches an operation for each variable name, which takes longer than the rest of building.

    Example:
        >>> with uninitialized():                                       # doctest: +SKIP
        ...     model = Ensemble.from_spec(spec)
        >>> load_safetensors(model, "model.safetensors")                # doctest: +SKIP
    """
    thread, blank = threading.get_ident(), _Blank(0 if deferred else _KERNELS)
    try:
        with (
            keras_compat.initializers_replaced(lambda original: _without_values(original, thread, blank)),
            keras.StatelessScope() if deferred else contextlib.nullcontext(),
        ):
            yield
    finally:
        keras_compat.forget_kernels()


def build_uninitialized(build: Callable[[], Any]) -> Any:
    """Calls `build` without starting values, as in `uninitialized`, and returns the model; load weights into it."""
    try:
        with uninitialized(deferred=True):
            return build()
    except ValueError:
        # A user's layer may create a variable from a value instead of an initializer, which cannot be deferred. Any
        # other error is raised again.
        with uninitialized():
            return build()


class _Blank:
    """Makes tensors of NaNs; frees the cached TensorFlow kernels after every `kernels` of them."""

    def __init__(self, kernels: int) -> None:
        self._kernels = kernels
        self._values = np.empty(0, np.float32)
        self._filled = 0
        self._made = 0

    def __call__(self, shape: tuple[int, ...], dtype: str) -> Any:
        self._made += 1
        if self._kernels and self._made % self._kernels == 0:
            keras_compat.forget_kernels()
        if dtype != "float32" or not host_memory.can_share():
            return keras.ops.convert_to_tensor(np.full(shape, np.nan, "float32"), dtype=dtype)
        n = math.prod(shape)
        if n > len(self._values):
            self._values, self._filled = host_memory.aligned((max(n, _ROOM),), np.float32), 0
        if n > self._filled:
            self._values[self._filled : n] = np.nan
            self._filled = n
        return host_memory.adopt(self._values[:n].reshape(shape))


def _without_values(original: Callable[..., Any], thread: int, blank: _Blank) -> Callable[..., Any]:
    def call(self: Any, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        name = keras.backend.standardize_dtype(dtype)
        if threading.get_ident() != thread or "float" not in name:
            return original(self, shape, dtype=dtype, **kwargs)
        return blank(tuple(shape), name)

    return call
