"""The three large backbones of the main ensemble: forward, saved, loaded, on every backend."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import load_safetensors, named_weights, save_safetensors, uninitialized

SPEC = EnsembleSpec(
    "three", tuple(MemberSpec(name) for name in ("resnet50", "efficientnetb3", "densenet121")), image_size=64
)
#: Logits of each member and of the ensemble for `images` with the weights of `fill`, written by TensorFlow.
GOLDEN = Path(__file__).with_name("golden_logits.json")


@pytest.fixture(scope="module")
def model(fill: Any) -> Ensemble:
    with uninitialized():
        model = Ensemble.from_spec(SPEC)
    # Such that signals neither die nor burst on their way, and logits spread by more than 1.
    for member, gain, scale in zip(model.members, (0.5, 2.8, 1.0), (0.8, 0.15, 6.0), strict=True):
        fill(member, gain, scale)
    return model


@pytest.fixture
def images(pixels: Any) -> np.ndarray:
    """Of different brightness, since networks with such weights tell noise from noise badly."""
    return (pixels(4, 64) * np.linspace(0.25, 1, 4)[:, None, None, None]).astype("uint8")


def assert_same_weights(a: Ensemble, b: Ensemble) -> None:
    theirs = named_weights(b)
    for name, variable in named_weights(a).items():
        ours, expected = (keras.ops.convert_to_numpy(v) for v in (variable, theirs[name]))
        np.testing.assert_array_equal(ours, expected, err_msg=name)


@pytest.mark.real
def test_saved_and_loaded_they_give_the_golden_logits(model: Ensemble, images: np.ndarray, tmp_path: Path) -> None:
    save_safetensors(model, tmp_path / "model.safetensors")
    model.save_weights(tmp_path / "model.weights.h5")
    with uninitialized():
        again = Ensemble.from_spec(SPEC)
    again.load_weights(tmp_path / "model.weights.h5")
    assert_same_weights(again, model)
    for variable in again.weights:
        variable.assign(np.zeros(variable.shape))
    load_safetensors(again, tmp_path / "model.safetensors")
    assert_same_weights(again, model)

    # All outputs of one graph, which JAX compiles once; TensorFlow runs it sooner than it traces it.
    outputs = keras.Model(again.input, {m.name: m(again.input) for m in again.members} | {"mean": again.output})
    outputs.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    logits = outputs.predict(images, verbose=0)
    golden = {name: np.array(rows, "float32") for name, rows in json.loads(GOLDEN.read_text()).items()}
    assert logits.keys() == golden.keys()
    for name, expected in golden.items():
        assert expected.std() >= 1
        np.testing.assert_allclose(logits[name], expected, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(golden["mean"], np.mean([golden[m.name] for m in again.members], axis=0), atol=1e-5)
