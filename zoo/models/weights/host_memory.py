"""Arrays in the machine's memory that a backend takes over as they are, so that weights are there once."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

#: Backends take over no memory that begins elsewhere; TensorFlow ends the process at the first use of such a tensor.
_ALIGNMENT = 64


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array without values that `adopt` need not copy."""
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def adopt(array: np.ndarray) -> Any:
    """A tensor of the running backend with the values of an array that nobody writes to any more.

    On a CPU it is the array's own memory where that is `aligned` (JAX; TensorFlow, which else copies twice). A
    variable that holds it and is updated in place gets a copy then, so that several may share one array.
    """
    shared = array.ctypes.data % _ALIGNMENT == 0 and array.flags.c_contiguous and array.flags.writeable
    if keras.backend.backend() == "tensorflow" and shared and array.dtype.kind != "V":
        import tensorflow as tf

        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    # With its dtype given, JAX takes the array over as it is; without one it compiles a copy for each shape.
    return keras.ops.convert_to_tensor(array, dtype=array.dtype.name)


def can_share() -> bool:
    """Whether several tensors of `adopt` may be views of one array: not on Torch, which writes in place."""
    return keras.backend.backend() in ("tensorflow", "jax")
