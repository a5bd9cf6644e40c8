"""What an evaluated set shares with the training: no image goes by another's name."""

import json

import numpy as np
import pytest
from PIL import Image

from zoo.core.errors import TableError
from zoo.core.progress import Silent
from zoo.evaluation.files.study import Study
from zoo.evaluation.scores import Scores
from zoo.runs import leaks


class Told(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
    return str(path)


def study(ids):
    scores = Scores(np.zeros((len(ids), 1)), np.zeros((len(ids), 1)), ("Edema",), "test")
    return Study({"m": scores}, np.array(ids), {}, {"m": "logits"}, ())


def split(folder, names):
    (folder / "split.json").write_text(json.dumps({"parts": {"train": {"images": names}}}))
    return folder / "split.json"


def test_images_of_one_name_in_two_folders_are_compared_each(tmp_path):
    paths = [draw(tmp_path / "test" / side / "x.png", seed) for seed, side in enumerate(("LAT", "PA"))]
    draw(tmp_path / "train" / "t1.png", 0)
    told = Told()
    trained_on = split(tmp_path, ["t1", "t2"])
    found = leaks.find(study(["LAT/x.png", "PA/x.png"]), None, told, trained_on, tmp_path / "train", paths)
    assert (found["content"].with_train.positives, found["content"].with_train.n) == (1, 2)
    assert found["content"].pairs[0].evaluated == paths[0]
    assert found["files"].shared.positives == 0
    assert f"1 of 2 training images are not in {tmp_path / 'train'}" in told.messages


@pytest.mark.parametrize(
    ("trained", "evaluated", "shared"),
    [
        (["PA/0001.png"], ["LAT/0001.png", "PA/0001.png", "0001"], [False, True, True]),
        (["p1/view1.jpg", "p2/view1.jpg"], ["p3/view1.jpg", "x/p2/view1.jpg"], [False, True]),
        (["00001.png"], ["1.png", "00001", "00001.PNG", "00001.jpg"], [False, True, True, False]),
    ],
)
def test_a_name_is_shared_where_the_paths_agree(tmp_path, trained, evaluated, shared):
    found = leaks.find(study(evaluated), None, Silent(), split(tmp_path, trained))
    assert found["files"].rows.positives == sum(shared)
    names = sorted(name for name, same in zip(evaluated, shared, strict=True) if same)
    assert list(found["files"].names) == names


def test_a_training_image_that_may_be_two_files_is_said(tmp_path):
    paths = [draw(tmp_path / "test" / "x.png", 0)]
    both = [draw(tmp_path / "train" / side / "t.png", seed) for seed, side in enumerate("ab")]
    with pytest.raises(TableError) as caught:
        leaks.find(study(["x.png"]), None, Silent(), split(tmp_path, ["t.png"]), tmp_path / "train", paths)
    assert all(path in str(caught.value) for path in both)
