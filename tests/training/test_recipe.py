import dataclasses
import json
import math

import pytest
from small_run import make_recipe

from zoo.config.specs import from_dict, to_dict
from zoo.core import home
from zoo.core.errors import RecipeError, UnknownNameError
from zoo.training.jobs import plan
from zoo.training.recipe import LossSpec, Recipe, Stage, StageOverride, apply_overrides, load_recipe
from zoo.training.resuming import differences


def stage(**changes):
    return Stage(**{"name": "s", "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, **changes})


def test_a_recipe_survives_json():
    recipe = make_recipe()
    assert from_dict(Recipe, json.loads(json.dumps(to_dict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("clipnorm", 0.0),
        ("accumulate", 0),
        ("ema_momentum", 1.0),
        ("early_stopping_patience", 0),
        ("reduce_lr_factor", 1.0),
        ("min_learning_rate", 1.0),
        ("unfreeze_top", -1),
        ("image_size", 0),
        ("warmup_steps", 5),
        ("best_weights", "../x.weights.h5"),
        ("last_weights", "x.keras"),
        ("learning_rate", math.inf),
        ("weight_decay", math.inf),
        ("clipnorm", math.inf),
    ],
)
def test_a_stage_that_cannot_be_names_its_field(name, value):
    with pytest.raises(RecipeError, match=f"stage 's': {name} must be"):
        stage(**{name: value})


def test_a_recipe_that_cannot_be_says_why():
    with pytest.raises(RecipeError, match="stages is empty"):
        make_recipe(stages=())
    with pytest.raises(RecipeError, match="different weights files"):
        make_recipe(stages=(stage(), stage(name="t", best_weights="s.weights.h5")))
    with pytest.raises(RecipeError, match="different names"):
        make_recipe(stages=(stage(), stage(best_weights="t.weights.h5")))
    with pytest.raises(RecipeError, match="checkpoint_minutes must be finite"):
        make_recipe(checkpoint_minutes=math.inf)
    for folds in (33, 10**23):
        with pytest.raises(
            RecipeError, match=f"folds and snapshots make {folds:,} members, and a model has 32 at most"
        ):
            dataclasses.replace(make_recipe(), folds=folds, members="separate")
    with pytest.raises(RecipeError, match="weight_range"):
        LossSpec(weight_range=(3.0, 0.5))


def test_overrides():
    changed = apply_overrides(
        make_recipe(),
        ["stages.1.learning_rate=1e-5", "members=separate", 'loss.options={"gamma": 1}', "stages.0.clipnorm=None"],
    )
    assert changed.stages[1].learning_rate == 1e-5
    assert changed.members == "separate"
    assert changed.loss.options == {"gamma": 1.0}
    assert changed.stages[0].clipnorm is None
    for wrong, message in {
        "stages.0.epoch=3": "did you mean 'epochs'",
        "stages.9.epochs=3": "not an index",
        "stages.0.epochs=many": "expected int",
        "members=both": "'joint', 'separate'",
        "epochs": "expected path=value",
    }.items():
        with pytest.raises(RecipeError, match=message):
            apply_overrides(make_recipe(), [wrong])


def test_differences_names_fields_and_forgives_those_that_change_no_weight():
    recipe = make_recipe()
    changed = apply_overrides(recipe, ["stages.1.learning_rate=1e-5", "checkpoint_minutes=1", "cache=never"])
    assert differences(to_dict(recipe), changed) == ["stages.1.learning_rate"]
    assert differences(to_dict(recipe), dataclasses.replace(recipe, stages=recipe.stages[:1]))[0].startswith(
        "stages.1."
    )
    assert differences(to_dict(recipe), recipe) == []


def test_load_recipe_from_a_file_of_the_users(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from small_run import make_recipe\nrecipe = make_recipe()\n")
    assert load_recipe(path) == make_recipe()
    path.write_text("recipe = 3\n")
    with pytest.raises(RecipeError, match=r"mine\.py: expected a Recipe called 'recipe', got int"):
        load_recipe(str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        load_recipe(tmp_path / "none.py")


def test_shipped_recipes_are_known_by_name_beside_the_package_and_in_it(tmp_path, monkeypatch):
    package = tmp_path / "zoo"
    for folder in (tmp_path / "recipes", package / "recipes"):
        folder.mkdir(parents=True)
        (folder / "small.py").write_text(
            f"from small_run import make_recipe\nrecipe = make_recipe(name={folder.parent.name!r})\n"
        )
        monkeypatch.setattr(home, "PACKAGE", package)
    assert load_recipe("small").name == "zoo"
    (package / "recipes" / "small.py").unlink()
    (package / "recipes").rmdir()
    assert load_recipe("small").name == tmp_path.name
    with pytest.raises(UnknownNameError, match="did you mean 'small'"):
        load_recipe("smal")


def test_uncertain_is_one_rule_or_a_rule_for_each_finding_and_survives_json():
    recipe = load_recipe("xrayslam_demo")
    assert recipe.uncertain == "nan"
    for text, value in (
        ("one", "one"),
        ("0.55..0.85", "0.55..0.85"),
        ('{"Edema": "one", "Lung Opacity": "0..0.3"}', {"Edema": "one", "Lung Opacity": "0..0.3"}),
    ):
        changed = apply_overrides(recipe, [f"uncertain={text}"])
        assert changed.uncertain == value
        assert from_dict(Recipe, to_dict(changed)) == changed
        assert differences(to_dict(recipe), changed)
    with pytest.raises(RecipeError, match="a rule is 'nan'"):
        apply_overrides(recipe, ["uncertain=ones"])
    with pytest.raises(UnknownNameError, match=r"Edma.*Edema"):
        apply_overrides(recipe, ['uncertain={"Edma": "one"}'])


def test_a_stage_can_differ_for_a_member(tmp_path):
    recipe = apply_overrides(load_recipe("xrayslam"), ["members=separate"])
    changes = [
        "stages.0.overrides.efficientnetb3.learning_rate=0.004",
        "stages.0.overrides.efficientnetb3.epochs=3",
        'stages.0.overrides={"resnet50": {"weight_decay": 0.5}}',
        "stages.0.overrides.efficientnetb3.warmup_steps=7",
    ]
    first = apply_overrides(recipe, changes[:2])
    assert first.stages[0].overrides == {"efficientnetb3": StageOverride(learning_rate=0.004, epochs=3)}
    jobs = {job.title: job.stage for job in plan(first, tmp_path)}
    assert jobs["efficientnetb3 stage1"] == dataclasses.replace(recipe.stages[0], learning_rate=0.004, epochs=3)
    assert jobs["resnet50 stage1"] == recipe.stages[0]
    # Image order goes on where the shorter stage ended.
    assert [job.first_epoch for job in plan(first, tmp_path) if job.member == "efficientnetb3"] == [0, 3]
    assert from_dict(Recipe, to_dict(first)) == first
    changed = differences(to_dict(recipe), first)
    assert {"stages.0.overrides.efficientnetb3.epochs", "stages.0.overrides.efficientnetb3.learning_rate"} == {*changed}
    assert apply_overrides(first, changes[2:3]).stages[0].overrides == {"resnet50": StageOverride(weight_decay=0.5)}
    with pytest.raises(RecipeError, match="'densenet' is no member and no backbone"):
        apply_overrides(recipe, ["stages.0.overrides.densenet.epochs=2"])
    with pytest.raises(RecipeError, match="unknown field 'rate'"):
        apply_overrides(recipe, ["stages.0.overrides.resnet50.rate=2"])
    with pytest.raises(RecipeError, match="learning_rate must be above 0"):
        apply_overrides(recipe, ["stages.0.overrides.resnet50.learning_rate=-1"])
    with pytest.raises(RecipeError, match=r"resnet50\.epochs needs members='separate'"):
        apply_overrides(recipe, ["members=joint", "stages.0.overrides.resnet50.epochs=2"])
    joint = apply_overrides(recipe, ["members=joint", "stages.0.overrides.resnet50.learning_rate=1e-5"])
    assert plan(joint, tmp_path)[0].stage.overrides == {"resnet50": StageOverride(learning_rate=1e-5)}


def test_fields_that_a_saved_recipe_lacks_are_no_differences():
    recipe = load_recipe("xrayslam")
    saved = to_dict(recipe)
    for stage in saved["stages"]:
        for name in ("layer_decay", "overrides"):
            del stage[name]
    for member in saved["ensemble"]["members"]:
        del member["drop_path"]
    assert differences(saved, recipe) == []
