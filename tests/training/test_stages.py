import dataclasses
import os
import shutil
import signal
from itertools import count

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
from small_run import FINDINGS, digest, make_recipe, make_table, split_of

from zoo.core.errors import (
    CheckpointError,
    RecipeError,
    SplitError,
    TableError,
    TrainingError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from zoo.core.progress import Silent
from zoo.data.identity import DataIdentity
from zoo.data.tables.reading import labels_of
from zoo.evaluation.metrics import roc_auc
from zoo.models.ensemble import Ensemble

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.training import fitting, resuming, stages
from zoo.training.jobs import plan
from zoo.training.recipe import LossSpec, Stage
from zoo.training.stages import train

STAGE = Stage("stage1", epochs=3, batch_size=12, learning_rate=3e-3)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def short():
    return make_recipe(stages=(dataclasses.replace(STAGE, epochs=1),))


@pytest.fixture(scope="module")
def whole(table, short, tmp_path_factory):
    """The result of a short run that nothing stopped."""
    return train(short, table, split_of(table, short), tmp_path_factory.mktemp("runs") / "whole")


def validation_auc(recipe, table, weights):
    """Of a weights file, measured from outside."""
    model = Ensemble.from_spec(recipe.ensemble)
    model.load_weights(weights)
    rows = split_of(table, recipe).rows("validation")
    images = np.stack([np.asarray(keras.utils.load_img(p, "grayscale"))[..., None] for p in table["Image_path"][rows]])
    labels = labels_of(table, FINDINGS)[rows]
    return float(np.nanmean(roc_auc(labels, model.predict(images, verbose=0))))


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"backbone": "tini"}, UnknownNameError, "unknown backbone 'tini'"),
        ({"head": "gpa"}, UnknownNameError, "unknown head 'gpa'"),
        ({"weights": "gone.weights.h5"}, WeightsError, "no weights file at gone"),
        ({"weights": "imagenet"}, WeightsError, "no published ImageNet weights"),
        ({"backbone": "resnet50"}, RecipeError, "'tiny1': backbone 'resnet50' takes images of 32 pixels or more"),
        ({"backbone": "resnet50", "drop_path": 0.1}, UsageError, "has no stochastic depth"),
    ],
)
def test_a_member_that_cannot_be_built_is_refused_before_another_is_trained(table, tmp_path, changes, kind, message):
    recipe = dataclasses.replace(make_recipe(members=2), members="separate")
    first, second = recipe.ensemble.members
    members = (first, dataclasses.replace(second, **changes))
    recipe = dataclasses.replace(recipe, ensemble=dataclasses.replace(recipe.ensemble, members=members))
    with pytest.raises(kind, match=message):
        train(recipe, table, split_of(table, recipe), tmp_path)
    assert not (tmp_path / "recipe.json").exists()


class Recorder(Silent):
    def __init__(self):
        self.jobs, self.steps, self.epochs, self.messages = [], [], [], []

    def on_job(self, *job):
        self.jobs.append(job)

    def on_step(self, *step):
        self.steps.append(step)

    def on_epoch(self, *epoch):
        self.epochs.append(epoch)

    def message(self, text):
        self.messages.append(text)


def test_two_stages_with_average_leave_what_they_promise(table, tmp_path):
    recipe, progress = make_recipe(), Recorder()
    result = train(recipe, table, split_of(table, recipe), tmp_path, progress=progress)
    assert result.stopped == ""
    assert result.untrained == ()
    assert result.weights == tmp_path / "stage2.weights.h5"
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {"recipe.json", "split.json", "label_weights.json", "history.csv", "checkpoint", "logs"}
    assert names >= {"stage1.weights.h5", "stage2.weights.h5", "last.weights.h5"}
    assert not [n for n in names if n.endswith(".part")]
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history["epoch"]) == [1, 2, 1, 2]
    for stage, file in (("stage1", "stage1.weights.h5"), ("stage2", "stage2.weights.h5")):
        best = history[history["stage"] == stage]["val_auc"].max()
        assert validation_auc(recipe, table, tmp_path / file) == pytest.approx(best, abs=1e-9)
    assert [job[0] for job in progress.jobs] == ["stage1", "stage2"]
    assert [epoch[1] for epoch in progress.epochs] == [0, 1, 0, 1]
    assert progress.steps
    assert any("6 layers unfrozen" in message for message in progress.messages)


