"""The depthwise convolution that is quick on JAX for a CPU computes what Keras' own does, and so do its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.core import backend
from zoo.models import convolutions
from zoo.models.backbones import Backbone, leaf_layers
from zoo.models.weights.files import uninitialized

OPTIONS = {
    "same": {"padding": "same"},
    "stride 2": {"padding": "same", "strides": 2},
    "valid": {"padding": "valid", "strides": 2},
    "activation": {"padding": "same", "activation": "relu", "use_bias": False},
    "dilated": {"padding": "same", "dilation_rate": 2},
    "two a channel": {"padding": "same", "depth_multiplier": 2},
}


def pair(kernel, options, size):
    """Keras' layer and ours, with the same weights."""
    layers = [keras.layers.DepthwiseConv2D(kernel, **options) for _ in range(2)]
    for layer in layers:
        layer.build((None, *size, 6))
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 1, w.shape) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    convolutions.quicken(layers[1])
    assert type(layers[1]) is convolutions.DepthwiseConv2D
    return layers


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("kernel", [3, 5, (1, 7)])
@pytest.mark.parametrize("size", [(14, 14), (15, 12), (9, 9)])
def test_equals_keras_own(kernel, options, size):
    theirs, ours = pair(kernel, options, size)
    images = np.random.default_rng(1).normal(0, 1, (2, *size, 6)).astype("float32")
    expected = ops.convert_to_numpy(theirs(images))
    np.testing.assert_allclose(ops.convert_to_numpy(ours(images)), expected, rtol=1e-5, atol=1e-5)
    assert ours.get_config() == {**theirs.get_config(), "name": ours.name}


@pytest.mark.jax_only
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_so_do_its_gradients(options):
    import jax

    theirs, ours = pair(3, options, (11, 8))
    images = np.random.default_rng(1).normal(0, 1, (2, 11, 8, 6)).astype("float32")

    def gradients(layer):
        def loss(weights, images):
            return ops.sum(ops.square(layer.stateless_call(weights, [], images)[0]))

        return jax.grad(loss, (0, 1))([v.value for v in layer.trainable_variables], images)

    for expected, got in zip(jax.tree.leaves(gradients(theirs)), jax.tree.leaves(gradients(ours)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.jax_only
def test_on_a_cpu_it_takes_no_grouped_convolution_and_elsewhere_it_does(monkeypatch):
    import jax

    _, ours = pair(3, OPTIONS["same"], (8, 8))

    def program():
        images = np.zeros((1, 8, 8, 6), "float32")
        return str(jax.make_jaxpr(lambda x: ours.stateless_call([v.value for v in ours.weights], [], x)[0])(images))

    assert "conv_general_dilated" not in program()
    monkeypatch.setattr(backend, "is_jax_on_cpu", lambda: False)
    assert "conv_general_dilated" in program()


def test_a_backbone_has_it_and_names_and_order_stay():
    options = {"input_shape": (32, 32, 3), "include_top": False, "weights": None, "include_preprocessing": False}
    with uninitialized():
        theirs = keras.applications.MobileNetV3Small(**options)
        ours = Backbone("mobilenetv3small", image_size=32).network
    kinds = [type(layer) for layer in leaf_layers(ours)]
    assert convolutions.DepthwiseConv2D in kinds
    assert keras.layers.DepthwiseConv2D not in kinds

    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, w.shape) for w in theirs.weights]
    depthwise = [layer.name for layer in ours.layers if type(layer) is convolutions.DepthwiseConv2D]
    assert depthwise == [layer.name for layer in theirs.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]


def test_a_saved_model_is_read_again(tmp_path):
    images = keras.Input((8, 8, 3))
    layer = keras.layers.DepthwiseConv2D(3)
    model = keras.Model(images, layer(images))
    convolutions.quicken(layer)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    films = np.random.default_rng(0).normal(0, 1, (1, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(again(films)), ops.convert_to_numpy(model(films)))
