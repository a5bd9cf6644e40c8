"""ConvNeXt-Tiny of timm as our `convnexttiny_unnormed`, whose last norm is in the head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, convolution, dense, layer_norm, same

#: Blocks of each stage.
_BLOCKS = (3, 3, 9, 3)


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head; Keras puts the norms and strided convolutions between stages in models."""
    ours = "backbone/convnext_tiny_stem/convnext_tiny_stem"
    found = convolution(f"{ours}_conv", "stem.0", bias=True) + layer_norm(f"{ours}_layernorm", "stem.1")
    for stage, blocks in enumerate(_BLOCKS):
        if stage > 0:
            ours = f"backbone/convnext_tiny_downsampling_block_{stage - 1}/convnext_tiny_downsampling"
            theirs = f"stages.{stage}.downsample"
            found += layer_norm(f"{ours}_layernorm_{stage - 1}", f"{theirs}.0")
            found += convolution(f"{ours}_conv_{stage - 1}", f"{theirs}.1", bias=True)
        for block in range(blocks):
            ours, theirs = f"backbone/convnext_tiny_stage_{stage}_block_{block}", f"stages.{stage}.blocks.{block}"
            # Keras has a convolution with as many groups as channels here, not a depthwise one.
            found += convolution(f"{ours}_depthwise_conv", f"{theirs}.conv_dw", bias=True)
            found += layer_norm(f"{ours}_layernorm", f"{theirs}.norm")
            for i in (1, 2):
                found += dense(f"{ours}_pointwise_conv_{i}", f"{theirs}.mlp.fc{i}")
            found.append(same(f"{ours}_layer_scale/variable", f"{theirs}.gamma"))
    return found + layer_norm("head", "head.norm") + dense("head", port.classifier.removesuffix(".weight"))
