"""A Keras network as a function from pixels to logits, in the fastest form that the running backend offers.

Several threads may call such a function at once: it does not change the variables of the model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo.core import backend, compilation
from zoo.core.process import cores
from zoo.core.warn import Threads
from zoo.data.images.arrays import filled_up

#: uint8 (n, height, width, channels) and the number of images of a full batch -> float32 (n, findings).
Function = Callable[[np.ndarray, int], np.ndarray]


def function(model: Any, few: int = 0) -> Function:
    """Returns the network as a function for inference.

    Args:
        model: The ensemble.
        few: On TensorFlow, a first call in batches of at most so many images runs operation by operation, without the
            time to trace a graph.

    Returns:
        A function of uint8 pixels (n, height, width, channels) and the number of images of a full batch, which returns
        float32 logits (n, findings). A short batch is padded to a full one, or its images are computed one by one: the
        last bits of an image do not depend on how many others are computed with it, and few shapes are compiled.

    Example:
        >>> pixels = keras.Input((8, 8, 1), dtype="uint8")
        >>> mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(0.5)(pixels))
        >>> logits = function(keras.Model(pixels, mean))
        >>> logits(np.full((1, 8, 8, 1), 6, np.uint8), 4).tolist()
        [[3.0]]
    """
    if keras.config.backend() == "tensorflow" and not model.jit_compile:
        return _on_tensorflow(model, few)
    if keras.config.backend() != "jax":
        return _of_fixed_shapes(_by_keras(model))
    whole = _of_fixed_shapes(_on_jax(model))
    return _each_alone(whole) if backend.is_jax_on_cpu() else whole


def _on_tensorflow(model: Any, few: int) -> Function:
    """One graph for every number of images; its logits are within 1e-6 of those without a graph."""
    import tensorflow as tf

    pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[pixels], autograph=False)
    called = False

    def call(pixels: np.ndarray, full: int) -> np.ndarray:
        nonlocal called
        first, called = not called, True
        # By the size of a full batch, not of this one: a resumed run may begin with the short last batch.
        run = _operations if first and max(full, len(pixels)) <= few else graph
        return np.asarray(run(tf.constant(filled_up(pixels, full))), np.float32)[: len(pixels)]

    def _operations(x: Any) -> Any:
        return model(x, training=False)

    return call


def _on_jax(model: Any) -> Callable[[np.ndarray], Any]:
    """The network as one compiled program without state.

    `keras.Model.predict_on_batch` donates the buffers of the variables to each call and stores the returned ones: if
    two threads do so at once, one of them uses deleted buffers.
    """
    import jax

    @jax.jit
    def logits(values: list[Any], pixels: Any) -> Any:
        # The order of `variables` does not depend on what is trainable, unlike the arguments of `stateless_call`.
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return model(pixels, training=False)

    def run(pixels: np.ndarray) -> Any:
        return logits([variable.value for variable in model.variables], pixels)

    return run


def _by_keras(model: Any) -> Callable[[np.ndarray], Any]:
    """`predict_on_batch`, one call at a time, since it is not safe for threads."""
    lock = threading.Lock()

    def run(pixels: np.ndarray) -> Any:
        with lock:
            return model.predict_on_batch(pixels)

    return run


def _of_fixed_shapes(run: Callable[[np.ndarray], Any]) -> Function:
    """Each shape is compiled by one thread."""
    compiled: set[int] = set()
    compiling = threading.Lock()

    def call(pixels: np.ndarray, full: int) -> np.ndarray:
        n, pixels = len(pixels), filled_up(pixels, full)
        if len(pixels) in compiled:
            return np.asarray(run(pixels), np.float32)[:n]
        with compiling, compilation.kept():
            logits = np.asarray(run(pixels), np.float32)[:n]
        compiled.add(len(pixels))
        return logits

    return call


def _each_alone(call: Function) -> Function:
    """One image at a time, as many at once as there are cores.

    XLA shares a call among the cores only in part: sixteen images in one call take DenseNet121 as long on two cores as
    on one. And an image's last bits may depend on its place in a batch.
    """
    threads = Threads(cores())

    def each_alone(pixels: np.ndarray, full: int) -> np.ndarray:
        return np.concatenate(list(threads.map(lambda i: call(pixels[i : i + 1], 1), range(len(pixels)))))

    return each_alone
