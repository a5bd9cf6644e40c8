"""The competition's submission file, with what is installed for predicting alone."""

import numpy as np
import pandas as pd
import pytest
from builders import FINDINGS3, tiny_release
from PIL import Image

from zoo.core.errors import TableError
from zoo.core.progress import Silent
from zoo.runs import predict, submit


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


def test_a_submission_is_scored_by_the_runtime_asked_for(folder, films, tmp_path, monkeypatch):
    asked, load = [], submit.load

    def spy(name, **how):
        asked.append(how)
        return load(name)

    monkeypatch.setattr(submit, "load", spy)
    out = tmp_path / "submission.csv"
    submit.write_submission([films], folder, out, Silent(), runtime="openvino", precision="bfloat16")
    assert asked == [{"runtime": "openvino", "precision": "bfloat16"}]
    assert len(pd.read_csv(out)) > 0


def test_a_submission_follows_the_sample_and_has_no_gap(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    names = ["film3.png", "film0.png", "film2.png"]
    pd.DataFrame({"Image_name": names}).to_csv(sample, index=False)
    out = tmp_path / "submission.csv"
    counts = submit.write_submission([films], folder, out, Silent(), sample=sample)
    assert counts == predict.Counts(images=3, unreadable=1)
    table = pd.read_csv(out)
    assert list(table.columns) == ["Image_name", *FINDINGS3]
    assert list(table["Image_name"]) == names
    np.testing.assert_allclose(table.iloc[2, 1:].astype(float), table.iloc[:2, 1:].mean(), rtol=1e-5)


def test_a_sample_that_asks_for_other_images_is_refused(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    pd.DataFrame({"Image_name": ["film0.png", "elsewhere.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match=r"1 of 2 .*elsewhere\.png"):
        submit.write_submission([films], folder, tmp_path / "s.csv", Silent(), sample=sample)
    pd.DataFrame({"name": ["film0.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match="Image_name"):
        submit.write_submission([films], folder, tmp_path / "s.csv", Silent(), sample=sample)
