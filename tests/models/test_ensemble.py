import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.config.weighting import Weights
from zoo.core.errors import UnknownNameError
from zoo.models.ensemble import Ensemble, WeightedMean
from zoo.models.weights.files import load_safetensors, save_safetensors

HEADS = ("gap", "gem", "attention")
BACKEND = keras.backend.backend()


def spec(weights: Weights = (), heads: Sequence[str] = HEADS) -> EnsembleSpec:
    members = tuple(MemberSpec("tiny", head=head, alias=f"{head}-member") for head in heads)
    return EnsembleSpec("three", members, 32, ("Edema", "Fracture"), tuple(weights))


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 5.0), (0.0, 0.0, 3.0)])
def test_logits_are_the_weighted_mean_of_the_members(weights: Sequence[float], fill: Any, pixels: Any) -> None:
    model = fill(Ensemble.from_spec(spec(weights)))
    logits = model.predict(pixels(), verbose=0)
    members = [member.predict(pixels(), verbose=0) for member in model.members]
    np.testing.assert_allclose(logits, np.average(members, axis=0, weights=weights or None), atol=1e-5)
    assert logits.dtype == np.float32
    assert logits.shape == (4, 2)


def test_weights_by_finding_are_a_mean_of_their_own_for_each_finding(fill: Any, pixels: Any, tmp_path: Path) -> None:
    """Hand-made: the first finding is 1/4 of one member and 3/4 of another, the second that of the last alone."""
    rows = ((1.0, 0.0), (3.0, 0.0), (0.0, 2.0))
    model = fill(Ensemble.from_spec(spec(rows)))
    a, b, c = (member.predict(pixels(), verbose=0) for member in model.members)
    logits = model.predict(pixels(), verbose=0)
    np.testing.assert_allclose(logits[:, 0], 0.25 * a[:, 0] + 0.75 * b[:, 0], atol=1e-5)
    np.testing.assert_allclose(logits[:, 1], c[:, 1], atol=1e-5)
    again = Ensemble.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.get_layer("logits").weighting == rows


def test_it_is_one_functional_model_on_one_image() -> None:
    model = Ensemble.from_spec(spec())
    assert (model.name, model.input_shape, model.output_shape) == ("three", (None, 32, 32, 1), (None, 2))
    assert len({id(v) for v in model.weights}) == len(model.weights) == 2 * 22 + 23
    assert model.member("gem-member") is model.members[1]
    with pytest.raises(UnknownNameError, match="did you mean 'gem-member'"):
        model.member("gem-membr")


def test_the_mean_is_float32_under_mixed_precision(policy: Any) -> None:
    policy("mixed_float16")
    assert keras.backend.standardize_dtype(Ensemble.from_spec(spec()).output.dtype) == "float32"


def test_freezing_goes_to_each_member() -> None:
    model = Ensemble.from_spec(spec())
    assert {name: top.layers for name, top in model.freeze_backbone().items()} == dict.fromkeys(
        [f"{head}-member" for head in HEADS], 0
    )
    assert len(model.trainable_weights) == 7  # 2 + 3 + 2 in the heads
    assert [top.with_weights for top in model.unfreeze_top(4).values()] == [2, 2, 2]
    assert len(model.trainable_weights) == 7 + 3  # a kernel each; batch norms stay frozen
    assert {top.share for top in model.unfreeze_all().values()} == {1.0}
    model.trainable = False
    model.unfreeze_all(batch_norm=False)
    assert len(model.trainable_weights) == 7 + 3 * 4


def test_plain_keras_saves_and_loads_it(fill: Any, pixels: Any, tmp_path: Path) -> None:
    model = fill(Ensemble.from_spec(spec((1.0, 2.0, 3.0))))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again, Ensemble)
    assert [member.name for member in again.members] == [member.name for member in model.members]
    assert again.get_config()["weights"] == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(again.predict(pixels(), verbose=0), model.predict(pixels(), verbose=0))


def test_it_fits(pixels: Any) -> None:
    model = Ensemble.from_spec(spec(heads=("gap", "gem")))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(pixels(8), np.zeros((8, 2), "float32"), batch_size=4, epochs=4, verbose=0, shuffle=False)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_ensembles_that_cannot_be() -> None:
    one, two = Ensemble.from_spec(spec()).members[:2]
    with pytest.raises(ValueError, match="one or more members with different names, got \\[\\]"):
        Ensemble([])
    with pytest.raises(ValueError, match="with different names, got \\['gap-member', 'gap-member'\\]"):
        Ensemble([one, one])
    with pytest.raises(ValueError, match="3 weights for 2 members"):
        Ensemble([one, two], [1, 2, 3])
    with pytest.raises(ValueError, match="numbers >= 0, not all 0, got \\[0, 0\\]"):
        Ensemble([one, two], [0, 0])
    other = Ensemble.from_spec(EnsembleSpec("e", (MemberSpec("tiny"),), 48, ("Edema", "Fracture"))).members[0]
    with pytest.raises(ValueError, match=r"members differ in input_shape: .*48"):
        Ensemble([one, other])
    with pytest.raises(ValueError, match="1 weights for 2 inputs"):
        WeightedMean([1.0])([np.zeros((1, 1)), np.zeros((1, 1))])


WRITER = """
import sys, numpy as np, zoo, keras
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import load_safetensors, save_safetensors
members = tuple(MemberSpec("tiny", head=head, alias=f"{head}-member") for head in ("gap", "gem", "attention"))
keras.layers.Conv2D(1, 1).build((1, 1, 1, 1))   # automatic names start elsewhere than in the reader
model = Ensemble.from_spec(EnsembleSpec("three", members, 32, ("Edema", "Fracture")))
folder = sys.argv[1]
load_safetensors(model, f"{folder}/start.safetensors")
np.save(f"{folder}/logits.npy", model.predict(np.load(f"{folder}/pixels.npy"), verbose=0))
model.save_weights(f"{folder}/model.weights.h5")
save_safetensors(model, f"{folder}/model.safetensors")
print(keras.backend.backend())
"""


def test_weights_go_over_to_the_other_backend_and_back(fill: Any, pixels: Any, tmp_path: Path) -> None:
    other = "jax" if BACKEND == "tensorflow" else "tensorflow"
    if find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    model = fill(Ensemble.from_spec(spec()), logit_scale=6.0)
    save_safetensors(model, tmp_path / "start.safetensors")
    np.save(tmp_path / "pixels.npy", pixels(16))
    environment = {**os.environ, "KERAS_BACKEND": other}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == other

    logits = np.load(tmp_path / "logits.npy")
    assert logits.std() >= 1
    for read in (lambda m: m.load_weights(tmp_path / "model.weights.h5"),
                 lambda m: load_safetensors(m, tmp_path / "model.safetensors")):  # fmt: skip
        fresh = Ensemble.from_spec(spec())
        read(fresh)
        np.testing.assert_allclose(fresh.predict(pixels(16), verbose=0), logits, atol=1e-5)