def test_one_seed_gives_one_result_and_another_seed_another(table, short, whole, tmp_path):
    train(short, table, split_of(table, short), tmp_path / "again")
    assert digest(whole.run_dir) == digest(tmp_path / "again")
    train(dataclasses.replace(short, seed=8), table, split_of(table, short), tmp_path / "other")
    assert digest(whole.run_dir)["weights"] != digest(tmp_path / "other")["weights"]


def test_a_finished_run_is_left_alone(table, short, whole):
    before = whole.weights.stat().st_mtime_ns
    progress = Recorder()
    again = train(short, table, split_of(table, short), whole.run_dir, progress=progress)
    assert again == whole
    assert whole.weights.stat().st_mtime_ns == before
    assert progress.jobs == []


def test_the_digest_that_these_tests_compare_sees_a_single_bit(whole, tmp_path):
    copy = shutil.copytree(whole.run_dir, tmp_path / "copy")
    assert digest(copy) == digest(whole.run_dir)
    with h5py.File(copy / whole.weights.name, "r+") as file:
        name = next(n for n in _datasets(file) if file[n].ndim == 4)
        bits = file[name][()].view(np.uint32)
        bits[0, 0, 0, 0] ^= 1
        file[name][...] = bits.view(np.float32)
    assert digest(copy)["weights"] != digest(whole.run_dir)["weights"]


def _datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def test_best_weights_are_a_copy_of_the_best_epoch_not_of_the_last(table, tmp_path, monkeypatch):
    """Weights kept by reference would be the last ones."""
    aucs, snapshots = iter([0.6, 0.9, 0.7]), []

    def validate(model, *_):
        snapshots.append([np.array(w) for w in model.get_weights()])
        return {"val_loss": 1.0, "val_auc": next(aucs)}

    monkeypatch.setattr(fitting, "validate", validate)
    recipe = make_recipe(stages=(dataclasses.replace(STAGE, last_weights="last.weights.h5"),))
    result = train(recipe, table, split_of(table, recipe), tmp_path)
    assert [row["best"] for row in result.history] == [0.6, 0.9, 0.9]
    model = Ensemble.from_spec(recipe.ensemble)
    for file, epoch in (("stage1.weights.h5", 1), ("last.weights.h5", 2)):
        model.load_weights(tmp_path / file)
        for a, b in zip(model.get_weights(), snapshots[epoch], strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(snapshots[1], snapshots[2], strict=True))


@pytest.mark.once_on_jax
def test_early_stopping_and_plateau_remember_across_a_restart(table, tmp_path, monkeypatch):
    """Keras' BackupAndRestore forgets `wait`: a run stopped in between would train longer."""
    values, epochs = [0.9, 0.8, 0.7, 0.6, 0.5], count()

    def validate(*_):
        epoch = next(epochs)
        if interrupt and epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"val_loss": 1.0 + epoch, "val_auc": values[epoch]}

    monkeypatch.setattr(fitting, "validate", validate)
    recipe = make_recipe(stages=(dataclasses.replace(STAGE, epochs=5, reduce_lr_patience=2),))
    split, interrupt = split_of(table, recipe), False
    whole = train(recipe, table, split, tmp_path / "whole")
    assert len(whole.history) == 4
    rates = [row["learning_rate"] for row in whole.history]
    np.testing.assert_allclose(rates, [3e-3, 3e-3, 3e-3, 1.5e-3], rtol=1e-6)
    interrupt, epochs = True, count()
    first = train(recipe, table, split, tmp_path / "parts")
    assert (first.stopped, len(first.history)) == ("SIGTERM", 2)
    interrupt = False
    assert len(train(recipe, table, split, tmp_path / "parts").history) == 4
    assert digest(tmp_path / "whole") == digest(tmp_path / "parts")


