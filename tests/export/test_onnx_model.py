"""The graph that leaves Keras computes what Keras does, whatever the network is made of."""

import dataclasses

import keras
import numpy as np
import pytest
from builders import tiny_spec

from zoo.config.pixels import PixelSpec
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import ExportError
from zoo.export.onnx.model import to_onnx
from zoo.models.architectures import ARCHITECTURES
from zoo.models.ensemble import Ensemble
from zoo.models.vit import vit
from zoo.models.weights.files import uninitialized

onnxruntime = pytest.importorskip("onnxruntime", reason="runs the graphs: pip install 'xrayslam-zoo[serve]'")
pytest.importorskip("onnx", reason="writes the graphs: pip install 'xrayslam-zoo[serve]'")

LAYERS = keras.layers


def noise(size, n=3):
    return np.random.default_rng(3).integers(0, 256, (n, size, size, 1), dtype=np.uint8)


def run(model, pixels):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [i.name for i in session.get_inputs()] == ["pixels"]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    return session.run(None, {"pixels": pixels})[0]


def lively(spec, seed=0):
    """An ensemble with random weights, batch norms and biases that are not the ones and zeros a network starts with."""
    with uninitialized():
        model = Ensemble.from_spec(spec)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "float" in str(variable.dtype):
            fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else None
            values = (
                rng.uniform(0.7, 1.3, variable.shape) if fan_in is None else rng.normal(0, fan_in**-0.5, variable.shape)
            )
            variable.assign(values.astype("float32"))
    return model


def ensemble_of(body, register, size=24, head="gap"):
    """An ensemble of one member whose backbone is `body`, a function of a tensor."""

    def build(input_shape):
        pixels = keras.Input(input_shape)
        return keras.Model(pixels, body(pixels))

    register(build)
    return lively(EnsembleSpec("one", (MemberSpec("ours", head=head),), size, ("a", "b")))


@pytest.fixture
def register(monkeypatch):
    from zoo.models import architectures

    def add(builder):
        monkeypatch.setitem(ARCHITECTURES, "ours", architectures.Architecture("ours", builder, min_size=8))

    return add


def test_an_ensemble_with_every_head_its_preprocessing_and_its_temperature():
    spec = tiny_spec(3)
    model = lively(spec)
    pixels = noise(spec.image_size, 5)
    expected = np.asarray(model.predict_on_batch(pixels))
    plain = run(to_onnx(model, spec.image_size), pixels)
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain, expected, atol=1e-4)
    np.testing.assert_allclose(run(to_onnx(model, 32, (1.7,)), pixels), expected / 1.7, atol=1e-4)
    each = np.array([0.5, 1.0, 4.0])
    np.testing.assert_allclose(run(to_onnx(model, 32, each), pixels), expected / each, atol=1e-4)


def test_an_ensemble_with_weights_by_finding():
    rows = ((1.0, 0.0, 2.0), (3.0, 0.0, 0.0))
    spec = dataclasses.replace(tiny_spec(2), weighting=rows, untrained=("Edema",))
    model = lively(spec)
    pixels = noise(spec.image_size, 3)
    graph = to_onnx(model, spec.image_size)
    first, second = (member.predict(pixels, verbose=0) for member in model.members)
    got = run(graph, pixels)
    np.testing.assert_allclose(got[:, 0], 0.25 * first[:, 0] + 0.75 * second[:, 0], atol=1e-4)
    np.testing.assert_array_equal(got[:, 1], 0)
    np.testing.assert_allclose(got[:, 2], first[:, 2], atol=1e-4)
    openvino = pytest.importorskip("openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    ran = openvino.Core().compile_model(openvino.Core().read_model(graph.SerializeToString(), b""), "CPU", exact)
    np.testing.assert_allclose(ran({"pixels": pixels})[0], got, atol=1e-4)


def test_the_graph_says_what_it_was_given_and_names_its_nodes_by_the_layers():
    model = to_onnx(lively(tiny_spec(1)), 32, facts={"findings": "a, b"})
    assert {p.key: p.value for p in model.metadata_props} == {"findings": "a, b"}
    assert any(n.name.startswith("tiny-ensemble/tiny0/tiny/tiny/down1_conv/Conv") for n in model.graph.node)


def _stems(x):
    x = LAYERS.Conv2D(8, 5, 2, "same", activation="relu")(x)  # 24 is even: the padding is not
    x = LAYERS.Conv2D(8, 3, 1, "valid", dilation_rate=2)(x)
    x = LAYERS.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)(x)
    return LAYERS.Conv2D(16, 3, 1, "same", groups=4, activation="swish")(x)


def _pools(x):
    x = LAYERS.ZeroPadding2D(((1, 0), (2, 1)))(LAYERS.Conv2D(6, 3)(x))
    a = LAYERS.MaxPooling2D(3, 2, "same")(x)
    b = LAYERS.AveragePooling2D(3, 2, "same")(x)
    return LAYERS.Concatenate()([a, b, LAYERS.MaxPooling2D(2, 2, "same")(x)])


