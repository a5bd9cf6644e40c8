"""EfficientNet-Lite0 of the package efficientnet_lite_pytorch as our `efficientnetlite0`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.efficientnet_lite import block_names
from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, batch_norm, convolution, dense, depthwise

#: What batch normalisation adds to the variance, in these networks and in ours.
_EPSILON = 1e-3


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head."""
    found = _convolution("stem", "_conv_stem") + _norm("stem_bn", "_bn0")
    for i, name in enumerate(block_names()):
        ours, theirs = f"{name}_", f"_blocks.{i}."
        if i > 0:
            found += _convolution(f"{ours}expand", f"{theirs}_expand_conv") + _norm(f"{ours}expand_bn", f"{theirs}_bn0")
        found += depthwise(f"backbone/{ours}dwconv", f"{theirs}_depthwise_conv") + _norm(f"{ours}bn", f"{theirs}_bn1")
        found += _convolution(f"{ours}project", f"{theirs}_project_conv") + _norm(f"{ours}project_bn", f"{theirs}_bn2")
    found += _convolution("top", "_conv_head") + _norm("top_bn", "_bn1")
    return found + dense("head", port.classifier.removesuffix(".weight"))


def _convolution(ours: str, theirs: str) -> list[Variable]:
    return convolution(f"backbone/{ours}_conv", theirs)


def _norm(ours: str, theirs: str) -> list[Variable]:
    return batch_norm(f"backbone/{ours}", theirs, _EPSILON, _EPSILON)