class Terminator(Silent):
    """Sends SIGTERM before the first step, so that exactly one is done."""

    def on_job(self, title, epochs, steps):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_stopped_after_each_step_ends_like_one_that_never_was(table, short, whole, tmp_path):
    split = split_of(table, short)
    for _ in range(2):
        assert train(short, table, split, tmp_path, progress=Terminator()).stopped == "SIGTERM"
    newest = max((tmp_path / "checkpoint").iterdir()) / "variables.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged .* going back to the previous one"):
        train(short, table, split, tmp_path, progress=Terminator())
    assert train(short, table, split, tmp_path, progress=Terminator()).stopped == "SIGTERM"
    progress = Recorder()
    last = train(short, table, split, tmp_path, progress=progress)
    assert progress.messages == ["resuming after 0 epochs and 3 steps"]
    assert digest(whole.run_dir) == digest(tmp_path)
    assert last.history[0]["loss"] == whole.history[0]["loss"], "the mean over the whole epoch, not its last part"


def test_max_hours_stops_cleanly(table, tmp_path):
    recipe = make_recipe(stages=(STAGE,))
    result = train(recipe, table, split_of(table, recipe), tmp_path, max_hours=1e-9)
    assert (result.stopped, result.history) == ("max_hours", ())
    with pytest.raises(ValueError, match="max_hours must be above 0"):
        train(recipe, table, split_of(table, recipe), tmp_path, max_hours=0)


@pytest.mark.parametrize("trains", [False, True])
def test_batch_norm_statistics_move_in_fine_tuning_only_when_asked(table, short, tmp_path, trains):
    layers = len(Ensemble.from_spec(short.ensemble).members[0].backbone.network.layers)
    tuning = Stage("stage2", 1, 12, 3e-3, unfreeze_top=layers, train_batch_norm=trains)
    recipe = dataclasses.replace(short, stages=(tuning,))
    train(recipe, table, split_of(table, recipe), tmp_path)
    before = fitting.build(plan(recipe, tmp_path)[0])
    after = Ensemble.from_spec(recipe.ensemble)
    after.load_weights(tmp_path / "stage2.weights.h5")
    for a, b in zip(before.weights, after.weights, strict=True):
        moved = not np.array_equal(np.asarray(a), np.asarray(b))
        is_norm = any(part in a.path for part in ("moving_", "gamma", "beta"))
        assert moved == (trains or not is_norm), a.path


