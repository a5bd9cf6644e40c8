"""Feature maps, and the gradient of a logit with respect to them; the only backend-specific code here."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from zoo.core.backend import require_tested
from zoo.core.errors import UsageError

#: Layer -> its compiled function, for JAX. Kept here so that the model is not modified.
_COMPILED: weakref.WeakKeyDictionary[keras.layers.Layer, Callable[..., Any]] = weakref.WeakKeyDictionary()


def feature_maps(backbone: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Computes a backbone's output in inference mode.

    On JAX the first call for a shape compiles; TensorFlow runs eagerly.

    Args:
        backbone: Model from pixels to a feature map.
        pixels: (n, height, width, channels) of 0..255.

    Returns:
        float32 (n, rows, columns, features).

    Raises:
        UsageError: The output is not a feature map, or Keras runs on a backend other than TensorFlow and JAX.
    """
    features = _FORWARD[require_tested("an explanation")](backbone, pixels)
    values = _float32(features)
    if values.ndim != 4:
        raise UsageError(
            f"backbone {backbone.name!r} must give a feature map (batch, rows, columns, features), got {values.shape}"
        )
    return values


def head_gradients(
    head: keras.layers.Layer, features: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the logits, and for each image the gradient of one of them with respect to its feature map.

    Only the head is differentiated, which is cheap compared with the forward pass of the backbone. The weights and
    state of the head do not change.

    Args:
        head: Model from a feature map to logits (n, findings).
        features: float32 (n, rows, columns, features).
        indices: int (n,), the finding of each image, in 0..findings - 1.

    Returns:
        Logits float32 (n, findings), gradients float32 of the shape of `features`.

    Raises:
        UsageError: Keras runs on a backend other than TensorFlow and JAX.
    """
    logits, gradients = _GRADIENT[require_tested("an explanation")](
        head, features, np.asarray(indices, np.int32)[:, None]
    )
    return _float32(logits), _float32(gradients)


def _float32(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _chosen_sum(logits: Any, indices: np.ndarray) -> Any:
    """Sum of the chosen logits; its gradient is that of each of them, since a logit depends on its own image only."""
    return keras.ops.sum(keras.ops.take_along_axis(keras.ops.cast(logits, "float32"), indices, axis=1))


def _forward_tensorflow(backbone: keras.Model, pixels: np.ndarray) -> Any:
    return backbone(pixels, training=False)


def _gradient_tensorflow(head: keras.layers.Layer, features: np.ndarray, indices: np.ndarray) -> Any:
    import tensorflow as tf

    x = tf.convert_to_tensor(features)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        logits = head(x, training=False)
        target = _chosen_sum(logits, indices)
    return logits, tape.gradient(target, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _forward_jax(backbone: keras.Model, pixels: np.ndarray) -> Any:
    return _compiled(backbone, lambda call: call)(pixels)


def _gradient_jax(head: keras.layers.Layer, features: np.ndarray, indices: np.ndarray) -> Any:
    import jax

    def differentiated(call: Callable[..., Any]) -> Callable[..., Any]:
        def target(x: Any, values: list[Any], chosen: Any) -> Any:
            logits = call(values, x)
            return _chosen_sum(logits, chosen), logits

        return lambda values, x, chosen: jax.grad(target, has_aux=True)(x, values, chosen)

    gradients, logits = _compiled(head, differentiated)(features, indices)
    return logits, gradients


def _compiled(layer: keras.layers.Layer, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    """Compiles `make(call)` once per layer, where `call` takes variable values and inputs; binds the current weights.

    Without it, JAX compiles each operation for each shape on its own: 75 s for a DenseNet121 on two cores.
    """
    import jax

    if layer not in _COMPILED:
        # A weak reference, since the cache entry would otherwise keep its own key alive.
        reference = weakref.ref(layer)

        def call(values: list[Any], inputs: Any) -> Any:
            found: Any = reference()
            # `stateless_call` orders variables by whether they are trainable, which may change; `variables` does not.
            with keras.StatelessScope(state_mapping=list(zip(found.variables, values, strict=True))):
                return found(inputs, training=False)

        _COMPILED[layer] = jax.jit(make(call))
    return partial(_COMPILED[layer], [variable.value for variable in layer.variables])


_FORWARD = {"tensorflow": _forward_tensorflow, "jax": _forward_jax}
_GRADIENT = {"tensorflow": _gradient_tensorflow, "jax": _gradient_jax}
