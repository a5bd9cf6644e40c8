"""Accuracy-aware quantisation: chooses layers to leave in floating point, and corrects the logits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import numpy as np

#: Number of runs of consecutive layers that a member is cut into; each is given back whole.
_RUNS = 8

_LAYERS = ("Convolution", "GroupConvolution", "MatMul")


def restore(
    quantised: Any,
    plain: Any,
    error: Callable[[Any], float],
    kept: Callable[[Any], float],
    aim: float,
    on_step: Callable[[], None] = lambda: None,
) -> Any:
    """Gives layers back to floating point, those with the largest errors first, until enough decisions are kept.

    What each run of layers gains is measured once, by giving back that run alone. Runs that gain nothing stay in int8.

    Args:
        quantised: The int8 `openvino.Model`.
        plain: The network that it was made from, with the same names.
        error: Given a model, returns how far its logits are from those of `plain`.
        kept: Given a model, returns the share of decisions that stay.
        aim: The share of decisions to keep.
        on_step: Called after each run was measured.

    Returns:
        The first network that reaches the aim. If none does, the one that keeps most decisions, `quantised` included;
        of several, the one with most layers in int8. It never is without int8.
    """
    gains = []
    whole = error(quantised)
    for run in runs(quantised):
        gains.append((whole - error(give_back(quantised, plain, run)), run))
        on_step()
    gains.sort(key=lambda pair: -pair[0])
    best, share = quantised, kept(quantised)
    given: list[str] = []
    for gain, run in gains[:-1]:
        if share >= aim or gain <= 0:
            break
        given += run
        tried = give_back(quantised, plain, given)
        if (now := kept(tried)) > share:
            best, share = tried, now
    return best


def runs(quantised: Any) -> list[list[str]]:
    """Names of the int8 layers, in runs of consecutive layers of one member."""
    members: dict[str, list[str]] = {}
    for op in quantised_layers(quantised):
        name = op.get_friendly_name()
        members.setdefault("/".join(name.split("/")[:2]), []).append(name)
    return [[str(n) for n in part] for names in members.values() for part in np.array_split(names, _RUNS) if len(part)]


def give_back(quantised: Any, plain: Any, names: Collection[str]) -> Any:
    """A copy in which these layers have their float inputs and kernels again.

    Values that were rounded for these layers alone, before sums and concatenations, are no longer rounded.
    """
    copy, wanted = quantised.clone(), set(names)
    originals = {op.get_friendly_name(): op for op in plain.get_ops() if op.get_friendly_name() in wanted}
    for op in list(quantised_layers(copy)):
        name = op.get_friendly_name()
        if name not in wanted:
            continue
        op.input(0).replace_source_output(op.input_value(0).get_node().input_value(0))
        op.input(1).replace_source_output(_kernel(originals[name]))
    ours = {op.get_friendly_name() for op in quantised_layers(copy)}
    for op in copy.get_ordered_ops():
        if op.get_type_name() == "FakeQuantize" and (after := _next_layers(op)) and not after & ours:
            for target in op.output(0).get_target_inputs():
                target.replace_source_output(op.input_value(0))
    copy.validate_nodes_and_infer_types()
    return copy


def change_logits(model: Any, how: Literal["add", "divide"], by: np.ndarray) -> Any:
    """Adds a constant to the model's one output, or divides the output by it, in place; returns the model.

    Args:
        model: An `openvino.Model`.
        how: "add" or "divide".
        by: float32 (findings,), or (1,) for all.
    """
    import openvino.opset13 as opset

    result = model.get_results()[0]
    before = result.input_value(0)
    names = before.get_names()
    before.set_names(set())
    operation, name = {"add": (opset.add, "moved"), "divide": (opset.divide, "divided")}[how]
    after = operation(before, opset.constant(np.asarray(by, np.float32)[None]), name=name).output(0)
    after.set_names(names)
    result.input(0).replace_source_output(after)
    return model


def quantised_layers(model: Any) -> Iterator[Any]:
    """Layers whose input is quantised, in the order in which they compute."""
    for op in model.get_ordered_ops():
        if op.get_type_name() in _LAYERS and op.input_value(0).get_node().get_type_name() == "FakeQuantize":
            yield op


def layers_in_float(model: Any) -> list[str]:
    """Names of the layers whose input is not quantised."""
    ours = {op.get_friendly_name() for op in quantised_layers(model)}
    names = (op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() in _LAYERS)
    return [name for name in names if name not in ours]


def _next_layers(op: Any) -> set[str]:
    """Names of the layers that use an operation's output with no other layer between."""
    found, seen, todo = set(), set(), [op]
    while todo:
        for target in todo.pop().output(0).get_target_inputs():
            node = target.get_node()
            name = node.get_friendly_name()
            if name in seen or not node.get_output_size():
                continue
            seen.add(name)
            if node.get_type_name() in _LAYERS:
                found.add(name)
            else:
                todo.append(node)
    return found


def _kernel(layer: Any) -> Any:
    """A copy of the constant behind a layer's second input; a grouped one's is reshaped on the way."""
    import openvino.opset13 as opset

    source = layer.input_value(1).get_node()
    constant = source if source.get_type_name() == "Constant" else source.input_value(0).get_node()
    copied = opset.constant(np.array(constant.data))
    if constant is source:
        return copied.output(0)
    return opset.reshape(copied, np.array(source.get_output_shape(0)), special_zero=False).output(0)
