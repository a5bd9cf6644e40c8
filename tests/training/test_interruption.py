"""SIGTERM and Ctrl-C stop a run cleanly at any time: in an epoch, after the last one, and while results are written."""

import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.cli import main
from zoo.cli.make import GOES_ON
from zoo.data.phantoms.drawing import make_phantoms
from zoo.runs import demo, training_data
from zoo.runs import train as runs
from zoo.training import interruption, loop, stages
from zoo.training.jobs import Position, plan
from zoo.training.recipe import load_recipe
from zoo.training.stages import RunResult

RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture
def handlers():
    """Handlers of before the test, which it must leave in place."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@BOTH
def test_the_first_signal_is_noted_while_epochs_run_and_the_second_stops_at_once(number, handlers):
    with interruption.at_once(), interruption.watch() as watch:
        signal.raise_signal(number)
        assert (watch.reason, watch.signal) == (number.name, number.name)
        with pytest.raises(interruption.Signalled) as stop:
            signal.raise_signal(number)
    assert stop.value.name == number.name


@BOTH
def test_a_signal_in_the_last_epoch_stops_before_what_follows_training(number, tmp_path, monkeypatch, handlers):
    def fit_job(job, around, position, arrays):
        position.next_job()
        if position.job == 2:
            signal.raise_signal(number)
        return ""

    monkeypatch.setattr(loop, "fit_job", fit_job)
    recipe, position = load_recipe("xrayslam"), Position()
    around: Any = None
    with interruption.watch() as watch:
        assert loop.run_jobs([(job, around) for job in plan(recipe, tmp_path)], watch, position, None) == number.name
    with interruption.watch() as watch:
        assert loop.run_jobs([(job, around) for job in plan(recipe, tmp_path)], watch, position, None) == ""
    assert position.job == 2


@pytest.fixture
def images(tmp_path):
    make_phantoms(tmp_path / "phantoms", 30, size=32, n_test=0, broken=0)
    return tmp_path / "phantoms"


@BOTH
@pytest.mark.parametrize("step, moment", [(training_data, "readable_table"), (runs, "finish")])
@pytest.mark.filterwarnings("ignore")
def test_zoo_train_ends_with_the_status_of_a_run_that_goes_on(
    number, step, moment, images, tmp_path, monkeypatch, capsys, handlers
):
    trained = RunResult(tmp_path, "", (), {}, (), tmp_path / "none.h5")
    monkeypatch.setattr(stages, "train", lambda *_, **__: trained)
    monkeypatch.setattr(step, moment, lambda *_, **__: signal.raise_signal(number))
    command = ["train", str(RECIPE), "--data", str(images), "--run", str(tmp_path / "run"), "--set", "split.by=patient"]
    assert main(command) == GOES_ON
    assert f"stopped: {number.name}. Run the same command to resume." in capsys.readouterr().out
    assert (tmp_path / "run").exists() == (moment == "finish")


@BOTH
def test_zoo_demo_does_so_too(number, tmp_path, monkeypatch, capsys, handlers):
    monkeypatch.setattr(demo, "_draw", lambda *_: None)
    monkeypatch.setattr(demo.train, "train", lambda *_, **__: runs.Outcome(tmp_path, stopped=number.name))
    assert main(["demo", "--run", str(tmp_path / "run")]) == GOES_ON
    monkeypatch.setattr(demo, "_draw", lambda *_: signal.raise_signal(number))
    assert main(["demo", "--run", str(tmp_path / "run")]) == GOES_ON
    assert capsys.readouterr().out.count(f"stopped: {number.name}. Run the same command to resume.") == 2
