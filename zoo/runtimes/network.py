"""A Keras network as a function from pixels to logits, called the way that is fastest on the backend that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo.core import compilation
from zoo.runtimes.runtime import FEW

#: uint8 (n, height, width, channels) and the images of a full batch -> float32 (n, findings).
Function = Callable[[np.ndarray, int], np.ndarray]


def function(model: Any) -> Function:
    """The network for inference.

    Args:
        model: The ensemble.

    Returns:
        A function of uint8 pixels (n, height, width, channels) and the number of images of a full batch, which gives
        float32 logits (n, findings). Where each shape is compiled to a program, a short batch is filled up.
    """
    if keras.config.backend() == "tensorflow" and not model.jit_compile:
        return _on_tensorflow(model)
    return _of_fixed_shapes(model)


def _on_tensorflow(model: Any) -> Function:
    """One graph for every number of images, traced when it pays: its logits are within 1e-6 of the operations'."""
    import tensorflow as tf

    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[pixels], autograph=False)
    called = False

    def call(pixels: np.ndarray, full: int) -> np.ndarray:
        nonlocal called
        first, called = not called, True
        # By the size of a full batch, not of this one: a resumed run may begin with the short last batch.
        run = _operations if first and max(full, len(pixels)) <= FEW else graph
        return np.asarray(run(tf.constant(pixels)), np.float32)

    def _operations(x: Any) -> Any:
        return model(x, training=False)

    return call


def _of_fixed_shapes(model: Any) -> Function:
    compiled: set[int] = set()

    def call(pixels: np.ndarray, full: int) -> np.ndarray:
        n = len(pixels)
        if n < full:
            pixels = np.concatenate([pixels, np.zeros((full - n, *pixels.shape[1:]), np.uint8)])
        if len(pixels) in compiled:
            return np.asarray(model.predict_on_batch(pixels), np.float32)[:n]
        with compilation.kept():
            logits = np.asarray(model.predict_on_batch(pixels), np.float32)[:n]
        compiled.add(len(pixels))
        return logits

    return call
