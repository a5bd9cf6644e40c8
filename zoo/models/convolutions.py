"""Depthwise convolution for backends without a fast one."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.core import backend, keras_compat


def quicken(layer: keras.layers.Layer) -> None:
    """Replaces a Keras depthwise convolution by the one below, in place: name, weights and configuration stay."""
    if type(layer) is keras.layers.DepthwiseConv2D:
        keras_compat.change_class(layer, DepthwiseConv2D)


@keras.saving.register_keras_serializable(package="zoo")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """The Keras layer, except with JAX on a CPU, where it is computed as a sum of shifted products.

    XLA has no depthwise kernel for CPUs, and its general convolution is many times slower than the single loop into
    which it compiles this sum. Same arguments as the Keras layer.
    """

    def call(self, inputs: Any) -> Any:
        """Convolves a batch (batch, rows, columns, channels)."""
        # A graph that is traced for an export keeps the single operation.
        if isinstance(inputs, keras.KerasTensor) or not (self._is_plain() and backend.is_jax_on_cpu()):
            return super().call(inputs)
        outputs = _shifted_products(inputs, self.kernel, self.strides, self.padding)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _is_plain(self) -> bool:
        plain = self.data_format == "channels_last" and self.depth_multiplier == 1 and self.compute_dtype == "float32"
        return plain and tuple(self.dilation_rate) == (1, 1) and self.padding in ("valid", "same")


def _shifted_products(images: Any, kernel: Any, strides: tuple[int, int], padding: str) -> Any:
    """Convolves (n, rows, columns, channels) with a kernel (kernel rows, kernel columns, channels, 1)."""
    sizes = tuple(kernel.shape[:2])
    if padding == "same":
        around = [_around(n, k, s) for n, k, s in zip(images.shape[1:3], sizes, strides, strict=True)]
        images = ops.pad(images, ((0, 0), *around, (0, 0)))
    (down, across), (rows, columns) = strides, images.shape[1:3]
    # One past the last position at which a window starts.
    bottom, right = rows - sizes[0] + 1, columns - sizes[1] + 1
    total: Any = 0
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            total = total + images[:, i : i + bottom : down, j : j + right : across] * kernel[i, j, :, 0]
    return total


def _around(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one axis for "same" padding, as in TensorFlow: an odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
