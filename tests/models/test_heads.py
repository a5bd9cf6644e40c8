from typing import Any

import keras
import numpy as np
import pytest

from zoo.core.errors import UnknownNameError
from zoo.models import heads
from zoo.models.heads import AttentionHead, GAPHead, GeMHead, build_head, register_head


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).normal(1.0, 1.0, (3, 4, 5, 6)).astype("float32")


def _weights(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    return {v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in layer.weights}


def test_gap_is_the_linear_map_of_the_mean(features: np.ndarray) -> None:
    head = GAPHead(14)
    logits = keras.ops.convert_to_numpy(head(features))
    w = _weights(head)
    np.testing.assert_allclose(logits, features.mean((1, 2)) @ w["kernel"] + w["bias"], atol=1e-5)


@pytest.mark.parametrize("p, clipped", [(3.0, 3.0), (0.2, 1.0), (50.0, 8.0)])
def test_gem_is_the_generalised_mean(features: np.ndarray, p: float, clipped: float) -> None:
    head = GeMHead(2)
    head.build(features.shape)
    head.p.assign(p)
    logits = keras.ops.convert_to_numpy(head(features))
    powers = np.maximum(features.astype("float64"), 1e-6) ** clipped
    w = _weights(head)
    np.testing.assert_allclose(logits, powers.mean((1, 2)) ** (1 / clipped) @ w["kernel"] + w["bias"], rtol=1e-4)


def test_gem_trains_its_p(features: np.ndarray) -> None:
    model = keras.Sequential([keras.Input(features.shape[1:]), GeMHead(2, dropout=0.0)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(features, np.ones((3, 2)), verbose=0)
    p = float(keras.ops.convert_to_numpy(model.layers[-1].p))
    assert np.isfinite(p)
    assert p != 3.0


@pytest.mark.parametrize("temperatures", [(1.0,), (None,), (1.0, 4.0, None)])
def test_attention_is_the_papers_formula(features: np.ndarray, temperatures: Any) -> None:
    head = AttentionHead(2, temperatures=temperatures, residual=0.4)
    logits = keras.ops.convert_to_numpy(head(features))
    places = features.reshape(3, 20, 6).astype("float64")
    expected = np.zeros((3, 2)) + _weights(head)["bias"]
    for branch, temperature in enumerate(temperatures):
        s = places @ _weights(head)["kernel"][:, 2 * branch : 2 * branch + 2]
        if temperature is None:
            attended = s.max(1)
        else:
            weight = np.exp(temperature * s)
            attended = (weight * s).sum(1) / weight.sum(1)
        expected = expected + s.mean(1) + 0.4 * attended
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_attention_drops_the_same_features_at_all_places() -> None:
    head = AttentionHead(1, dropout=0.5)
    head.build((None, 3, 3, 64))
    dropped = keras.ops.convert_to_numpy(head.drop(np.ones((1, 3, 3, 64), "float32"), training=True))
    assert 0 < (dropped == 0).mean() < 1
    assert (dropped == dropped[:, :1, :1]).all()


@pytest.mark.parametrize("name", ["gap", "gem", "attention", "norm"])
def test_contract_of_every_head(name: str, features: np.ndarray, policy: Any) -> None:
    policy("mixed_float16")
    head = build_head(name, 5, 0.25)
    inputs = keras.Input((None, None, 6), dtype="float16")
    model = keras.Model(inputs, head(inputs))
    assert model.output_shape == (None, 5)
    logits = head(features.astype("float16"))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert {v.dtype for v in head.weights} == {"float32"}
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert again.get_config() == head.get_config()
    assert (again.findings, again.rate) == (5, 0.25)


def test_half_precision_features_are_summed_in_float32() -> None:
    # The sum of 64 x 64 times 100 is 409600: infinite in float16.
    logits = keras.ops.convert_to_numpy(GAPHead(1)(np.full((1, 64, 64, 2), 100.0, "float16")))
    assert np.isfinite(logits).all()


def test_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEADS", dict(heads.HEADS))
    register_head("sharp", lambda findings, dropout: AttentionHead(findings, dropout, temperatures=(9.0,)))
    assert build_head("sharp", 3).temperatures == (9.0,)
    with pytest.raises(ValueError, match="'sharp' is registered already"):
        register_head("sharp", GAPHead)
    register_head("sharp", GAPHead, replace=True)
    with pytest.raises(TypeError, match="must be a class or function, got 'gap'"):
        register_head("other", "gap")  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    with pytest.raises(UnknownNameError, match="unknown head 'atention'; did you mean 'attention'"):
        build_head("atention", 3)
    with pytest.raises(ValueError, match="findings must be 1 or more, got 0"):
        GAPHead(0)
    with pytest.raises(ValueError, match="temperatures must be numbers > 0 or None"):
        AttentionHead(3, temperatures=(0.0,))


def test_attention_works_where_the_batch_size_is_not_known():
    """Batches of several sizes make TensorFlow build its graph for any size."""

    inputs = keras.Input((4, 5, 6))
    model = keras.Model(inputs, AttentionHead(3, temperatures=(1.0, None))(inputs))
    features = np.random.default_rng(0).normal(size=(7, 4, 5, 6)).astype(np.float32)
    whole = np.asarray(model.predict(features, verbose=0))
    for n in (1, 2, 3, 5):
        np.testing.assert_allclose(model.predict(features[:n], verbose=0), whole[:n], atol=1e-5)
