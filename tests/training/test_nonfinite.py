"""What is not finite: named with step, member and finding, never saved, and followed by half the learning rate."""

import dataclasses
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from builders import FINDINGS3, tiny_spec
from small_run import digest, make_recipe, make_table, split_of
from told import Told

from zoo.core.errors import TrainingError
from zoo.models.ensemble import Ensemble

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

import tensorflow as tf

from zoo.training import fitting
from zoo.training.callbacks import StepCallback
from zoo.training.checkpoint import Checkpoints
from zoo.training.examples import Examples
from zoo.training.jobs import Position
from zoo.training.losses import WeightedBCE
from zoo.training.nonfinite import MOST_SKIPPED, NotFinite, cause_of, first_bad, slowed
from zoo.training.recipe import Stage
from zoo.training.stages import train

STAGE = Stage("stage1", epochs=2, batch_size=12, learning_rate=4e-3, schedule="constant")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("images"))


@pytest.fixture
def poisoned(monkeypatch):
    """Makes a label of Edema infinite in the third batch of the second epoch, as often as the number in it says."""
    left, original = [0], Examples.batches

    def batches(self, stage, seed, epoch, start):
        found = original(self, stage, seed, epoch, start)
        if epoch != 1 or not left[0]:
            return found
        left[0] -= 1
        bad = tf.constant([[0.0, np.inf, 0.0]] + 11 * [[0.0, 0.0, 0.0]])
        return found.enumerate(start).map(lambda i, b: (b[0], b[1] + bad if i == 2 else b[1]))

    monkeypatch.setattr(Examples, "batches", batches)
    return left


def test_the_stage_goes_back_to_the_epochs_start_with_half_the_rate_and_then_stops(
    table, tmp_path, poisoned, monkeypatch
):
    recipe = make_recipe(stages=(dataclasses.replace(STAGE, back_offs=1),), checkpoint_minutes=1e-9)
    split, run, told = split_of(table, recipe), tmp_path / "backs", Told()
    poisoned[0] = 4  # the epoch, the search for the cause, and both once more
    named = r"stage1, epoch 2, step 3 of 3: NaN or infinite: the loss of Edema \(-?(inf|nan)\)"
    with pytest.raises(TrainingError, match=rf"^{named} after 1 of 1 back-offs\. The last checkpoint is kept"):
        train(recipe, table, split, run, progress=told)
    again = r"Epoch 2 is repeated from its start with a learning rate of 0\.002 \(back-off 1 of 1\)"
    assert [m for m in told.messages if re.fullmatch(rf"{named}\. {again}", m)]
    kept = Checkpoints(run / "checkpoint").load()
    assert (kept.state["position"]["epoch"], kept.state["position"]["step"]) == (1, 2), "the last good state"
    assert first_bad(kept.arrays) == ""
    ended = train(recipe, table, split, run)
    assert [row["learning_rate"] for row in ended.history] == pytest.approx([4e-3, 2e-3])

    def epoch(self, original=fitting._Fitting.epoch):
        self.model.optimizer.learning_rate = 4e-3 / (1 + self.position.epoch)
        return original(self)

    monkeypatch.setattr(fitting._Fitting, "epoch", epoch)
    train(recipe, table, split, tmp_path / "whole")
    assert digest(run) == digest(tmp_path / "whole"), "to the last bit"


def compiled(loss, lr=1e-3):
    model = Ensemble.from_spec(tiny_spec(members=2, image_size=16))
    model.compile(keras.optimizers.AdamW(lr, clipnorm=1.0), loss, jit_compile=False, run_eagerly=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 1), dtype=np.uint8)
    return model, [(batch, np.float32([[1, 0, np.nan]] * 4)) for batch in images]


class BadGradient(keras.losses.Loss):
    """Finite, with a gradient that is not: the root of 0."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.sqrt(y_pred * 0), axis=-1)


@pytest.mark.tensorflow_only  # the same code on JAX, where each operation is compiled: the test above runs it there
def test_the_cause_is_named_by_step_quantity_member_and_finding():
    model, batches = compiled(WeightedBCE())
    assert cause_of(model, WeightedBCE(), FINDINGS3, batches[:1], 4) is None
    batches[1][1][2, 0] = np.inf
    cause = cause_of(model, WeightedBCE(), FINDINGS3, batches[1:], 5)
    assert cause.step == 6
    assert cause.what.startswith("the loss of Atelectasis (")
    second = model.members[1].head.trainable_variables[0]
    second.assign(np.full(second.shape, np.nan))
    cause = cause_of(model, WeightedBCE(), FINDINGS3, batches[2:], 7)
    assert (cause.step, cause.what) == (8, "member tiny1: logits")
    model, batches = compiled(BadGradient())
    cause = cause_of(model, BadGradient(), FINDINGS3, batches, 0)
    assert cause.step == 1
    assert cause.what.startswith("members tiny0, tiny1: gradient of ")


def scaled_fit(bad_steps, n=6):
    """Fits under loss scaling, with infinite images at some steps; the callback, the model and the losses without."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, "mse", auto_scale_loss=False, jit_compile=False, run_eagerly=True)
    x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    x[list(bad_steps)] = np.inf
    callback = StepCallback(0, [], lambda *_: None, lambda: "", lambda *_: None)
    model.fit(x, np.zeros((n, 1), np.float32), batch_size=1, shuffle=False, verbose=0, callbacks=[callback])
    good = [float(np.sum(row)) ** 2 for row in x if np.isfinite(row).all()]
    return model, good


def test_a_step_that_loss_scaling_skips_is_counted_and_not_called_nan():
    model, good = scaled_fit((1, 4))
    assert float(model.get_metrics_result()["loss"]) == pytest.approx(np.mean(good), rel=1e-6)
    from zoo.training.optimizers import skipped_steps

    assert skipped_steps(model.optimizer, 6) == 2
    with pytest.raises(NotFinite, match=rf"step {MOST_SKIPPED + 1}: the gradient of {MOST_SKIPPED + 1} steps in a row"):
        scaled_fit(range(MOST_SKIPPED + 1), MOST_SKIPPED + 1)


def test_what_is_not_finite_is_never_saved():
    model, _ = scaled_fit(())
    saved = []
    here = SimpleNamespace(
        model=model, position=Position(begun=True, step=2), around=SimpleNamespace(save=saved.append), _saved_at=0.0
    )
    fitting._Fitting.save(here)
    assert len(saved) == 1
    model.optimizer.inner_optimizer.learning_rate = np.inf
    with pytest.raises(NotFinite, match="step 2: a weight or a variable of the optimizer is NaN or infinite"):
        fitting._Fitting.save(here)
    assert len(saved) == 1


def test_a_pinned_checkpoint_stays_until_the_next_pinned_one(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for i, pin in enumerate((True, False, False, False, True, False, False)):
        checkpoints.save({"a": np.full(2, i)}, {"i": i}, pin=pin)
    assert checkpoints.load().state == {"i": 6}
    assert checkpoints.pinned().state == {"i": 4}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000005", "00000006", "00000007"]
    (tmp_path / "00000005" / "state.json").write_text("{}")
    with pytest.warns(UserWarning, match="00000005: damaged"):
        assert checkpoints.pinned() is None


def test_a_slowed_stage_keeps_a_lower_end_below_its_rate():
    stage = slowed(dataclasses.replace(STAGE, min_learning_rate=3e-3), 2)
    assert (stage.learning_rate, stage.min_learning_rate) == (1e-3, 1e-3)
