"""Every image of a run is read by the reader it was given: in training, in validation, in the last assessment."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_run import make_recipe, make_table, split_of

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.models.ensemble import Ensemble
from zoo.training import assess
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
    for _ in examples.validation_batches(len(names["validation"])):
        pass
    assert counts == Counter(names["validation"])
    counts.clear()
    rows = {part: split.rows(part) for part in ("validation", "test")}
    assess.predict_logits(Ensemble.from_spec(recipe.ensemble), table, rows, recipe, Silent(), read)
    assert counts == Counter(names["validation"] + names["test"])
