"""Members trained by processes side by side, killed, stopped and resumed."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parallel_run import recipe_of_two
from small_run import digest, make_table, split_of

from zoo.core.errors import CheckpointError, TrainingError, UsageError
from zoo.core.progress import Silent
from zoo.models.ensemble import Ensemble

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.training import children, parallel
from zoo.training.jobs import single
from zoo.training.parallel import Share
from zoo.training.stages import train

SCRIPT = Path(__file__).parents[1] / "parallel_run.py"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("films"))


@pytest.fixture
def processes(monkeypatch):
    """The processes that were started."""
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(children.subprocess, "Popen", Popen)
    return started


class Told(Silent):
    """Keeps messages and epochs, and calls `on_first` at the first step."""

    def __init__(self, on_first=lambda: None):
        self.messages, self.epochs, self.on_first = [], [], on_first

    def message(self, text):
        self.messages.append(text)

    def on_step(self, *_):
        self.on_first()
        self.on_first = lambda: None

    def on_epoch(self, title, epoch, logs):
        self.epochs.append((title, epoch, logs["val_auc"]))


def test_killed_and_stopped_runs_end_bit_for_bit_like_one_that_never_was(table, tmp_path, processes):
    recipe, told = recipe_of_two(), Told()
    split, run = split_of(table, recipe), tmp_path / "parts"
    whole = train(recipe, table, split, tmp_path / "whole", progress=told)
    assert (whole.stopped, len(processes)) == ("", 2)
    assert [row["job"] for row in whole.history] == [f"tiny{i} stage{s}" for i in (0, 1) for s in (1, 1, 2)]
    assert sorted(told.epochs) == [(row["job"], row["epoch"] - 1, row["val_auc"]) for row in whole.history]
    _check_merged(recipe, whole)

    _kill_the_starting_process(Path(table["Image_path"][0]).parent, run)
    told = Told(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train(recipe, table, split, run, progress=told).stopped == "SIGTERM"
    assert any("resuming after" in message for message in told.messages), "the killed one had left a checkpoint"
    processes.clear()
    with pytest.raises(TrainingError, match=r"of member 'tiny1' was killed by SIGKILL \(out of memory\?\)"):
        train(recipe, table, split, run, progress=Told(lambda: processes[-1].kill()))
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], "the other one stopped cleanly"
    ended = train(recipe, table, split, run)
    assert digest(run) == digest(whole.run_dir)
    assert [row["val_loss"] for row in ended.history] == [row["val_loss"] for row in whole.history]

    processes.clear()
    assert train(recipe, table, split, run) == ended
    assert processes == [], "a finished run starts no process"
    with pytest.raises(CheckpointError, match=r"another recipe \(it differs in members\)"):
        train(dataclasses.replace(recipe, members="separate"), table, split, run)


def _check_merged(recipe, result):
    """The ensemble's weights are those of the members, each trained with its own seed."""
    model = Ensemble.from_spec(recipe.ensemble)
    model.load_weights(result.weights)
    for member in model.members:
        alone = Ensemble.from_spec(single(recipe.ensemble, member.name))
        alone.load_weights(result.run_dir / "members" / member.name / result.weights.name)
        for a, b in zip(member.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    first, second = (member.get_weights()[0] for member in model.members)
    assert np.abs(first - second).max() > 1e-3


def _kill_the_starting_process(films, run):
    """The other two notice it and write a checkpoint each."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(films), str(run)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[1]), str(SCRIPT.parent)])},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("step of tiny"):
            process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "members, cores, gpus, share",
    [
        (3, 2, (), Share(2, (1, 1, 2))),
        (3, 1, (), Share(1, (1, 1, 1))),
        (2, 7, (), Share(2, (3, 3))),
        (6, 4, (), Share(4, (1, 1, 1, 1, 2, 2))),
        (3, 8, ("0", "1"), Share(2, (4, 4, 8), ("0", "1"))),
        (1, 8, ("5", "6"), Share(1, (8,), ("5",))),
    ],
)
def test_cores_and_gpus_are_shared_out(members, cores, gpus, share):
    assert Share.of(members, cores, gpus) == share
    environment = children._environment(share.threads[-1], "5" if gpus else "")
    assert environment["TF_NUM_INTRAOP_THREADS"] == environment["NPROC"] == str(share.threads[-1])
    assert environment.get("CUDA_VISIBLE_DEVICES") == ("5" if gpus else os.environ.get("CUDA_VISIBLE_DEVICES"))


class Sent:
    """Raises where it is read: what a member's process does when it cannot go on."""

    def __init__(self, call, *args):
        self._made = call, args

    def __reduce__(self):
        return self._made


@pytest.mark.parametrize(
    "sent, error, message",
    [
        (Sent(int, "seven"), TrainingError, r"'tiny0' ended with status 1, its last message: .ValueError: invalid"),
        (Sent(__import__, "no_such_module"), UsageError, "where it cannot be imported .No module named 'no_such_mod"),
    ],
)
def test_the_end_of_a_process_is_told_with_its_last_message(sent, error, message, table, tmp_path, monkeypatch):
    """On one core, one process at a time: the second never starts."""
    recipe, told = recipe_of_two(), Told()
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    order = pickle.dumps(sent)
    monkeypatch.setattr(children, "_pickled", lambda work: order)
    with pytest.raises(error, match=message):
        train(recipe, table, split_of(table, recipe), tmp_path, progress=told)
    expected = "one processor core is free: 2 members are trained one after the other, with 1 thread each"
    assert told.messages[-1] == expected
    assert not (tmp_path / "members" / "tiny1" / "process.log").exists()


def test_what_cannot_be_sent_to_another_process_is_refused_before_any_starts(table, tmp_path, processes):
    recipe = recipe_of_two()
    with pytest.raises(UsageError, match="sends `read` to other processes, which is not possible here"):
        train(recipe, table, split_of(table, recipe), tmp_path, read=lambda path, size, channels: None)
    assert processes == []
