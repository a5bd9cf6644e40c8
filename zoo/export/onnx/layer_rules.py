"""Rules for layers that cannot be split into `keras.ops`: they compute without them, or Keras cannot infer shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from zoo.export.onnx.graph import Graph, Value
from zoo.export.onnx.operations import RULES
from zoo.models.vit import Attention

#: A rule is called with the graph, the layer and its input; returns the layer's output before its activation.
LayerRule = Callable[[Graph, Any, Value], Value]


def rule_of(layer: keras.layers.Layer) -> LayerRule | None:
    """The rule for a layer; None where the layer is split into its operations."""
    if getattr(layer, "groups", 1) > 1 and isinstance(layer, keras.layers.Conv2D):
        return _grouped
    if isinstance(layer, keras.layers.BatchNormalization) and not (layer.center and layer.scale):
        return _bare_batch_norm
    return _RULES.get(type(layer))


@contextmanager
def symbolic_activation(layer: Any) -> Iterator[None]:
    """In the block the layer's activation accepts symbolic tensors: Keras converts the input of `hard_silu` alone."""
    if getattr(layer, "activation", None) is not keras.activations.hard_silu:
        yield
        return
    layer.activation = keras.ops.hard_silu
    try:
        yield
    finally:
        layer.activation = keras.activations.hard_silu


def _grouped(graph: Graph, layer: Any, x: Value) -> Value:
    """Keras infers the shape of a grouped convolution from the layer, and not from the operation."""
    shape = layer.compute_output_shape(x.shape)
    name = RULES["Conv"](graph, layer, shape, x, layer.kernel)
    result = Value(name, keras.KerasTensor(shape, "float32"))
    return _affine(graph, result, np.ones(1), layer.bias) if layer.use_bias else result


def _bare_batch_norm(graph: Graph, layer: Any, x: Value) -> Value:
    """Keras' operation requires an offset and a scale, this layer has only one of them or none."""
    offset, scale = (v if used else None for v, used in ((layer.beta, layer.center), (layer.gamma, layer.scale)))
    values = layer.moving_mean, layer.moving_variance, offset, scale
    return Value(RULES["BatchNorm"](graph, layer, x.shape, x, *values), x.spec)


def _rescaling(graph: Graph, layer: Any, x: Value) -> Value:
    return _affine(graph, x, layer.scale, layer.offset)


def _normalization(graph: Graph, layer: Any, x: Value) -> Value:
    mean, variance = (np.asarray(keras.ops.convert_to_numpy(v), np.float64) for v in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale = deviation if layer.invert else 1 / deviation
    return _affine(graph, x, scale, mean if layer.invert else -mean * scale)


def _attention(graph: Graph, layer: Any, x: Value) -> Value:
    """Written whole: of tensors with four axes the graph has the channels first, which heads and tokens are not."""
    tokens, width = x.shape[1], x.shape[2] // 3  # type: ignore[operator]
    each = width // layer.heads
    parts = graph.add_many("Split", 3, x.name, graph.constant([width] * 3, "int64"), axis=2)
    shape = graph.constant([0, tokens, layer.heads, each], "int64")
    query, key, value = (
        graph.add("Transpose", graph.add("Reshape", part, shape), perm=perm)
        for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = graph.add("MatMul", graph.add("Mul", query, graph.constant(each**-0.5)), key)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=3), value)
    together = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
    name = graph.add("Reshape", together, graph.constant([0, tokens, width], "int64"))
    return Value(name, keras.KerasTensor((None, tokens, width), "float32"))


def _affine(graph: Graph, x: Value, scale: Any, offset: Any) -> Value:
    scaled = Value(RULES["Multiply"](graph, None, x.shape, x, scale), x.spec)
    return Value(RULES["Add"](graph, None, x.shape, scaled, offset), x.spec)


_RULES: dict[type, LayerRule] = {
    keras.layers.Rescaling: _rescaling,
    keras.layers.Normalization: _normalization,
    Attention: _attention,
}
