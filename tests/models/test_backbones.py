import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.pixels import PixelSpec
from zoo.core.errors import UnknownNameError
from zoo.models import architectures
from zoo.models.architectures import ARCHITECTURES, Architecture
from zoo.models.backbones import Backbone, leaf_layers, register_backbone
from zoo.models.tiny import tiny
from zoo.models.weights.files import named_weights, uninitialized

PUBLISHED = [name for name, row in ARCHITECTURES.items() if row.imagenet_url]
UNPUBLISHED = [name for name, row in ARCHITECTURES.items() if not row.imagenet_url]


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "ARCHITECTURES", dict(ARCHITECTURES))


@pytest.mark.real
@pytest.mark.parametrize("name", PUBLISHED)
def test_facts_of_a_row_are_those_of_the_network_and_of_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row, asked = ARCHITECTURES[name], []

    def get_file(fname: str, origin: str, file_hash: str, **kwargs: Any) -> str:
        asked.append((origin, file_hash))
        return ""

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setattr(keras.Model, "load_weights", lambda *args, **kwargs: None)
    # With "imagenet" Keras names its file, and EfficientNetV1 brings its hidden layer: the cut has to take it away.
    architectures.register(dataclasses.replace(row, options={**row.options, "weights": "imagenet"}), replace=True)
    with uninitialized():
        backbone = Backbone(name, row.min_size)
    assert asked == [(row.imagenet_url, row.imagenet_hash)]
    assert backbone.count_params() == row.parameters
    assert backbone.output_shape == (None, 1, 1, row.channels)
    assert len(named_weights(backbone)) == len(backbone.weights)
    assert not [
        layer for layer in leaf_layers(backbone.network) if type(layer).__name__ in ("Rescaling", "Normalization")
    ]


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_facts_of_a_row_without_published_weights(name: str) -> None:
    if name.startswith("kerascv"):
        pytest.importorskip("tensorflow", reason="KerasCV needs TensorFlow")
        pytest.importorskip("keras_cv")
    row = ARCHITECTURES[name]
    with uninitialized():
        backbone = Backbone(name, row.min_size)
    assert backbone.count_params() == row.parameters
    assert backbone.output_shape == (None, 1, 1, row.channels)
    assert len(named_weights(backbone)) == len(backbone.weights)


def test_tiny_has_what_large_ones_have() -> None:
    kinds = [type(layer).__name__ for layer in Backbone("tiny").network.layers]
    assert Backbone("tiny").count_params() < 50_000
    assert "BatchNormalization" in kinds
    assert kinds.count("Dropout") == 2  # one of them stochastic depth


def test_the_cut_keeps_the_layers_and_their_order() -> None:
    with uninitialized():
        full = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
        ours = Backbone("efficientnetb0", 32).network
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in full.layers[3:]]


def test_one_model_takes_images_of_any_size(fill: Any, pixels: Any) -> None:
    anything, fixed = fill(Backbone("tiny")), fill(Backbone("tiny", 48))
    assert anything.input_shape == (None, None, None, 1)
    assert tuple(anything(pixels(1, 32)).shape) == (1, 4, 4, 64)
    same = [keras.ops.convert_to_numpy(model(pixels(1, 48))) for model in (anything, fixed)]
    np.testing.assert_allclose(*same, atol=1e-5)


def test_grey_and_rgb_agree_on_grey_images(fill: Any, pixels: Any) -> None:
    grey, rgb = fill(Backbone("tiny", 32)), fill(Backbone("tiny", 32, channels=3))
    a, b = grey(pixels(2)), rgb(np.repeat(pixels(2), 3, axis=-1))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), atol=1e-5)


def test_pixels_keep_their_precision_up_to_the_cast(policy: Any) -> None:
    policy("mixed_float16")
    backbone = Backbone("tiny", 16)
    pixels = np.linspace(200, 201, 256, dtype="float32").reshape(1, 16, 16, 1)
    seen = keras.Model(backbone.input, backbone.get_layer("preprocessing").output).predict(pixels, verbose=0)
    exact = (pixels / 255 - 0.485) / 0.229
    np.testing.assert_allclose(seen[..., :1], exact, rtol=1e-3)
    assert backbone.compute_dtype == "float16"


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_batch_norm_momentum(momentum: float | None) -> None:
    backbone = Backbone("tiny", batch_norm_momentum=momentum)
    found = {x.momentum for x in leaf_layers(backbone.network) if isinstance(x, keras.layers.BatchNormalization)}
    assert found == {momentum or 0.99}


def test_config_round_trip() -> None:
    numbers = PixelSpec((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    backbone = Backbone("tiny", 32, channels=3, batch_norm_momentum=0.8, name="mine", pixels=numbers)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert again.get_config() == backbone.get_config()
    assert again.get_layer("preprocessing").pixels == numbers
    assert list(named_weights(again)) == list(named_weights(backbone))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"image_size": 4}, "'tiny' takes images of 8 pixels or more, got 4"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Backbone("tiny", **arguments)


def test_unknown_backbone() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'densenet121'"):
        Backbone("densnet121")


def test_a_user_registers_a_function(pixels: Any) -> None:
    row = register_backbone("mine", tiny, preprocessing="tf", min_size=16)
    assert row == architectures.get("mine")
    assert Backbone("mine", 16).get_layer("preprocessing").mode == "tf"
    assert tuple(Backbone("mine")(pixels(1)).shape) == (1, 4, 4, 64)
    with pytest.raises(ValueError, match="'mine' is registered"):
        register_backbone("mine", tiny)
    assert register_backbone("mine", tiny, replace=True).preprocessing == "torch"


def test_a_user_registers_a_row() -> None:
    register_backbone(Architecture("mine", "zoo.models.tiny:tiny", "caffe", min_size=8))
    assert Backbone("mine", 8).architecture.preprocessing == "caffe"


def test_a_registration_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="'mine' needs a builder"):
        register_backbone("mine")
    with pytest.raises(ValueError, match="preprocessing must be one of caffe, torch, tf, xrv, lite, got 'rgb'"):
        register_backbone("mine", tiny, preprocessing="rgb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a function or 'module:function', got 'tiny'"):
        register_backbone("mine", "tiny")


def test_the_table_is_data_that_needs_no_keras() -> None:
    code = "import sys; from zoo.models.architectures import ARCHITECTURES; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
