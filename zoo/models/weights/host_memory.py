"""Arrays in host memory that a backend takes over without a copy, so that weights are held once."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

#: Backends take over only memory with this alignment; TensorFlow aborts the process at the first use of another tensor.
_ALIGNMENT = 64


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Allocates an uninitialised array that `adopt` does not need to copy."""
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def adopt(array: np.ndarray) -> Any:
    """Makes a tensor of the current backend from an array that is not written to any more.

    On a CPU the tensor uses the memory of the array if that is `aligned` (on JAX, and on TensorFlow, which otherwise
    copies twice). A variable that holds the tensor and is updated in place gets its own copy then, so that several
    variables may share one array.
    """
    shared = array.ctypes.data % _ALIGNMENT == 0 and array.flags.c_contiguous and array.flags.writeable
    if keras.backend.backend() == "tensorflow" and shared and array.dtype.kind != "V":
        import tensorflow as tf

        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    # With a dtype given, JAX takes over the array as it is; without one it compiles a copy for each shape.
    return keras.ops.convert_to_tensor(array, dtype=array.dtype.name)


def can_share() -> bool:
    """Whether several tensors made by `adopt` may be views of one array: not on Torch, which writes in place."""
    return keras.backend.backend() in ("tensorflow", "jax")
