"""Every image of a run is read by the reader it was given: in training, in validation, in the last assessment."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_run import make_recipe, make_table, split_of

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.models.ensemble import Ensemble
from zoo.training import assess, predicting
from zoo.training.examples import Examples


@pytest.fixture
def counted():
    """A reader, and how often it read each image."""
    counts = Counter()

    def read(path: str, size: int, channels: int) -> np.ndarray:
        counts[Path(path).name] += 1
        return read_image(path, size, channels)

    return read, counts


def test_the_reader_reads_each_image_of_a_part_once(tmp_path, counted):
    read, counts = counted
    recipe, table = make_recipe(), make_table(tmp_path)
    split = split_of(table, recipe)
    names = {part: list(table["Image_name"][split.rows(part)]) for part in ("train", "validation", "test")}
    examples = Examples.from_table(recipe, table, split, read)
    stage = recipe.stages[0]
    for _ in examples.batches(stage, seed=1, epoch=0, start_step=0):
        pass
    assert set(counts.values()) == {1}
    assert counts.total() == len(names["train"]) // stage.batch_size * stage.batch_size
    assert set(counts) <= set(names["train"])
    counts.clear()
    for _ in examples.validation_batches(dataclasses.replace(stage, batch_size=len(names["validation"]))):
        pass
    assert counts == Counter(names["validation"])
    counts.clear()
    rows = {part: split.rows(part) for part in ("validation", "test")}
    predicting.predict_logits(Ensemble.from_spec(recipe.ensemble), table, rows, recipe, Silent(), read)
    assert counts == Counter(names["validation"] + names["test"])


def test_uncertain_labels_are_targets_in_training_alone(tmp_path):
    recipe = dataclasses.replace(make_recipe(), uncertain={"Edema": "0.55..0.85", "Atelectasis": "one"})
    table = make_table(tmp_path)
    split = split_of(table, recipe)
    rows = {part: split.rows(part)[:4] for part in ("train", "validation", "test")}
    for some in rows.values():
        table.loc[some, ["Edema", "Atelectasis"]] = np.float32(-1)
    examples = Examples.from_table(recipe, table, split)
    assert ((examples.labels[:4, 1] >= 0.55) & (examples.labels[:4, 1] <= 0.85)).all()
    assert (examples.labels[:4, 0] == 1).all()
    assert np.isnan(examples.validation_labels[:4, :2]).all()
    assert examples.notes == (
        "training part: uncertain labels taken as 1: 4 (Atelectasis 4)",
        "training part: uncertain labels taken as 0.55..0.85: 4 (Edema 4)",
        "validation and test parts: uncertain labels taken as unknown: 16",
    )
    logits, trained = np.zeros((len(split.rows("test")), 3), np.float32), (True,) * 3
    scores = assess.scores_of(table, split, "test", split.rows("test"), logits, recipe, trained)
    assert np.isnan(scores.labels[:4, :2]).all()
    assert (examples.labels[4:][~np.isnan(examples.labels[4:])] % 1 == 0).all()
    again = Examples.from_table(recipe, table, split)
    np.testing.assert_array_equal(again.labels, examples.labels)


def test_a_soft_target_pulls_the_loss_to_its_own_probability():
    from zoo.training.losses import build_loss

    loss, target = build_loss("weighted_bce"), np.full((1, 1), 0.7, np.float32)
    costs = {p: float(loss(target, np.log(np.full((1, 1), p / (1 - p), np.float32)))) for p in (0.6, 0.7, 0.8)}
    assert min(costs, key=costs.get) == 0.7
    # Cross-entropy of 0.7 with itself: -(0.7 log 0.7 + 0.3 log 0.3).
    assert abs(costs[0.7] - 0.610864) < 1e-5
