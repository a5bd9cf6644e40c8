"""timm's networks with a Keras ensemble's weights: the same function in PyTorch, to hold its speed against ours.

timm has the same three architectures but for details, which are set to Keras' here: where ResNet50 strides, the epsilon
of each batch norm, the bias in front of one (moved into its mean).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from benchmarks import peers

from zoo.models.backbones import leaf_layers
from zoo.models.classifier import Classifier
from zoo.models.ensemble import Ensemble


def twin(ensemble: Ensemble) -> Any:
    """A module from float32 pixels 0..255 (n, 1, size, size) to the ensemble's logits; in evaluation mode."""
    torch = peers.import_torch()

    class Twin(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.members = torch.nn.ModuleList([member_twin(member) for member in ensemble.members])
            for i, member in enumerate(ensemble.members):
                scale, offset = affine(member)
                self.register_buffer(f"scale{i}", torch.from_numpy(scale))
                self.register_buffer(f"offset{i}", torch.from_numpy(offset))

        def forward(self, pixels: Any) -> Any:
            logits = [
                member(pixels * getattr(self, f"scale{i}") + getattr(self, f"offset{i}"))
                for i, member in enumerate(self.members)
            ]
            return sum(logits) / len(logits)

    return Twin().eval().requires_grad_(False)


def affine(member: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset (1, 3, 1, 1) of a member's preprocessing, from what it makes of black and white."""
    layer = next(part for part in member.backbone.layers if part.name == "preprocessing")
    black, white = (keras.ops.convert_to_numpy(layer(np.full((1, 1, 1, 1), v, np.float32))) for v in (0, 255))
    return tuple(np.moveaxis(part, -1, 1).astype(np.float32) for part in ((white - black) / 255, black))


def member_twin(member: Classifier) -> Any:
    """timm's network of a member's architecture, with its weights."""
    name = member.backbone.architecture.name
    network = peers.import_timm().create_model(peers.TIMM_NAMES[name], num_classes=member.head.findings)
    if name == "resnet50":
        for block in (block for stage in (network.layer2, network.layer3, network.layer4) for block in stage[:1]):
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    ours = list(_in_order([part for part in leaf_layers(member.backbone.network) if part.weights], name))
    theirs = [module for module in network.modules() if _kind(module) in ("conv", "norm")]
    assert len(ours) == len(theirs), (name, len(ours), len(theirs))
    bias = None
    for layer, module in zip(ours, theirs, strict=True):
        bias = _copy(layer, module, bias)
    dense = [np.asarray(w) for w in member.head.get_weights()]
    _set(network.get_classifier(), weight=dense[0].T, bias=dense[1])
    return network


def _in_order(layers: list[Any], name: str) -> Iterator[Any]:
    """A network's layers in the order in which timm's lists its own."""
    if name != "resnet50":
        return iter(layers)
    return iter(sorted(layers, key=_place))


def _place(layer: Any) -> tuple[int, ...]:
    """Of a layer of ResNet50: stage, block, number within it (the shortcut's last), convolution before norm."""
    norm = int(layer.name.endswith("_bn"))
    if found := re.match(r"conv(\d+)_block(\d+)_(\d+)_", layer.name):
        stage, block, number = map(int, found.groups())
        return stage, block, number or 9, norm
    return 0, 0, 0, norm


def _kind(module: Any) -> str:
    torch = peers.import_torch()
    if isinstance(module, torch.nn.Conv2d):
        return "conv"
    return "norm" if isinstance(module, torch.nn.BatchNorm2d) else ""


def _copy(layer: Any, module: Any, bias: np.ndarray | None) -> np.ndarray | None:
    """Sets a module's weights; returns the bias of a convolution that has no place for one."""
    if isinstance(layer, keras.layers.BatchNormalization):
        module.eps = layer.epsilon
        values = [np.asarray(v) for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)]
        mean = values[2] if bias is None else values[2] - bias
        _set(module, weight=values[0], bias=values[1], running_mean=mean, running_var=values[3])
        return None
    kernel, *rest = (np.asarray(w) for w in layer.get_weights())
    # Of a depthwise one: rows, columns, channels, 1.
    order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)
    _set(module, weight=kernel.transpose(order))
    if not rest:
        return None
    if module.bias is None:
        return rest[0]
    _set(module, bias=rest[0])
    return None


def _set(module: Any, **values: np.ndarray) -> None:
    torch = peers.import_torch()
    with torch.no_grad():
        for name, value in values.items():
            target = getattr(module, name)
            assert target.shape == value.shape, (module, name, value.shape)
            target.copy_(torch.from_numpy(np.array(value, np.float32)))
