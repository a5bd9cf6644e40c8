"""Weight averaging: the mean of the last epochs' weights, and batch-norm statistics computed for that mean."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest
from small_run import digest, make_recipe, make_table, split_of

from zoo.core.errors import RecipeError, WeightsError
from zoo.models.ensemble import Ensemble
from zoo.training import averaging
from zoo.training.optimizers import averaged_weights, build_optimizer
from zoo.training.recipe import Stage

STAGE = Stage("stage1", epochs=3, batch_size=12, learning_rate=3e-3, average_last=2, early_stopping_patience=None)


def test_a_stage_refuses_what_cannot_be_averaged():
    for change in ({"average_last": 4}, {"average_last": 0}, {"early_stopping_patience": 3}):
        with pytest.raises(RecipeError, match="average_last"):
            dataclasses.replace(STAGE, **change)


def dense(value):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.set_weights([np.full((2, 1), value, "float32"), np.array([value], "float32")])
    return model


def test_the_mean_is_that_of_the_last_epochs_alone(tmp_path):
    for epoch, value in enumerate((100.0, 1.0, 2.0)):
        dense(value).save_weights(averaging.epoch_file(tmp_path, STAGE, epoch))
    model = dense(0.0)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Skipping variable loading")  # of Keras: the files have no optimizer
        averaging.set_average(model, tmp_path, STAGE, [])
    assert [w.tolist() for w in model.get_weights()] == [[[1.5], [1.5]], [1.5]]
    averaging.forget_epochs(tmp_path, STAGE)
    assert not list(tmp_path.iterdir())
    with pytest.raises(WeightsError, match="missing"):
        averaging.set_average(model, tmp_path, STAGE, [])


def test_statistics_of_batch_norms_are_the_means_over_the_batches_unless_frozen():
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.BatchNormalization()]
    )
    first, second = model.layers[1:]
    batches = [rng.normal(size=(8, 3)).astype("float32") for _ in range(3)]
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    model.layers[0].bias.assign(np.arange(4, dtype="float32"))
    second.trainable = False
    before = [np.array(w) for w in second.get_weights()]
    assert averaging.refresh_batch_norm(model, batches) == 1
    values = [x @ kernel + np.arange(4) for x in batches]
    mean = keras.ops.convert_to_numpy(first.moving_mean)
    variance = keras.ops.convert_to_numpy(first.moving_variance)
    np.testing.assert_allclose(mean, np.mean([v.mean(0) for v in values], axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([v.var(0) for v in values], axis=0), atol=1e-5)
    assert first.momentum == 0.99
    for kept, now in zip(before, second.get_weights(), strict=True):
        assert np.array_equal(kept, now)
    model.trainable = False
    assert averaging.refresh_batch_norm(model, (1 / 0 for _ in range(1))) == 0  # nothing is read


def weights_of(recipe, path):
    model = Ensemble.from_spec(recipe.ensemble)
    model.load_weights(path)
    return [np.array(w) for w in model.get_weights()]


def test_a_run_saves_the_average_of_its_last_epochs_and_resumes_to_the_same(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
    from zoo.training import keeping
    from zoo.training.stages import train

    table = make_table(tmp_path / "images")
    stage = dataclasses.replace(STAGE, unfreeze_top=6, last_weights="last.weights.h5")
    recipe = make_recipe(stages=(stage,))
    kept = []
    save = keeping.save_weights

    def saving(model, path):
        kept.append((path.name, [np.array(w) for w in model.get_weights()]))
        save(model, path)

    monkeypatch.setattr(keeping, "save_weights", saving)
    train(recipe, table, split_of(table, recipe), tmp_path / "whole")
    files = ["stage1.epoch-0002.weights.h5", "stage1.epoch-0003.weights.h5", "last.weights.h5", "stage1.weights.h5"]
    assert [name for name, _ in kept] == files
    (_, second), (_, third), (_, last), _ = kept
    assert sorted(p.name for p in (tmp_path / "whole").glob("*.h5")) == ["last.weights.h5", "stage1.weights.h5"]
    # The batch norms are frozen, so that every weight, statistics included, is the plain mean.
    for a, b, c, now in zip(second, third, last, weights_of(recipe, tmp_path / "whole/stage1.weights.h5"), strict=True):
        np.testing.assert_allclose(now, (a.astype(np.float64) + b) / 2, rtol=1e-6, atol=1e-7)
        assert np.array_equal(b, c)
    monkeypatch.setattr(keeping, "save_weights", save)
    original = averaging.set_average
    monkeypatch.setattr(averaging, "set_average", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, table, split_of(table, recipe), tmp_path / "killed")
    monkeypatch.setattr(averaging, "set_average", original)
    train(recipe, table, split_of(table, recipe), tmp_path / "killed")
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
    newest = max((tmp_path / "killed" / "checkpoint").iterdir())
    (newest / "state.json").write_text("{}")
    with pytest.warns(UserWarning, match=f"{newest.name}: damaged"):
        train(recipe, table, split_of(table, recipe), tmp_path / "killed")
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole"), "the one before needs no file that is gone"


def test_statistics_of_trained_batch_norms_belong_to_the_averaged_weights(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
    from zoo.training.stages import train

    table = make_table(tmp_path / "images")
    recipe = make_recipe(stages=(dataclasses.replace(STAGE, unfreeze_top=None),))
    seen, original = [], averaging.refresh_batch_norm
    monkeypatch.setattr(averaging, "refresh_batch_norm", lambda *a: seen.append(original(*a)))
    train(recipe, table, split_of(table, recipe), tmp_path / "run")
    assert seen[0] > 0


SOUP = Stage("stage1", epochs=4, batch_size=12, learning_rate=3e-3, soup=3)


def test_the_greedy_soup_takes_an_ingredient_that_does_not_lower_the_score(tmp_path):
    """Recipe 1 of Wortsman et al. 2022, with a score that is best at a weight of 2."""
    values = {0: 1.0, 1: 9.0, 2: 3.0, 3: 2.0}
    for epoch, value in values.items():
        dense(value).save_weights(averaging.epoch_file(tmp_path, SOUP, epoch))
    model, tried = dense(0.0), []

    def score():
        tried.append(float(model.get_weights()[1][0]))
        return -abs(tried[-1] - 2.0)

    assert averaging.set_soup(model, tmp_path, SOUP, [0, 1, 2, 3], [], score) == [0, 2, 3]
    assert tried == [1.0, 5.0, 2.0, 2.0]  # the second is refused, the last equals the best and is taken
    assert model.get_weights()[1].tolist() == [2.0]
    averaging.forget_epochs(tmp_path, SOUP, kept=[1, 3])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "stage1.epoch-0002.weights.h5",
        "stage1.epoch-0004.weights.h5",
    ]


def test_a_stage_refuses_a_soup_that_cannot_be():
    with pytest.raises(RecipeError, match="soup must be at least 2"):
        dataclasses.replace(SOUP, soup=1)
    with pytest.raises(RecipeError, match="soup must be None with average_last"):
        dataclasses.replace(STAGE, soup=2)


@pytest.mark.once_on_jax
def test_a_run_saves_its_soup_and_resumes_to_the_same(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
    from zoo.training.stages import train

    table = make_table(tmp_path / "images")
    recipe = make_recipe(stages=(SOUP,))
    found, original = [], averaging.set_soup

    def soup(model, folder, stage, epochs, *rest):
        # Besides the best ones at most that which they replaced: it goes after the checkpoint that no longer needs it.
        kept, best = set(folder.glob("*epoch*")), {averaging.epoch_file(folder, stage, epoch) for epoch in epochs}
        assert best <= kept
        assert len(kept - best) <= 1
        found.append((list(epochs), original(model, folder, stage, epochs, *rest)))
        return found[-1][1]

    monkeypatch.setattr(averaging, "set_soup", soup)
    history = train(recipe, table, split_of(table, recipe), tmp_path / "whole").history
    ((epochs, chosen),) = found
    aucs = [row["val_auc"] for row in history]
    assert epochs == sorted(range(4), key=lambda e: -aucs[e])[:3]
    assert chosen[0] == epochs[0]
    assert [p.name for p in (tmp_path / "whole").glob("*.h5")] == ["stage1.weights.h5"]
    monkeypatch.setattr(averaging, "set_soup", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, table, split_of(table, recipe), tmp_path / "killed")
    monkeypatch.setattr(averaging, "set_soup", original)
    train(recipe, table, split_of(table, recipe), tmp_path / "killed")
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def test_the_moving_average_starts_from_the_first_step_and_follows_its_formula():
    """average = m * average + (1 - m) * weights; it begins with the weights of step 1, so it has no bias towards 0."""
    model = dense(1.0)
    stage = Stage("s", 1, 4, 0.1, ema_momentum=0.75, schedule="warmup_cosine", warmup_steps=3)
    model.compile(build_optimizer(model, stage, 8), "mse")
    expected = None
    for _ in range(4):
        model.optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables])
        now = [np.array(w, np.float64) for w in model.get_weights()]
        expected = now if expected is None else [0.75 * e + 0.25 * w for e, w in zip(expected, now, strict=True)]
    with averaged_weights(model):
        for shown, e in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_allclose(shown, e, rtol=1e-6)


def test_an_image_size_of_a_stage_is_that_of_its_model_and_images(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
    from zoo.training import fitting
    from zoo.training.stages import train

    with pytest.raises(RecipeError, match="image_size of the last stage must be None or that of the ensemble, 16"):
        make_recipe(stages=(dataclasses.replace(SOUP, image_size=8),))
    small = Stage("small", epochs=1, batch_size=12, learning_rate=3e-3, image_size=8)
    recipe = make_recipe(stages=(small, Stage("large", epochs=1, batch_size=12, learning_rate=1e-9)))
    table, shapes, build = make_table(tmp_path / "images"), [], fitting.build

    def building(*job):
        model = build(*job)
        shapes.append((model.input_shape[1], [np.array(w) for w in model.get_weights()]))
        return model

    monkeypatch.setattr(fitting, "build", building)
    train(recipe, table, split_of(table, recipe), tmp_path / "run")
    assert [size for size, _ in shapes] == [8, 16]
    carried = weights_of(make_recipe(), tmp_path / "run/small.weights.h5")
    for one, other in zip(shapes[1][1], carried, strict=True):
        np.testing.assert_array_equal(one, other)
