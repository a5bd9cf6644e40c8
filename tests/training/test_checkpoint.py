import json
import shutil

import keras
import numpy as np
import pytest

from zoo.core import files
from zoo.core.errors import CheckpointError, WeightsError
from zoo.training import checkpoint
from zoo.training.checkpoint import Checkpoints, collect, restore, variables_of


def arrays(value):
    return {"model/00000": np.full((3, 2), value, np.float32), "model/00001": np.array([value], np.uint32)}


def saved(folder, n=3):
    checkpoints = Checkpoints(folder)
    for i in range(n):
        checkpoints.save(arrays(i), {"i": i})
    return checkpoints


def test_newest_comes_back_and_the_one_before_is_kept(tmp_path):
    checkpoints = saved(tmp_path, 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000003", "00000004"]
    snapshot = checkpoints.load()
    assert snapshot.state == {"i": 3}
    for name, value in arrays(3).items():
        np.testing.assert_array_equal(snapshot.arrays[name], value)
        assert snapshot.arrays[name].dtype == value.dtype
    assert Checkpoints(tmp_path / "new").load() is None


@pytest.mark.parametrize("file", ["variables.safetensors", "state.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "deleted"])
def test_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, file, damage):
    checkpoints = saved(tmp_path)
    path = tmp_path / "00000003" / file
    content = bytearray(path.read_bytes())
    if damage == "deleted":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "emptied": b""}[damage])
    with pytest.warns(UserWarning, match="00000003: damaged .* going back"):
        assert checkpoints.load().state == {"i": 1}
    checkpoints.save(arrays(4), {"i": 4})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000002", "00000003"], "the damaged one is not kept"


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path):
    checkpoints = saved(tmp_path)
    for folder in tmp_path.iterdir():
        (folder / "state.json").write_text("{}")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(CheckpointError, match=r"every .* damaged .* delete the folder"),
    ):
        checkpoints.load()


@pytest.mark.parametrize("failing", ["save_file", "sync", "_verify"])
def test_full_disk_keeps_the_last_good_one(tmp_path, monkeypatch, failing):
    checkpoints = saved(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files if failing == "sync" else checkpoint, failing, full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*the previous one is kept"):
        checkpoints.save(arrays(9), {"i": 9})
    monkeypatch.undo()
    assert (tmp_path / "00000002").is_dir()
    assert checkpoints.load().state == {"i": 2}
    checkpoints.save(arrays(5), {"i": 5})
    assert checkpoints.load().state == {"i": 5}
    assert len(list(tmp_path.iterdir())) == 2


def test_half_written_one_is_no_checkpoint(tmp_path):
    saved(tmp_path)
    shutil.copytree(tmp_path / "00000003", tmp_path / ".00000004-0123abcd.part")
    checkpoints = Checkpoints(tmp_path)
    assert not (tmp_path / ".00000004-0123abcd.part").exists()
    assert checkpoints.load().state == {"i": 2}


def test_place_that_cannot_hold_checkpoints(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot keep checkpoints here"):
        Checkpoints(tmp_path / "file" / "checkpoint")


def make_model(units=2, rate=0.5):
    keras.utils.set_random_seed(units)
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(units),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(rate),
    ]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(use_ema=True))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, "mse")
    return model


def test_every_variable_that_training_changes_is_among_them(tmp_path):
    """Keras' own weight files leave out the seed generator of Dropout."""
    model = make_model()
    before = collect(model)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    model.fit(x, x[:, :2], verbose=0)
    after = collect(model)
    assert list(before) == list(after)
    assert {id(v) for v in variables_of(model).values()} >= {
        id(v) for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    }
    changed = {variables_of(model)[k].path for k in after if not np.array_equal(before[k], after[k])}
    for part in ("seed_generator_state", "moving_mean", "kernel", "iteration", "average", "velocity", "total"):
        assert any(part in path for path in changed), part
    other = make_model(rate=0.5)
    restore(other, after)
    for name, value in collect(other).items():
        np.testing.assert_array_equal(value, after[name])


def test_variables_of_another_model_are_refused_before_the_first_is_set():
    model, other = make_model(2), make_model(3)
    before = collect(model)
    with pytest.raises(
        CheckpointError, match=r"another model: model/00000 is float32 \(3, 3\).*float32 \(3, 2\) in this model"
    ):
        restore(model, collect(other))
    fewer = {k: v for k, v in before.items() if k != "optimizer/00000"}
    with pytest.raises(CheckpointError, match="optimizer/00000 is nothing in the checkpoint"):
        restore(model, fewer)
    for name, value in collect(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_state_is_plain_json(tmp_path):
    saved(tmp_path, 1)
    assert json.loads((tmp_path / "00000001" / "state.json").read_text()) == {"i": 0}


def test_weights_that_are_not_what_was_written_start_no_stage(tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
    from small_run import make_recipe

    from zoo.training.building import build
    from zoo.training.jobs import plan

    job = plan(make_recipe(), tmp_path)[1]
    with pytest.raises(WeightsError, match="weights of the stage before are missing"):
        build(job)
    job.start.write_bytes(b"torn")
    with pytest.raises(WeightsError, match=r"stage1\.weights\.h5: damaged or changed after it was written, so stage2"):
        build(job, known={"/stage1.weights.h5": "0" * 64})
