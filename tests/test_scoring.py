"""Folders to files of results, with what is installed for predicting alone (no TensorFlow on JAX)."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from builders import FINDINGS3, tiny_release
from PIL import Image

import zoo
from zoo import scoring
from zoo.errors import ImageError, TableError
from zoo.progress import Silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", members=1)


@pytest.fixture
def films(tmp_path):
    made = tmp_path / "films"
    made.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(made / f"film{i}.png")
    (made / "film2.png").write_bytes(b"")
    return made


def test_findings_of_a_folder_in_order_with_the_bad_one_named(folder, films, tmp_path):
    out = tmp_path / "new" / "findings.csv"
    counts = scoring.write_findings([films], folder, out, Silent(), batch_size=2)
    assert counts == scoring.Counts(images=5, unreadable=1)
    table = pd.read_csv(out)
    assert list(table["image"].unique()) == [str(p) for p in sorted(films.iterdir())]
    bad = table[table["image"].str.endswith("film2.png")]
    assert bad["probability"].isna().all()
    assert bad["error"].str.contains("empty|zero").all()
    good = [p for p in sorted(films.iterdir()) if p.name != "film2.png"]
    expected = zoo.load(folder).predict(good).ravel()
    np.testing.assert_allclose(table["probability"].dropna().to_numpy(), expected, rtol=1e-5)
    assert [p.name for p in out.parent.iterdir()] == ["findings.csv"]


def test_strict_stops_and_leaves_no_file(folder, films, tmp_path):
    out = tmp_path / "findings.csv"
    with pytest.raises(ImageError, match=r"film2\.png"):
        scoring.write_findings([films], folder, out, Silent(), strict=True)
    assert not out.exists()


def test_a_submission_follows_the_sample_and_has_no_gap(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    names = ["film3.png", "film0.png", "film2.png"]
    pd.DataFrame({"Image_name": names}).to_csv(sample, index=False)
    out = tmp_path / "submission.csv"
    counts = scoring.write_submission([films], folder, out, Silent(), sample=sample)
    assert counts == scoring.Counts(images=3, unreadable=1)
    table = pd.read_csv(out)
    assert list(table.columns) == ["Image_name", *FINDINGS3]
    assert list(table["Image_name"]) == names
    np.testing.assert_allclose(table.iloc[2, 1:].astype(float), table.iloc[:2, 1:].mean(), rtol=1e-5)


def test_a_sample_that_asks_for_other_images_is_refused(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    pd.DataFrame({"Image_name": ["film0.png", "elsewhere.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match=r"1 of 2 .*elsewhere\.png"):
        scoring.write_submission([films], folder, tmp_path / "s.csv", Silent(), sample=sample)
    pd.DataFrame({"name": ["film0.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match="Image_name"):
        scoring.write_submission([films], folder, tmp_path / "s.csv", Silent(), sample=sample)


def test_an_empty_folder_and_a_missing_one_are_said(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises((ImageError, FileNotFoundError), match=source.name):
            scoring.write_findings([source], folder, tmp_path / "f.csv", Silent())


def test_the_command_predicts_without_importing_tensorflow_on_jax(folder, films, tmp_path):
    code = (
        "import sys; from zoo.cli import main; status = main(sys.argv[1:]); "
        "import keras; print(status, 'tensorflow' in sys.modules and keras.config.backend() != 'tensorflow')"
    )
    arguments = ["predict", str(films), "--model", str(folder), "--out", str(tmp_path / "f.csv")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    assert "not a medical device" in done.stdout
