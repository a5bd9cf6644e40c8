"""The notebook for Kaggle, executed in its layout on synthetic images: at once, and killed and over two sessions."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from loopback_hub import WRITE_TOKEN
from notebook_runner import ROOT, environment, execute, read

import zoo
from zoo.data.phantoms.drawing import make_phantoms

pytestmark = [
    pytest.mark.tensorflow_only,
    pytest.mark.skipif(find_spec("nbclient") is None, reason="nbclient executes notebooks: the extra dev"),
]

NOTEBOOK = ROOT / "recipes" / "xrayslam_kaggle.ipynb"
COMPETITION = "grand-xray-slam-division-b"

#: The recipe at its smallest; its network starts from the release "start" in the data set of wheels.
CHANGES = [
    "ensemble.image_size=32",
    'ensemble.members=[{"backbone": "tiny", "weights": "start"}]',
    *(f"stages.{i}.{field}" for i in (0, 1) for field in ("epochs=1", "batch_size=16", "learning_rate=1e-3")),
    "stages.1.unfreeze_top=4",
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("competition")
    make_phantoms(folder, 90, size=64, n_test=8, seed=1)
    return folder


def kaggle(folder: Path, images: Path) -> Path:
    """Kaggle's folders with the competition attached, and a data set with the starting weights."""
    (folder / "working").mkdir(parents=True)
    (folder / "input" / "wheels" / "releases").mkdir(parents=True)
    tiny_release(folder / "input" / "wheels" / "releases" / "start", members=1)
    shutil.copytree(images, folder / "input" / "competitions" / COMPETITION)
    return folder


def run(folder: Path, env: dict[str, str], kill_before: str = "", **parameters: object) -> str:
    notebook = read(NOTEBOOK, {"KAGGLE": str(folder), "CHANGES": CHANGES, **parameters})
    return execute(notebook, folder / "working", env, kill_before)


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = kaggle(tmp_path_factory.mktemp("undisturbed"), images)
    return folder, run(folder, environment())


def test_the_submission_has_the_form_of_the_sample_and_the_models_own_probabilities(undisturbed):
    folder, text = undisturbed
    sample = pd.read_csv(folder / "input" / "competitions" / COMPETITION / "sample_submission_2.csv")
    table = pd.read_csv(folder / "working" / "submission.csv")
    assert list(table.columns) == list(sample.columns)
    assert table["Image_name"].tolist() == sample["Image_name"].tolist()
    model = zoo.load(folder / "working" / "xrayslam-session" / "run" / "release")
    paths = [folder / "input" / "competitions" / COMPETITION / "test2" / name for name in table["Image_name"]]
    expected = pd.DataFrame(model.predict(paths), columns=list(model.labels))
    trained = [name for name in model.labels if not np.isnan(expected[name]).any()]
    assert np.allclose(table[trained], expected[trained], atol=1e-5)
    assert "Done: submit submission.csv." in text
    assert "skipped 3 of 90 images" in text
    assert "it is a dry run" in text or "cc-by-nc-4.0" in text
    assert (folder / "working" / "report.html").is_file()


def test_killed_and_over_two_sessions_it_ends_with_the_same_submission(undisturbed, images, tmp_path, hub, client_env):
    folder = kaggle(tmp_path / "kaggle", images)
    env = environment()
    # The first session: killed when the cache is filled, run again from the top, and stopped by its clock in stage 1.
    run(folder, env, kill_before='"train", RECIPE')
    assert (folder / "working" / "xrayslam-session" / "cache").is_dir()
    text = run(folder, env, SUBMIT_HOURS=11.5)
    assert "Not done yet" in text
    assert not (folder / "working" / "submission.csv").exists()
    newest = list((folder / "working" / "xrayslam-session" / "run" / "checkpoint").glob("[0-9]*"))
    assert newest
    # The next session has an empty disk, and the output of the first among its inputs.
    (folder / "working").rename(folder / "input" / "output-of-the-first")
    shutil.rmtree(folder / "temp")
    (folder / "working").mkdir()
    env |= client_env(HF_TOKEN=WRITE_TOKEN, PYTHONPATH=str(ROOT))
    text = run(folder, env, REPO="tester/xrayslam")
    assert "continuing an earlier session" in text
    assert "resuming after" in text
    assert "decoding" not in text  # the cache came along
    assert "published and checked" in text
    assert "manifest.json" in hub.store.files("tester/xrayslam")
    ours, theirs = (path / "working" / "submission.csv" for path in (folder, undisturbed[0]))
    assert ours.read_bytes() == theirs.read_bytes()
