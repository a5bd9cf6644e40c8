import importlib
from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.pixels import NAMED, PixelSpec
from zoo.models.architectures import ARCHITECTURES
from zoo.models.preprocessing import Preprocessing
from zoo.models.weights.files import uninitialized

#: Architectures whose `preprocess_input` does the work, and the module it is in.
OUTSIDE = {
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet50v2": "resnet_v2",
    "densenet121": "densenet",
    "densenet169": "densenet",
    "densenet201": "densenet",
}
#: One of each family whose graph does it, and the first layer behind it.
INSIDE = {
    "efficientnetb0": "stem_conv_pad",
    "efficientnetv2b0": "stem_conv",
    "convnexttiny": "convnext_tiny_stem",
    "mobilenetv3small": "conv",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_equals_the_preprocess_input_of_keras(name: str, pixels: Any) -> None:
    module = importlib.import_module(f"keras.applications.{OUTSIDE[name]}")
    images = pixels(2, 16, 3)
    theirs = module.preprocess_input(images.astype("float32"))
    ours = keras.ops.convert_to_numpy(Preprocessing(ARCHITECTURES[name].preprocessing)(images))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", INSIDE)
def test_equals_the_layers_in_the_graph_of_keras(name: str, pixels: Any, monkeypatch: Any) -> None:
    row = ARCHITECTURES[name]
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **kwargs: "")
    monkeypatch.setattr(keras.Model, "load_weights", lambda *args, **kwargs: None)
    options = {**row.options, "weights": "imagenet"}
    options.pop("include_preprocessing", None)
    with uninitialized():
        full = getattr(keras.applications, str(row.builder).partition(":")[2])(input_shape=(32, 32, 3), **options)
    head = keras.Model(full.input, full.get_layer(INSIDE[name]).input)
    for layer in head.layers:
        if layer.weights:  # EfficientNetV1's Normalization, as the published file fills it: deviation for variance
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
            layer.finalize_state()
    images = pixels(2, 32, 3)
    ours = keras.ops.convert_to_numpy(Preprocessing(row.preprocessing)(images))
    np.testing.assert_allclose(ours, head.predict(images, verbose=0), rtol=1e-5, atol=4e-6)


@pytest.mark.parametrize("mode", NAMED)
def test_grey_is_three_equal_channels(mode: Any, pixels: Any) -> None:
    grey = pixels(2, 8, 1)
    layer = Preprocessing(mode)
    one, three = layer(grey), layer(np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(three))
    assert tuple(one.shape) == layer.compute_output_shape(grey.shape) == (2, 8, 8, 3)


def test_uint8_and_float_pixels_are_the_same(pixels: Any) -> None:
    layer = Preprocessing("torch")
    a, b = layer(pixels()), layer(pixels().astype("float32"))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


def test_half_precision_rounds_once_at_the_end() -> None:
    # 255 neighbouring values at 200.0: cast to half before the arithmetic they would fall on 8 of them.
    images = np.linspace(200, 201, 255, dtype="float32").reshape(1, 15, 17, 1)
    exact = keras.ops.convert_to_numpy(Preprocessing("torch")(images))
    half = Preprocessing("torch", dtype="mixed_float16")(images)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(half), exact.astype("float16"))


def test_config_round_trip() -> None:
    layer = Preprocessing("caffe", name="p")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (again.mode, again.name) == ("caffe", "p")


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of caffe, torch, tf, xrv, lite or a PixelSpec, got 'bgr'"):
        Preprocessing("bgr")  # type: ignore[arg-type]


#: Scale and offset as releases made before the contracts were numbers computed them, from pixels divided by 255.
FORMER = {
    "caffe": (np.ones(3), -np.array([103.939, 116.779, 123.68])),
    "torch": (1 / (255 * np.array([0.229, 0.224, 0.225])), -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    "tf": (np.full(3, 1 / 127.5), np.full(3, -1.0)),
}


@pytest.mark.parametrize("mode", FORMER)
def test_older_releases_get_the_same_bits(mode: str) -> None:
    pixels = np.repeat(np.arange(256, dtype="float32").reshape(1, 16, 16, 1), 3, axis=-1)
    scale, offset = (part.astype("float32") for part in FORMER[mode])
    layer = Preprocessing(mode)
    np.testing.assert_array_equal(layer._scale, scale)
    np.testing.assert_array_equal(layer._offset, offset)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(pixels)), pixels * scale + offset, rtol=1e-6, atol=1e-6)


def test_xrv_equals_the_formula_of_torchxrayvision() -> None:
    pixels = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    values = keras.ops.convert_to_numpy(Preprocessing("xrv")(pixels))
    np.testing.assert_allclose(values, np.repeat((2 * pixels / 255 - 1) * 1024, 3, axis=-1), atol=2e-4)


def test_numbers_of_its_own_and_their_configuration() -> None:
    spec = PixelSpec((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "bgr")
    layer = Preprocessing(spec)
    red_first = np.array([30.0, 20.0, 10.0], "float32").reshape(1, 1, 1, 3)
    values = keras.ops.convert_to_numpy(layer(red_first)).ravel()
    np.testing.assert_allclose(values, [(10 - 1) / 4, (20 - 2) / 5, (30 - 3) / 6], rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.pixels == again.mode == spec
