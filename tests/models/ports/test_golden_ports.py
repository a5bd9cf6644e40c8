"""Converted networks give the logits that the sources' own code gave, without that code."""

import json
from pathlib import Path

import numpy as np
import port_sources as sources
import pytest

from zoo.core.errors import WeightsError
from zoo.models.ports.convert import convert

#: Kind -> logits (2, 5) of `sources.images`, written by timm 1.0.31 and transformers 5.24 on PyTorch 2.13.
GOLDEN = json.loads(Path(__file__).with_name("golden_logits.json").read_text())

#: The tensors of each; vision transformers have two blocks.
SHAPES = {
    "timm-resnet50": sources.resnet50(),
    "timm-convnext-tiny": sources.convnext_tiny(),
    "timm-vit-small-16": sources.vit(384, 2),
    "timm-vit-base-16": sources.vit(768, 2),
    "timm-vit-small-16-pooled": sources.vit(384, 2, norm="fc_norm"),
    "dinov2-vit-base-14": sources.dinov2(2),
}


@pytest.mark.real
@pytest.mark.usefixtures("two_blocks")
@pytest.mark.parametrize("kind", SHAPES)
def test_golden_logits(kind):
    ported = convert(sources.tensors(SHAPES[kind]), findings=tuple("abcde") if "dinov2" not in kind else None)
    assert ported.port.name == kind
    size = 56 if "dinov2" in kind else 64
    logits = sources.ensemble(ported, size).predict(sources.images(size), verbose=0)
    expected = np.array(GOLDEN[kind])
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "kind, shapes",
    [
        ("timm-vit-small-16", sources.vit(384)),
        ("timm-vit-small-16-pooled", sources.vit(384, norm="fc_norm")),
        ("xrv-resnet50", sources.resnet50(18, stem=1)),
        ("timm-dinov2-vit-base-14", {**sources.timm_dinov2(), "mask_token": (1, 768)}),
        ("dinov2-vit-base-14", sources.dinov2()),
    ],
)
def test_files_of_whole_networks_are_recognised(kind, shapes):
    """Behind a prefix too; each value is used once, so the numbers of values agree."""
    found = convert(
        {f"net.{name}": np.ones(shape, "float32") for name, shape in shapes.items()}, findings=names(shapes)
    )
    assert found.port.name == kind
    used = sum(int(np.prod(shape)) for name, shape in shapes.items() if f"net.{name}" not in found.unused)
    extra = 2 * 64 * 7 * 7 if kind == "xrv-resnet50" else 0  # one channel becomes three
    assert sum(value.size for value in found.weights.values()) == used + extra
    assert all("num_batches" in name or "mask_token" in name for name in found.unused)


def names(shapes):
    outputs = next((shape[0] for name, shape in shapes.items() if name in ("head.weight", "fc.weight")), None)
    return outputs and tuple(f"f{i}" for i in range(outputs))


def test_a_channel_of_an_xray_is_shared_by_three():
    kernel = convert(sources.tensors(sources.resnet50(18, stem=1))).weights["backbone/conv1/kernel"]
    theirs = sources.tensors({"conv1.weight": (64, 1, 7, 7)})["conv1.weight"]
    np.testing.assert_allclose(kernel.sum(axis=2)[3, 5], theirs[:, 0, 3, 5], atol=1e-6)


def test_query_key_and_value_are_joined_in_this_order():
    tensors = sources.tensors(sources.dinov2())
    kernel = convert(tensors).weights["backbone/block3_qkv/kernel"]
    for i, part in enumerate(("query", "key", "value")):
        theirs = tensors[f"encoder.layer.3.attention.attention.{part}.weight"]
        np.testing.assert_array_equal(kernel[:, 768 * i : 768 * (i + 1)], theirs.T)


@pytest.mark.parametrize(
    "shapes, change, message",
    [
        (sources.vit(384), {"pos_embed": (1, 577, 384)}, "unknown kind of weights: 152 tensors"),
        (sources.vit(384), {"blocks.12.norm1.weight": (384,)}, "does not have: blocks.12.norm1.weight"),
        (sources.resnet50(), {"layer3.6.conv1.weight": (256, 1024, 1, 1)}, "does not have: layer3.6.conv1.weight"),
        (sources.timm_dinov2(), {"register_tokens": (1, 4, 768)}, "does not have: register_tokens"),
    ],
)
def test_relatives_of_these_networks_are_refused(shapes, change, message):
    """Another image size, another depth, registers."""
    tensors = {name: np.zeros(shape, "float32") for name, shape in {**shapes, **change}.items()}
    with pytest.raises(WeightsError, match=message):
        convert(tensors, findings=tuple("abcde"))
