"""DenseNet121 of torchvision, timm and TorchXRayVision as `keras.applications.DenseNet121`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, batch_norm, convolution, dense, grey_convolution

#: What the batch normalisation of Keras' DenseNet adds to the variance.
_EPSILON = 1.001e-5

#: Number of dense layers in each block.
_BLOCKS = (6, 12, 24, 16)


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head; Keras counts the stem as block 1, PyTorch does not."""
    grey = tensors["features.conv0.weight"].shape[1] == 1
    stem = grey_convolution if grey else convolution
    found = stem("backbone/conv1_conv", "features.conv0") + _norm("conv1_bn", "norm0")
    for block, layers in enumerate(_BLOCKS, start=1):
        for i in range(1, layers + 1):
            ours, theirs = f"conv{block + 1}_block{i}", f"denseblock{block}.denselayer{i}"
            found += _norm(f"{ours}_0_bn", f"{theirs}.norm1") + _convolution(f"{ours}_1_conv", f"{theirs}.conv1")
            found += _norm(f"{ours}_1_bn", f"{theirs}.norm2") + _convolution(f"{ours}_2_conv", f"{theirs}.conv2")
        if block < len(_BLOCKS):
            found += _norm(f"pool{block + 1}_bn", f"transition{block}.norm")
            found += _convolution(f"pool{block + 1}_conv", f"transition{block}.conv")
    found += _norm("bn", "norm5")
    return found + dense("head", port.classifier.removesuffix(".weight"))


def _convolution(ours: str, theirs: str) -> list[Variable]:
    return convolution(f"backbone/{ours}", f"features.{theirs}")


def _norm(ours: str, theirs: str) -> list[Variable]:
    return batch_norm(f"backbone/{ours}", f"features.{theirs}", _EPSILON)
