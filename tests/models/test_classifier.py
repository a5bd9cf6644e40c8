from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.specs import MemberSpec
from zoo.core.errors import UnknownNameError, WeightsError
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.heads import AttentionHead, GAPHead
from zoo.models.weights.files import named_weights, save_safetensors


def test_from_spec_builds_what_the_spec_says() -> None:
    spec = MemberSpec("tiny", head="attention", dropout=0.2, batch_norm_momentum=0.7, alias="a")
    model = Classifier.from_spec(spec, 32, 5, channels=3)
    assert (model.name, model.input_shape, model.output_shape) == ("a", (None, 32, 32, 3), (None, 5))
    assert isinstance(model.head, AttentionHead)
    assert model.head.rate == 0.2
    assert model.backbone.get_config()["batch_norm_momentum"] == 0.7


def test_starting_weights_are_read_only_at_the_start(fill: Any, tmp_path: Path) -> None:
    path = save_safetensors(fill(Backbone("tiny")), tmp_path / "tiny.safetensors")
    spec = MemberSpec("tiny", weights=str(path))
    kernel = named_weights(fill(Backbone("tiny")))["stem_conv/kernel"]
    started, rebuilt = Classifier.from_spec(spec, 16, 2, start=True), Classifier.from_spec(spec, 16, 2)
    assert np.array_equal(named_weights(started)["backbone/stem_conv/kernel"], kernel)
    assert not np.array_equal(named_weights(rebuilt)["backbone/stem_conv/kernel"], kernel)
    path.unlink()
    Classifier.from_spec(spec, 16, 2)
    with pytest.raises(WeightsError, match=r"no weights file at .*tiny\.safetensors"):
        Classifier.from_spec(spec, 16, 2, start=True)


@pytest.mark.parametrize("spec, kind", [(MemberSpec("tinny"), "backbone"), (MemberSpec("tiny", head="gapp"), "head")])
def test_unknown_names(spec: MemberSpec, kind: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown {kind} .*; did you mean"):
        Classifier.from_spec(spec, 16, 2)


def test_logits_are_float32_under_mixed_precision(policy: Any, pixels: Any) -> None:
    policy("mixed_float16")
    model = Classifier.from_spec(MemberSpec("tiny"), 32, 3)
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert keras.backend.standardize_dtype(model.backbone.output.dtype) == "float16"
    assert model.predict(pixels(), verbose=0).dtype == np.float32


def test_plain_keras_saves_and_loads_it(fill: Any, pixels: Any, tmp_path: Path) -> None:
    model = fill(Classifier(Backbone("tiny", 32), GAPHead(4, dropout=0.1), name="mine"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again, Classifier)
    assert (again.name, again.backbone.get_config()) == ("mine", model.backbone.get_config())
    assert again.head.get_config() == model.head.get_config()
    np.testing.assert_array_equal(again.predict(pixels(), verbose=0), model.predict(pixels(), verbose=0))


def test_it_trains_as_any_keras_model(pixels: Any) -> None:
    model = Classifier.from_spec(MemberSpec("tiny", dropout=0.0, batch_norm_momentum=0.5), None, 2)
    labels = np.eye(2, dtype="float32")[[0, 1, 0, 1]]
    images = pixels(4, 16) // 2
    images[::2] += 120
    model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(images, labels, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.5 * history[0]
