"""ResNet50 of torchvision, timm and TorchXRayVision as our `resnet50_v1_5`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import TORCH_EPSILON, Variable, batch_norm, convolution, dense, grey_convolution
from zoo.models.resnet import STAGES


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head; our layers have their names, with "_" for "."."""
    grey = tensors["conv1.weight"].shape[1] == 1
    found = (grey_convolution if grey else convolution)("backbone/conv1", "conv1") + _norm("bn1")
    for stage, (blocks, _) in enumerate(STAGES, start=1):
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            for i in (1, 2, 3):
                found += _convolution(f"{place}.conv{i}") + _norm(f"{place}.bn{i}")
            if block == 0:
                found += _convolution(f"{place}.downsample.0") + _norm(f"{place}.downsample.1")
    return found + dense("head", port.classifier.removesuffix(".weight"))


def _convolution(theirs: str) -> list[Variable]:
    return convolution(f"backbone/{theirs.replace('.', '_')}", theirs)


def _norm(theirs: str) -> list[Variable]:
    return batch_norm(f"backbone/{theirs.replace('.', '_')}", theirs, TORCH_EPSILON)
