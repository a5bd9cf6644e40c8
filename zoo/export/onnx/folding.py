"""Folds the scale and shift of each channel that follow a convolution into its kernel and bias."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Node:
    """One node of an ONNX graph; `inputs` and `outputs` are names of values."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


def fold(nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Removes each `Mul` and `Add` of one constant a channel that is the only reader of a convolution's output.

    Args:
        nodes: In the order in which they compute.
        constants: Name -> value; float64, so that folding one into the other rounds once.

    Returns:
        The remaining nodes, and the constants that they use.

    Example:
        >>> nodes = [Node("Conv", "conv", ("x", "kernel"), ("y",), {}), Node("Mul", "mul", ("y", "two"), ("z",), {})]
        >>> folded, constants = fold(nodes, {"kernel": np.ones((1, 1, 1, 1)), "two": np.full(1, 2.0)})
        >>> [(node.kind, node.outputs) for node in folded], constants["kernel"].item()
        ([('Conv', ('z',))], 2.0)
    """
    readers = Counter(name for node in nodes for name in node.inputs)
    values = dict(constants)
    kept: list[Node] = []
    makers: dict[str, int] = {}  # value -> place in `kept` of the convolution that makes it
    for node in nodes:
        source, constant = _split(node, values)
        at = makers.get(source)
        if at is None or readers[source] != 1 or not _per_channel(values[constant]):
            if node.kind == "Conv":
                makers[node.outputs[0]] = len(kept)
            kept.append(node)
            continue
        kept[at] = _absorb(kept[at], node, values[constant], values)
        makers[node.outputs[0]] = at
    used = {name for node in kept for name in node.inputs}
    return kept, {name: value for name, value in values.items() if name in used}


def _split(node: Node, values: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The tensor and the constant of a sum or product of the two; ("", "") for any other node."""
    if node.kind not in ("Mul", "Add") or len(node.inputs) != 2:
        return "", ""
    a, b = node.inputs
    if (a in values) == (b in values):
        return "", ""
    return (b, a) if a in values else (a, b)


def _per_channel(value: np.ndarray) -> bool:
    return value.size == 1 or (value.ndim == 4 and value.size == value.shape[1])


def _absorb(conv: Node, node: Node, value: np.ndarray, values: dict[str, np.ndarray]) -> Node:
    """The convolution with the factor or summand folded in; its output has the name of the removed node's."""
    kernel, *rest = conv.inputs[1:]
    channels = values[kernel].shape[0]
    each = np.broadcast_to(value.ravel(), (channels,))
    bias = values[rest[0]] if rest else np.zeros(channels)
    # Constants have one reader each: changing one affects no other node.
    if node.kind == "Mul":
        values[kernel], bias = values[kernel] * each[:, None, None, None], bias * each
    else:
        bias = bias + each
    name = rest[0] if rest else f"{kernel}/bias"
    values[name] = bias
    return dataclasses.replace(conv, inputs=(conv.inputs[0], kernel, name), outputs=node.outputs)
