"""Vision transformers: tokens as a feature map, positions at any size, attention."""

from typing import Any

import keras
import numpy as np
import pytest

from zoo.core.errors import UsageError
from zoo.explain.explanation import explain_batch
from zoo.models import architectures
from zoo.models.architectures import ARCHITECTURES, Architecture
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.heads import GAPHead, NormHead
from zoo.models.positions import Positions, bicubic
from zoo.models.vit import Attention, LayerScale, TokenMap, vit
from zoo.models.weights.files import load_safetensors, named_weights, save_safetensors

SMALL = {"patch": 8, "width": 16, "heads": 2, "trained": 4, "depth": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small transformers, registered."""
    rows = {
        "small_vit": Architecture("small_vit", "zoo.models.vit:vit", "tf", SMALL, min_size=8),
        "small_dino": Architecture("small_dino", "zoo.models.vit:vit", options={**SMALL, "layer_scale": True}),
    }
    monkeypatch.setattr(architectures, "ARCHITECTURES", {**ARCHITECTURES, **rows})


def numpy(x: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(x), "float64")


def test_the_mean_of_the_map_is_the_class_token_and_its_deviations_are_those_of_the_patches() -> None:
    tokens = np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32")
    found = numpy(TokenMap(2, 3, "token")(tokens))
    np.testing.assert_allclose(found.mean(axis=(1, 2)), tokens[:, 0], atol=1e-6)
    patches = tokens[:, 1:].reshape(2, 2, 3, 5)
    np.testing.assert_allclose(found[:, 1, 2] - found[:, 0, 1], patches[:, 1, 2] - patches[:, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(numpy(TokenMap(2, 3, "patches")(tokens)), patches)
    with pytest.raises(UsageError, match="pooling must be 'token' or 'patches', got 'mean'"):
        TokenMap(2, 3, "mean")  # type: ignore[arg-type]


def test_attention_is_the_formula() -> None:
    rng, n, heads, each = np.random.default_rng(1), 5, 3, 4
    qkv = rng.normal(size=(2, n, 3 * heads * each)).astype("float32")
    found = numpy(Attention(heads)(qkv))
    query, key, value = qkv.astype("float64").reshape(2, n, 3, heads, each).transpose(2, 0, 3, 1, 4)
    scores = np.exp(query @ key.transpose(0, 1, 3, 2) / np.sqrt(each))
    expected = (scores / scores.sum(-1, keepdims=True)) @ value
    np.testing.assert_allclose(found, expected.transpose(0, 2, 1, 3).reshape(2, n, -1), atol=1e-5)


# PyTorch 2.13, torch.nn.functional.interpolate(mode="bicubic", align_corners=False), each column the image of a 1 in 5.
DOWN = [
    [0.3470952, 0.4156204, 0.2394127, 0.0291552, -0.0312833],
    [-0.0312833, 0.0291552, 0.2394127, 0.4156204, 0.3470952],
]
SHARP = [[0.6851851, 0.3703704, -0.0555553, 0, 0], [0, 0, 1, 0, 0], [0, 0, -0.0555558, 0.3703706, 0.685185]]


def test_positions_are_interpolated_as_by_pytorch() -> None:
    np.testing.assert_allclose(bicubic(5, 2, antialias=True), DOWN, atol=1e-6)
    np.testing.assert_allclose(bicubic(5, 3, antialias=False), SHARP, atol=1e-6)
    for new in (1, 4, 9):
        np.testing.assert_allclose(bicubic(6, new).sum(axis=1), 1)
        np.testing.assert_allclose(bicubic(6, new, False).sum(axis=1), 1)


@pytest.mark.parametrize("rows, columns", [(5, 5), (2, 3), (5, 7)])
def test_positions_of_another_grid(rows: int, columns: int) -> None:
    layer, rng = Positions(5, rows, columns), np.random.default_rng(2)
    patches = rng.normal(size=(2, rows * columns, 4)).astype("float32")
    layer.build(patches.shape)
    token, positions = (rng.normal(size=v.shape).astype("float32") for v in layer.weights)
    layer.set_weights([token, positions])
    found = numpy(layer(patches))
    np.testing.assert_allclose(found[:, 0], (token + positions[:1]).repeat(2, axis=0), atol=1e-6)
    grid = np.einsum("ri,cj,ijf->rcf", bicubic(5, rows), bicubic(5, columns), positions[1:].reshape(5, 5, 4))
    np.testing.assert_allclose(found[:, 1:], patches + grid.reshape(1, -1, 4), atol=1e-5)


def test_one_set_of_weights_serves_all_sizes(fill: Any, pixels: Any, tmp_path: Any) -> None:
    trained, other = fill(Backbone("small_vit", 32)), Backbone("small_vit", 48)
    save_safetensors(trained, tmp_path / "w.safetensors")
    load_safetensors(other, tmp_path / "w.safetensors")
    assert tuple(other(pixels(1, 48)).shape) == (1, 6, 6, 16)
    assert {n: v.shape for n, v in named_weights(other).items()} == {
        n: v.shape for n, v in named_weights(trained).items()
    }


def test_sizes_it_cannot_take_are_refused_with_those_it_can() -> None:
    with pytest.raises(UsageError, match="multiples of 8, got 30: take 24 or 32"):
        Backbone("small_vit", 30)
    with pytest.raises(UsageError, match="multiples of 8, got 4: take 8"):
        vit((4, 8, 3), **SMALL)
    with pytest.raises(UsageError, match="give image_size"):
        Backbone("small_vit")


def test_cam_of_the_class_token_is_exact(fill: Any, pixels: Any) -> None:
    model = fill(Classifier(Backbone("small_dino", 32), GAPHead(3)))
    found = explain_batch(model, pixels(3), [0, 1, 2], "cam")
    bias = numpy(model.head.linear.bias)
    for i, explanation in enumerate(found):
        grid = explanation.members[model.name]
        assert grid.shape == (4, 4)
        assert grid.std() > 1e-3
        np.testing.assert_allclose(grid.mean() + bias[i], explanation.logit, atol=1e-4)
        np.testing.assert_allclose(
            explain_batch(model, pixels(3), [0, 1, 2], "gradcam")[i].raw, explanation.raw, atol=1e-4
        )


def test_the_norm_head_normalises_the_mean() -> None:
    features, head = np.random.default_rng(3).normal(1, 2, (2, 3, 3, 8)).astype("float32"), NormHead(4)
    head.build(features.shape)
    gamma, beta, kernel, bias = (np.random.default_rng(4).normal(size=v.shape) for v in head.weights)
    assert list(named_weights(head)) == ["gamma", "beta", "kernel", "bias"]
    head.set_weights([gamma, beta, kernel, bias])
    pooled = features.mean(axis=(1, 2), dtype="float64")
    normed = (pooled - pooled.mean(-1, keepdims=True)) / np.sqrt(pooled.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(numpy(head(features)), (normed * gamma + beta) @ kernel + bias, atol=1e-4)


def test_freezing_counts_its_layers() -> None:
    model = Classifier(Backbone("small_dino", 32), GAPHead(3))
    kept = model.unfreeze_top(2 + 5)  # the map and the norm; add, scale, two dense layers and the norm of the last MLP
    names = [layer.name for layer in model.backbone.network.layers[-7:]]
    assert names == ["block1_norm2", "block1_fc1", "block1_fc2", "block1_scale2", "block1_add2", "norm", "map"]
    assert kept.with_weights == 5
    assert {v.path.split("/")[0] for v in model.backbone.trainable_variables} == {
        n for n in names if n[-4:] not in ("add2", "map")
    }


def test_layer_scale_starts_small_and_it_trains_in_half_precision(policy: Any, pixels: Any) -> None:
    scale = LayerScale()
    np.testing.assert_allclose(numpy(scale(np.ones((1, 2, 3), "float32"))), 1e-5)
    policy("mixed_bfloat16")
    model = Classifier(Backbone("small_dino", 32), GAPHead(3))
    model.compile("adam", "mse")
    before = numpy(model.backbone.get_layer("vit").get_layer("positions").positions)
    history = model.fit(pixels(4), np.ones((4, 3)), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert (numpy(model.backbone.get_layer("vit").get_layer("positions").positions) != before).any()


def test_its_configuration_builds_it_again() -> None:
    network = vit((16, 24, 3), **SMALL, layer_scale=True, antialias=False)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
    assert again.get_layer("positions").get_config() == network.get_layer("positions").get_config()
    assert list(named_weights(again)) == list(named_weights(network))
    assert again.output_shape == (None, 2, 3, 16)
