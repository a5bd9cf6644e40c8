"""Writes a Keras model as an ONNX graph, on any backend: every layer is split into operations, each with a rule.

Keras' own exports (through TensorFlow, or by jax2onnx on JAX) take 5 to 50 times as long. Those of TensorFlow run at
the same speed, or at half of it for EfficientNet; those of jax2onnx are slower in OpenVINO, and some do not run at all.
This one needs no TensorFlow on JAX.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from zoo.core import keras_compat
from zoo.core.errors import ExportError
from zoo.export.onnx import layer_rules
from zoo.export.onnx.graph import Graph, Value
from zoo.export.onnx.operations import RULES

if TYPE_CHECKING:
    import onnx

    from zoo.models.ensemble import Ensemble

#: Names of the exported graph's one input, and of its one output where it gives logits.
INPUT, OUTPUT = "pixels", "logits"


def to_onnx(
    model: Ensemble,
    image_size: int,
    temperature: Sequence[float] | None = None,
    facts: Mapping[str, str] | None = None,
    *,
    half: bool = False,
    output: str = OUTPUT,
) -> onnx.ModelProto:
    """Writes a network with its preprocessing as one graph.

    Args:
        model: With its weights; for grey images.
        image_size: Height and width of an image in pixels.
        temperature: Divides the logits: one number, or one a finding. None leaves them as they are.
        facts: Metadata, key -> text.
        half: Store kernels in bfloat16.
        output: Name of the output.

    Returns:
        A model with the input "pixels", uint8 (n, image_size, image_size, 1) grey levels, and the output "logits",
        float32 (n, findings), for any n.

    Raises:
        ExportError: There is no rule for an operation of a layer; names both.
        ImportError: `onnx` is not installed.

    Example:
        >>> pixels = keras.Input((8, 8, 1))
        >>> logits = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(pixels))
        >>> graph = to_onnx(keras.Model(pixels, logits), 8).graph
        >>> [node.op_type for node in graph.node], [output.name for output in graph.output]
        (['Reshape', 'Cast', 'ReduceMean', 'MatMul', 'Add', 'Identity'], ['logits'])
    """
    from onnx import TensorProto, helper

    graph, shape = Graph(), (None, image_size, image_size, 1)
    pixels = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ("n", *shape[1:]))
    # With one channel, a reshape moves the channel axis.
    grey = graph.add("Reshape", INPUT, graph.constant((0, 1, image_size, image_size), "int64"))
    image = Value(graph.add("Cast", grey, to=TensorProto.FLOAT), keras.KerasTensor(shape, "float32"))
    result = _emit(graph, model, image)
    last = result.name
    if temperature is not None and not np.all(np.asarray(temperature) == 1):
        last = graph.add("Div", last, graph.constant(np.asarray(temperature).reshape(1, -1)))
    graph.add_as(output, "Identity", last)
    logits = helper.make_tensor_value_info(output, TensorProto.FLOAT, ("n", result.shape[-1]))
    return graph.model([pixels], [logits], facts or {}, half=half)


def _emit(graph: Graph, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Adds an operation, a layer or a model to the graph; returns its outputs as values."""
    if isinstance(operation, keras.Model) and hasattr(operation, "operations"):
        with graph.inside(operation.name):
            return keras_compat.run_graph(operation, args, partial(partial, _emit, graph))
    if isinstance(operation, keras.layers.Layer):
        with graph.inside(operation.name):
            if (rule := layer_rules.rule_of(operation)) is None:
                return _apart(graph, operation, *args, **kwargs)
            activation = keras.layers.Activation(getattr(operation, "activation", None))
            return _emit(graph, activation, rule(graph, operation, *args))
    kind = type(operation).__name__
    if kind not in RULES:
        raise ExportError(
            f"{graph.scope}: no rule for keras.ops' {kind}; use runtime='keras', or the format 'saved_model'"
        )
    plain_args, plain_kwargs = keras.tree.map_structure(_spec, (args, kwargs))
    specs = operation.compute_output_spec(*plain_args, **plain_kwargs)
    several = isinstance(specs, list | tuple)
    names = RULES[kind](graph, operation, tuple((specs[0] if several else specs).shape), *args, **kwargs)
    return [Value(n, s) for n, s in zip(names, specs, strict=True)] if several else Value(names, specs)


def _apart(graph: Graph, layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Adds the operations that a layer's `call` consists of in inference."""
    kwargs = {key: value for key, value in kwargs.items() if key != "training"}
    if "training" in inspect.signature(layer.call).parameters:
        kwargs["training"] = False
    values = [v for v in keras.tree.flatten((args, kwargs)) if isinstance(v, Value)]
    blank = {id(v): keras.KerasTensor(v.spec.shape, v.spec.dtype) for v in values}
    symbolic = keras.tree.map_structure(lambda v: blank.get(id(v), v), (args, kwargs))
    try:
        with layer_rules.symbolic_activation(layer):
            result = layer.call(*symbolic[0], **symbolic[1])
    except (AttributeError, TypeError, ValueError) as error:
        raise ExportError(
            f"{graph.scope}: {type(layer).__name__} is not made of keras.ops alone ({str(error).splitlines()[0]}); use "
            "the runtime 'keras', or the format 'saved_model'"
        ) from error
    inputs = list(blank.values())
    if any(result is tensor for tensor in inputs):
        return next(v for v in values if blank[id(v)] is result)
    inner = keras.Function(inputs, result)
    return keras_compat.run_graph(inner, list({id(v): v for v in values}.values()), partial(partial, _emit, graph))


def _spec(value: Any) -> Any:
    return value.spec if isinstance(value, Value) else value
