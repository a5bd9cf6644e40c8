"""EfficientNets: Lite0 of efficientnet_lite_pytorch, and timm's tf_efficientnet_b3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.efficientnet_lite import block_names
from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, batch_norm, convolution, dense, depthwise

#: What batch normalisation adds to the variance, in these networks and in ours.
_EPSILON = 1e-3

#: Blocks in each stage of EfficientNetB3.
_B3_BLOCKS = (2, 3, 3, 5, 5, 6, 2)


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head."""
    body = _lite0() if port.backbone == "efficientnetlite0" else _timm()
    return body + dense("head", port.classifier.removesuffix(".weight"))


def _lite0() -> list[Variable]:
    found = _convolution("stem", "_conv_stem") + _norm("stem_bn", "_bn0")
    for i, name in enumerate(block_names()):
        ours, theirs = f"{name}_", f"_blocks.{i}."
        if i > 0:
            found += _convolution(f"{ours}expand", f"{theirs}_expand_conv") + _norm(f"{ours}expand_bn", f"{theirs}_bn0")
        found += _depthwise(ours, f"{theirs}_depthwise_conv") + _norm(f"{ours}bn", f"{theirs}_bn1")
        found += _convolution(f"{ours}project", f"{theirs}_project_conv") + _norm(f"{ours}project_bn", f"{theirs}_bn2")
    return found + _convolution("top", "_conv_head") + _norm("top_bn", "_bn1")


def _timm() -> list[Variable]:
    found = _convolution("stem", "conv_stem") + _norm("stem_bn", "bn1")
    for stage, blocks in enumerate(_B3_BLOCKS):
        for i in range(blocks):
            ours, theirs = f"block{stage + 1}{chr(ord('a') + i)}_", f"blocks.{stage}.{i}."
            # Blocks of the first stage do not expand, so timm counts their parts from the depthwise convolution.
            last, norms = ("conv_pwl", ("bn1", "bn2", "bn3")) if stage else ("conv_pw", ("", "bn1", "bn2"))
            if stage:
                found += _convolution(f"{ours}expand", f"{theirs}conv_pw") + _norm(
                    f"{ours}expand_bn", theirs + norms[0]
                )
            found += _depthwise(ours, f"{theirs}conv_dw") + _norm(f"{ours}bn", theirs + norms[1])
            for part in ("reduce", "expand"):
                found += convolution(f"backbone/{ours}se_{part}", f"{theirs}se.conv_{part}", bias=True)
            found += _convolution(f"{ours}project", theirs + last) + _norm(f"{ours}project_bn", theirs + norms[2])
    return found + _convolution("top", "conv_head") + _norm("top_bn", "bn2")


def _convolution(ours: str, theirs: str) -> list[Variable]:
    return convolution(f"backbone/{ours}_conv", theirs)


def _depthwise(ours: str, theirs: str) -> list[Variable]:
    return depthwise(f"backbone/{ours}dwconv", theirs)


def _norm(ours: str, theirs: str) -> list[Variable]:
    return batch_norm(f"backbone/{ours}", theirs, _EPSILON, _EPSILON)
