"""Several devices make the steps of one: in processes of their own, whose CPU is divided before it is first used."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import make_recipe

from zoo.config.codec import from_dict
from zoo.config.specs import to_dict
from zoo.core.errors import RecipeError, UsageError
from zoo.training import replicas
from zoo.training.recipe import Recipe, Stage, apply_overrides

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

SCRIPT = Path(__file__).parents[1] / "devices_run.py"


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def made(request, tmp_path_factory) -> Any:
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    process = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env={**os.environ, "KERAS_BACKEND": request.param, "PYTHONPATH": str(SCRIPT.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


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
