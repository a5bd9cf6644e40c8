"""Stochastic depth: in training, the branch of a residual block is left out for some of the images.

Source: Huang, Sun, Liu, Sedra and Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016 (arXiv:1603.09382). The
rate grows linearly from the first block to the last, as in their section 3. A branch that is kept is divided by the
probability of keeping it, so that nothing changes in use (in the paper, it is multiplied by it in use instead).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.core.errors import UsageError
from zoo.models.architectures import Architecture


def stochastic_depth(network: keras.Model, row: Architecture, rate: float) -> keras.Model:
    """Sets the rates of stochastic depth in the blocks of a network.

    The functions of `keras.applications` have no argument for it: EfficientNets are built with 0.2 (their
    `drop_connect_rate`), ConvNeXt with none. So the rates of layers that exist are scaled, and ConvNeXt receives some.

    Args:
        network: The network of an architecture, as it was built.
        row: The architecture.
        rate: Rate at the last block, which `require_place` allows.

    Returns:
        The network itself, or a copy with new weights if layers had to be added.

    Example:
        >>> from zoo.models.architectures import get
        >>> from zoo.models.tiny import tiny
        >>> stochastic_depth(tiny((16, 16, 3)), get("tiny"), 0.3).get_layer("block_drop_path").rate
        0.3
    """
    if not row.drop_path:
        return _added(network, rate) if rate else network
    for layer in network.layers:
        if _drops_paths(layer):
            layer.rate = rate * (layer.rate / row.drop_path)
    return network


def require_place(row: Architecture, rate: float) -> None:
    """Raises a `UsageError` if the rate is out of range, or the blocks of an architecture have no place for it."""
    if not 0 <= rate < 1:
        raise UsageError(f"backbone {row.name!r}: drop_path must be in [0, 1), got {rate}")
    if row.drop_path is None:
        raise UsageError(f"backbone {row.name!r} has no stochastic depth: leave drop_path out, got {rate}")


def _drops_paths(layer: Any) -> bool:
    """Whether a layer leaves out all values of an image together."""
    shape = layer.noise_shape if isinstance(layer, keras.layers.Dropout) else None
    return shape is not None and set(shape[1:]) == {1}


def _added(network: keras.Model, rate: float) -> keras.Model:
    """A copy of ConvNeXt, whose branches each end in a layer without effect, in which those layers drop paths."""
    ends = [layer.name for layer in network.layers if layer.name.endswith("_identity")]
    rates = dict(zip(ends, np.linspace(0.0, rate, len(ends)).tolist(), strict=True))

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not rates.get(layer.name):
            return type(layer).from_config(layer.get_config())
        return keras.layers.Dropout(rates[layer.name], noise_shape=(None, 1, 1, 1), name=f"{layer.name}_drop_path")

    return keras.models.clone_model(network, clone_function=clone)