def _squeeze(x):
    x = LAYERS.Conv2D(8, 3, activation="hard_silu")(x)
    gate = LAYERS.GlobalAveragePooling2D(keepdims=True)(x)
    gate = LAYERS.Reshape((1, 1, 8))(LAYERS.Dense(8, "sigmoid")(LAYERS.Flatten()(gate)))
    x = LAYERS.Multiply()([x, gate])
    return x * LAYERS.Conv2D(8, 1, activation="hard_sigmoid")(LAYERS.GlobalMaxPooling2D(keepdims=True)(x))


def _norms(x):
    x = LAYERS.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(x)
    x = LAYERS.LayerNormalization(epsilon=1e-6)(LAYERS.Conv2D(12, 4, 4)(x))
    x = LAYERS.Dense(12, activation="gelu")(x)
    return LAYERS.BatchNormalization(scale=False)(LAYERS.Dropout(0.5)(x))


def _activations(x):
    x = LAYERS.Rescaling(1 / 64, -1.0)(LAYERS.Conv2D(8, 3)(x))
    parts = [LAYERS.Activation(a)(x) for a in ("relu6", "tanh", "softplus", "softmax")]
    parts += [LAYERS.LeakyReLU(0.1)(x), LAYERS.ReLU(2.0)(x), keras.ops.clip(x, -0.5, 0.5), keras.ops.square(x)]
    return LAYERS.Concatenate()([*parts, keras.ops.maximum(x, 0.1) - keras.ops.abs(x) / 2.0])


def _reshaped(x):
    x = LAYERS.Reshape((12, 12, 12))(LAYERS.Conv2D(3, 1)(x))
    return keras.Sequential([LAYERS.Conv2D(6, 3), LAYERS.BatchNormalization(), LAYERS.Activation("relu")])(x)


def _tokens(x):
    x = vit((24, 24, 3), patch=8, width=16, heads=2, trained=4, depth=2, layer_scale=True)(x)
    return LAYERS.Concatenate()(keras.ops.split(x, [3, 8], axis=-1)[:2])


@pytest.mark.parametrize("body", [_stems, _pools, _squeeze, _norms, _activations, _reshaped, _tokens])
def test_layers_of_all_kinds(body, register):
    model = ensemble_of(body, register)
    pixels = noise(24)
    expected = np.asarray(model.predict_on_batch(pixels))
    np.testing.assert_allclose(run(to_onnx(model, 24), pixels), expected, rtol=1e-4, atol=1e-4)


def test_batches_of_any_size(register):
    spec = tiny_spec(1)
    model = lively(spec)
    graph = to_onnx(model, 32)
    for n in (1, 2, 7):
        pixels = noise(32, n)
        np.testing.assert_allclose(run(graph, pixels), model.predict_on_batch(pixels), atol=1e-4)


def test_what_has_no_rule_is_named(register):
    model = ensemble_of(lambda x: keras.ops.sin(x), register)
    with pytest.raises(ExportError, match=r"no rule for keras\.ops' Sin; use runtime='keras'"):
        to_onnx(model, 24)


def test_a_layer_that_is_not_made_of_keras_ops_is_named(register):
    class Foreign(LAYERS.Layer):  # type: ignore[name-defined]
        def call(self, x):
            if isinstance(x, keras.KerasTensor):
                raise TypeError("only tensors of the backend")
            return x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    model = ensemble_of(lambda x: Foreign(name="odd")(x), register)
    with pytest.raises(ExportError, match="odd: Foreign is not made of keras"):
        to_onnx(model, 24)


def test_pixel_values_of_a_member_are_in_the_graph():
    numbers = PixelSpec((10.0, 20.0, 30.0), (40.0, 50.0, 60.0), "bgr")
    spec = EnsembleSpec("one", (MemberSpec("tiny", alias="m", pixels=numbers),), 32, ("a", "b"))
    model, pixels = lively(spec), noise(32, 2)
    plain = lively(dataclasses.replace(spec, members=(MemberSpec("tiny", alias="m"),)))
    expected = np.asarray(model.predict_on_batch(pixels))
    assert np.abs(expected - np.asarray(plain.predict_on_batch(pixels))).max() > 0.01
    np.testing.assert_allclose(run(to_onnx(model, 32), pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [64, 75])
def test_efficientnet_lite_at_even_and_odd_sizes(size):
    spec = EnsembleSpec("one", (MemberSpec("efficientnetlite0", alias="m"),), size, ("a", "b"))
    model, pixels = lively(spec), noise(size, 2)
    expected = np.asarray(model.predict_on_batch(pixels))
    np.testing.assert_allclose(run(to_onnx(model, size), pixels), expected, rtol=1e-4, atol=1e-4)


REAL = [
    "resnet50",
    "efficientnetb3",
    "densenet121",
    "convnexttiny",
    "mobilenetv3large",
    "resnet50_v1_5",
    "vit_small_16",
]


@pytest.mark.real
@pytest.mark.parametrize("backbone", REAL)
def test_real_backbones(backbone):
    spec = EnsembleSpec("one", (MemberSpec(backbone, alias="m"),), 64)
    model = lively(spec)
    pixels = noise(64, 2)
    expected = np.asarray(model.predict_on_batch(pixels))
    np.testing.assert_allclose(run(to_onnx(model, 64), pixels), expected, rtol=1e-4, atol=1e-4)