@pytest.mark.once_on_jax
def test_members_trained_one_by_one_make_the_same_files(table, tmp_path):
    recipe = make_recipe(members=2, stages=(dataclasses.replace(STAGE, epochs=1),))
    recipe = dataclasses.replace(recipe, members="separate")
    assert [job.title for job in plan(recipe, tmp_path)] == ["tiny0 stage1", "tiny1 stage1"]
    result = train(recipe, table, split_of(table, recipe), tmp_path)
    assert [row["job"] for row in result.history] == ["tiny0 stage1", "tiny1 stage1"]
    model = Ensemble.from_spec(recipe.ensemble)
    model.load_weights(result.weights)
    for i, member in enumerate(model.members):
        alone = Ensemble.from_spec(plan(recipe, tmp_path)[i].spec)
        alone.load_weights(tmp_path / "members" / member.name / "stage1.weights.h5")
        for a, b in zip(member.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    first, second = (m.get_weights()[0] for m in model.members)
    assert np.abs(first - second).max() > 1e-3


def test_another_recipe_split_or_trainer_in_the_folder_is_refused(table, short, whole, tmp_path, monkeypatch):
    recipe, split = short, split_of(table, short)
    tmp_path = shutil.copytree(whole.run_dir, tmp_path / "run")
    changed = dataclasses.replace(recipe, stages=(dataclasses.replace(recipe.stages[0], learning_rate=1.0),))
    with pytest.raises(CheckpointError, match=r"another recipe \(it differs in stages\.0\.learning_rate\)"):
        train(changed, table, split, tmp_path)
    with pytest.raises(CheckpointError, match="differs in precision"):
        train(dataclasses.replace(recipe, precision="mixed_bfloat16"), table, split, tmp_path)
    other = dataclasses.replace(recipe, split=dataclasses.replace(recipe.split, seed=99))
    with pytest.raises(CheckpointError, match="another split or table"):
        train(recipe, table, split_of(table, other), tmp_path)
    with stages._locked(tmp_path), pytest.raises(CheckpointError, match="another process is training"):
        train(recipe, table, split, tmp_path)
    monkeypatch.setattr(resuming, "__version__", "99.0")
    with pytest.warns(UserWarning, match=r"is resumed under zoo 99\.0"):
        train(recipe, table, split, tmp_path)


@pytest.mark.once_on_jax
def test_other_labels_or_images_are_refused_with_what_changed(table, short, tmp_path):
    """In a stopped run and in a finished one, whose weights and records stay as they are."""
    split = split_of(table, short)
    digests = {path: path[-8:] for path in table["Image_path"]}
    held = DataIdentity.of(table, FINDINGS, digests)
    first, second = table["Image_name"][split.rows("train")[:2]]
    row = split.rows("test")[0]
    relabelled = table.copy()
    relabelled.loc[row, "Edema"] = np.float32(np.nan if table["Edema"][row] == 1 else 1)
    other = DataIdentity.of(table, FINDINGS, digests | {str(table["Image_path"][split.rows("train")[0]]): "x"})
    for stopped in (True, False):
        train(short, table, split, tmp_path, data=held, progress=Terminator() if stopped else None)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
        with pytest.raises(CheckpointError, match=f"labels of 1 image changed: {table['Image_name'][row]}"):
            train(short, relabelled, split, tmp_path)
        with pytest.raises(CheckpointError, match=f"contents of 1 image changed: {first}"):
            train(short, table, split, tmp_path, data=other)
        with pytest.raises(CheckpointError, match=r"differs in seed"):
            train(dataclasses.replace(short, seed=8), relabelled, split, tmp_path)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    (tmp_path / "data.json").unlink()
    with pytest.raises(CheckpointError, match="trained on other labels"):
        train(short, relabelled, split, tmp_path)
    assert second in held.labels


def test_what_cannot_be_trained_is_said_at_once(table, tmp_path):
    recipe = make_recipe(stages=(STAGE,))
    split = split_of(table, recipe)
    large = make_recipe(stages=(dataclasses.replace(STAGE, batch_size=1000),))
    with pytest.raises(RecipeError, match="batch_size 1000 is above the"):
        train(large, table, split, tmp_path)
    idle = make_recipe(stages=(dataclasses.replace(STAGE, accumulate=10),))
    with pytest.raises(RecipeError, match="accumulate 10 is above its 9 batches, so that no step would be taken"):
        train(idle, table, split, tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'focal'"):
        train(dataclasses.replace(recipe, loss=LossSpec("focl")), table, split, tmp_path)
    blank = table.assign(**dict.fromkeys(FINDINGS, np.float32(np.nan)))
    with pytest.raises(SplitError, match="val_auc is undefined"):
        train(recipe, blank, split, tmp_path)
    rows = split.rows("train")
    unlearnable = table.copy()
    unlearnable.loc[rows, list(FINDINGS)] = np.float32(0)
    with pytest.raises(TableError, match="nothing to learn"):
        train(recipe, unlearnable, split, tmp_path)


@pytest.mark.once_on_jax
def test_finding_without_positives_is_named_and_the_rest_trains(table, tmp_path):
    recipe = make_recipe(stages=(dataclasses.replace(STAGE, epochs=1),))
    split = split_of(table, recipe)
    table = table.copy()
    table.loc[split.rows("train"), "Edema"] = np.float32(0)
    with pytest.warns(UserWarning, match="not trained: Edema"):
        result = train(recipe, table, split, tmp_path)
    assert result.untrained == ("Edema",)
    assert result.label_weights["Edema"] == 1


def test_weights_that_are_no_longer_finite_stop_the_run(table, tmp_path, monkeypatch):
    monkeypatch.setattr(Ensemble, "predict", lambda self, *_, **__: np.full((99, 3), np.nan))
    recipe = make_recipe(stages=(STAGE,))
    with pytest.raises(TrainingError, match="stage1, epoch 1: the network gives NaN"):
        train(recipe, table, split_of(table, recipe), tmp_path)


@pytest.mark.once_on_jax
def test_records_of_a_run_that_were_damaged_are_written_anew(table, short, whole, tmp_path):
    run = shutil.copytree(whole.run_dir, tmp_path / "run")
    names = ("recipe.json", "data.json", "split.json")
    for name in names:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"recipe\.json or data\.json is damaged .* and is written anew"):
        train(short, table, split_of(table, short), run)
    for name in names:
        assert (run / name).read_bytes() == (whole.run_dir / name).read_bytes()
    (run / "recipe.json").write_bytes(bytes(10))
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CheckpointError, match=r"another recipe .*seed"):
        train(dataclasses.replace(short, seed=9), table, split_of(table, short), run)
