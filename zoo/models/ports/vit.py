"""Vision transformers of timm, and DINOv2 in the names of transformers, of timm and of its authors, as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zoo.models import architectures
from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, convolution, dense, layer_norm, same


@dataclass(frozen=True)
class _Names:
    """How a library calls the parts of a transformer."""

    token: str
    positions: str
    patches: str
    block: str
    qkv: tuple[str, ...]
    projection: str
    scale: str
    norm: str


_TIMM = _Names(
    token="cls_token",
    positions="pos_embed",
    patches="patch_embed.proj",
    block="blocks.{}",
    qkv=("attn.qkv",),
    projection="attn.proj",
    scale="ls{}.gamma",
    norm="norm",
)
#: transformers, models/dinov2, in the names of its files (its own code may rename them on loading).
_TRANSFORMERS = _Names(
    token="embeddings.cls_token",
    positions="embeddings.position_embeddings",
    patches="embeddings.patch_embeddings.projection",
    block="encoder.layer.{}",
    qkv=("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    projection="attention.output.dense",
    scale="layer_scale{}.lambda1",
    norm="layernorm",
)


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head; the head of a network without a classifier is left out."""
    names = _TIMM if _TIMM.token in tensors else _TRANSFORMERS
    options = architectures.get(port.backbone).options
    found = convolution("backbone/patches", names.patches, bias=True)
    found.append(_without_batch("backbone/positions/class_token", names.token))
    found.append(_without_batch("backbone/positions/positions", names.positions))
    for block in range(int(options.get("depth", 12))):
        found += _block(f"backbone/block{block}", names.block.format(block), names, bool(options.get("layer_scale")))
    if options.get("pooling") == "patches":
        return found + layer_norm("head", "fc_norm") + dense("head", port.classifier.removesuffix(".weight"))
    found += layer_norm("backbone/norm", names.norm)
    return found + (dense("head", port.classifier.removesuffix(".weight")) if port.classifier else [])


def _block(ours: str, theirs: str, names: _Names, layer_scale: bool) -> list[Variable]:
    found = layer_norm(f"{ours}_norm1", f"{theirs}.norm1")
    found += _joined(f"{ours}_qkv", tuple(f"{theirs}.{part}" for part in names.qkv))
    found += dense(f"{ours}_projection", f"{theirs}.{names.projection}")
    found += layer_norm(f"{ours}_norm2", f"{theirs}.norm2")
    found += dense(f"{ours}_fc1", f"{theirs}.mlp.fc1") + dense(f"{ours}_fc2", f"{theirs}.mlp.fc2")
    if layer_scale:
        found += [same(f"{ours}_scale{i}/gamma", f"{theirs}.{names.scale.format(i)}") for i in (1, 2)]
    return found


def _joined(ours: str, parts: tuple[str, ...]) -> list[Variable]:
    """One dense layer of several in a row."""

    def kernel(*weights: np.ndarray) -> np.ndarray:
        return np.concatenate(weights).transpose()

    def bias(*biases: np.ndarray) -> np.ndarray:
        return np.concatenate(biases)

    kernels, biases = (tuple(f"{part}.{end}" for part in parts) for end in ("weight", "bias"))
    return [Variable(f"{ours}/kernel", kernels, kernel), Variable(f"{ours}/bias", biases, bias)]


def _without_batch(ours: str, theirs: str) -> Variable:
    """(1, tokens, features) -> (tokens, features)."""
    return Variable(ours, (theirs,), lambda value: value[0])
