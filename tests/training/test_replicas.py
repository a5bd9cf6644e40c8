"""Several devices make the steps of one: in processes of their own, whose CPU is divided before it is first used."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from small_run import make_recipe

from zoo.config.codec import from_dict
from zoo.config.specs import to_dict
from zoo.core.errors import RecipeError, TrainingError, UsageError
from zoo.training import processes, replicas
from zoo.training.processes import ADDRESS, COUNT, NUMBER, Told
from zoo.training.recipe import Recipe, Stage, apply_overrides

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

SCRIPT = Path(__file__).parents[1] / "devices_run.py"


def start(backend: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(SCRIPT.parents[1]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(process: subprocess.Popen[str]) -> Any:
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def made(request, folder) -> Any:
    pytest.importorskip(request.param)
    return told_by(start(request.param, str(folder / request.param)))


def test_the_losses_of_twenty_steps_are_those_of_one_device(made):
    one, two = (np.array(losses) for losses in made["curves"])
    assert len(one) == 20
    assert len(set(one)) == 20
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_a_run_that_was_stopped_in_an_epoch_ends_as_one_that_was_not_with_its_soup(made):
    assert made["stopped"] == "SIGTERM"
    whole, resumed = made["ends"]
    assert whole["weights"] == resumed["weights"]
    assert whole["history"] == resumed["history"]


def test_dropout_is_random_on_each_device_and_a_checkpoint_knows_it(made):
    before, after = made["random"]
    assert before == after
    assert len(before) == 3
    if isinstance(before[0][0], list):  # TensorFlow: a state for each device, so that they drop differently
        assert all(first != second for first, second in before)


def test_two_processes_take_the_steps_of_one_device_and_stop_together(made, folder):
    if made["backend"] != "jax":
        pytest.skip("several processes are JAX's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        start("jax", str(folder / "jax"), "process", **{ADDRESS: address, COUNT: "2", NUMBER: str(number)})
        for number in (0, 1)
    ]
    for number, found in enumerate(map(told_by, both)):
        assert (found["number"], found["stopped"]) == (number, "SIGTERM")
        assert 10 < len(found["losses"]) < 20
        np.testing.assert_allclose(found["losses"], made["curves"][0][: len(found["losses"])], rtol=1e-4)
    run = folder / "jax/processes"
    state = json.loads(sorted(run.glob("checkpoint/[0-9]*/state.json"))[-1].read_bytes())
    assert state["identity"]["devices"] == "2 devices of 2 processes"
    assert sorted(path.name for path in run.glob("*.h5")) == ["stage1.epoch-0001.weights.h5", "stage1.weights.h5"]


def test_what_the_environment_says_of_other_processes(monkeypatch):
    for name in (ADDRESS, COUNT, NUMBER, "SLURM_STEP_NODELIST", "SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    assert processes.told() is None
    monkeypatch.setenv("SLURM_NTASKS", "2")  # of an allocation: this process is no task of a step
    assert processes.told() is None
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-2]")
    assert processes.told() == Told(count=2)
    monkeypatch.setenv(ADDRESS, "node1:1234,node2:1234")
    monkeypatch.setenv(COUNT, "2")
    for number, address in (("", "node1:1234"), ("2", "node1:1234"), ("-1", "node1:1234"), ("1", "node1")):
        monkeypatch.setenv(NUMBER, number)
        monkeypatch.setenv(ADDRESS, address)
        with pytest.raises(
            UsageError, match=f"is HOST:PORT .* two whole numbers .* got '{address}', '2' and '{number}'"
        ):
            processes.told()
    monkeypatch.setenv(ADDRESS, "node1:1234,node2:1234")
    assert processes.told() == Told("node1:1234", 2, 1)
    with pytest.raises(UsageError, match=r"names 2 processes, and the recipe trains on 1 device, .* --set devices=all"):
        replicas.prepare(1)
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    with pytest.raises(UsageError, match="train together on JAX alone, and the backend is tensorflow"):
        processes.join(2)


@pytest.mark.parametrize(("number", "failed", "said"), [(0, [0, 1], "another process"), (1, [1], "the first process")])
def test_a_process_does_not_go_on_alone_when_another_failed(monkeypatch, number, failed, said):
    told = iter(failed)
    for name, made in (("count", lambda: 2), ("number", lambda: number), ("largest", lambda _: next(told))):
        monkeypatch.setattr(processes, name, made)
    with pytest.raises(TrainingError, match=f"{said} of this run failed; its message says why"):
        processes.in_turn(lambda: "read")


def test_another_number_of_devices_is_refused_at_a_resume(made):
    assert "was trained on 2 devices, and would go on with 1 device" in made["refused"]


def test_recipes_that_cannot_be_divided_are_refused():
    stages = (Stage("stage1", 1, 8, 1e-3),)
    with pytest.raises(RecipeError, match=r"stage 'stage1': batch_size must be a multiple of the 3 devices .* got 8"):
        make_recipe(stages=stages, devices=3)
    with pytest.raises(RecipeError, match="devices must be 1 or more, or 'all', got 0"):
        make_recipe(stages=stages, devices=0)
    for devices in (2, "all"):
        with pytest.raises(RecipeError, match="devices must be 1 with members='parallel'"):
            dataclasses.replace(make_recipe(stages=stages, devices=devices), members="parallel")


def test_devices_are_a_field_like_others():
    for text, value in (("2", 2), ("all", "all")):
        recipe = apply_overrides(make_recipe(), [f"devices={text}"])
        assert recipe.devices == value
        assert from_dict(Recipe, to_dict(recipe)).devices == value
    with pytest.raises(RecipeError, match="devices"):
        apply_overrides(make_recipe(), ["devices=some"])


def test_fewer_devices_than_the_recipe_wants_are_told_in_one_line():
    with (
        pytest.raises(UsageError, match=r"the recipe wants devices=8, and \w+ finds \d+ \w+$"),
        replicas.sharing(make_recipe(devices=8)),
    ):
        pass
