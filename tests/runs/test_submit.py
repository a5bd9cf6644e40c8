"""The competition's submission file, with what is installed for predicting alone."""

import numpy as np
import pandas as pd
import pytest
import standin
from builders import FINDINGS3, tiny_release
from films import noise_folder
from PIL import Image

import zoo
from zoo.cli import main
from zoo.core.errors import ImageError, TableError
from zoo.core.progress import Silent
from zoo.inference.load import load
from zoo.runs import predict, submit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", members=1)


@pytest.fixture
def films(tmp_path):
    return noise_folder(tmp_path / "films", "film")


@pytest.mark.parametrize("command", ["submit", "predict"])
def test_images_are_scored_by_the_runtime_asked_for(command, films, tmp_path, monkeypatch):
    asked, model = [], standin.predictor()

    def loading(name, **how):
        asked.append((name, how))
        return model

    monkeypatch.setattr("zoo.inference.load.load", loading)
    arguments = [command, str(films), "--model", "m", "--out", str(tmp_path / "out.csv")]
    assert main([*arguments, "--runtime", "openvino", "--precision", "bfloat16", "--max-seconds", "7"]) == 0
    assert asked == [("m", {"runtime": "openvino", "precision": "bfloat16"})]
    assert sum(model.runtime.calls) == 4
    assert model.limits.seconds == 7


def test_a_submission_follows_the_sample_and_has_no_gap(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    names = ["film3.png", "film0.png", "film2.png"]
    pd.DataFrame({"Image_name": names}).to_csv(sample, index=False)
    out = tmp_path / "submission.csv"
    counts = submit.write_submission(load(folder), [films], out, Silent(), sample=sample)
    assert counts == predict.Counts(images=3, unreadable=1)
    table = pd.read_csv(out)
    assert list(table.columns) == ["Image_name", *FINDINGS3]
    assert list(table["Image_name"]) == names
    np.testing.assert_allclose(table.iloc[2, 1:].astype(float), table.iloc[:2, 1:].mean(), rtol=1e-5)


def test_a_sample_that_asks_for_other_images_is_refused(folder, films, tmp_path):
    sample = tmp_path / "sample.csv"
    pd.DataFrame({"Image_name": ["film0.png", "elsewhere.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match=r"1 of 2 .*elsewhere\.png"):
        submit.write_submission(load(folder), [films], tmp_path / "s.csv", Silent(), sample=sample)
    pd.DataFrame({"name": ["film0.png"]}).to_csv(sample, index=False)
    with pytest.raises(TableError, match="Image_name"):
        submit.write_submission(load(folder), [films], tmp_path / "s.csv", Silent(), sample=sample)


class Told(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
    return path


def submitted(tmp_path, folder, sources, lines, told=None):
    """The lines of the submission for a sample of these lines."""
    sample, out = tmp_path / "sample.csv", tmp_path / "submission.csv"
    sample.write_bytes("\n".join(lines).encode())
    submit.write_submission(load(folder), sources, out, told or Silent(), sample=sample)
    return out.read_text().splitlines()


def test_identifiers_come_back_as_they_are(folder, tmp_path):
    made = tmp_path / "made"
    uid, name = "1.2.276.0.7230010.1001", "Mu\u0308ller"
    for seed, file in enumerate(("00001.png", "1.png", f"{uid}.png", "M\u00fcller.png", "NA.png", "x.JPG")):
        draw(made / file, seed)
    ids = ["00001", uid, "1", name, "NA", "x.jpg", "00001"]
    lines = submitted(tmp_path, folder, [made], ["File name", *ids])
    assert lines[0] == ",".join(["File name", *FINDINGS3])
    assert [line.split(",")[0] for line in lines[1:]] == ids
    assert lines[1] == lines[7]
    assert lines[1].split(",")[1:] != lines[3].split(",")[1:]
    paths = [made / f for f in ("00001.png", f"{uid}.png", "1.png")]
    chances = zoo.load(folder).predict(paths)
    np.testing.assert_allclose([[float(v) for v in line.split(",")[1:]] for line in lines[1:4]], chances, rtol=1e-5)


def test_blanks_in_an_identifier_stay(folder, tmp_path):
    draw(tmp_path / "made" / "a.png", 0)
    lines = submitted(tmp_path, folder, [tmp_path / "made"], ["Image_name", " a.png "])
    assert lines[1].startswith(" a.png ,")


def test_two_images_of_one_name_are_both_shown(folder, tmp_path):
    for seed, side in enumerate("ab"):
        draw(tmp_path / "made" / side / "x0.png", seed)
    with pytest.raises(TableError) as caught:
        submitted(tmp_path, folder, [tmp_path / "made"], ["Image_name", "x0.png"])
    assert all(str(tmp_path / "made" / side / "x0.png") in str(caught.value) for side in "ab")
    out = tmp_path / "s.csv"
    with pytest.raises(TableError) as caught:
        submit.write_submission(load(folder), [tmp_path / "made"], out, Silent())
    assert all(str(tmp_path / "made" / side / "x0.png") in str(caught.value) for side in "ab")
    assert not out.exists()
    lines = submitted(tmp_path, folder, [tmp_path / "made"], ["Image_name", "b/x0.png", r"a\x0.png"])
    chances = zoo.load(folder).predict([tmp_path / "made" / side / "x0.png" for side in "ba"])
    np.testing.assert_allclose([[float(v) for v in line.split(",")[1:]] for line in lines[1:]], chances, rtol=1e-5)


def test_other_columns_are_an_error_that_names_missing_and_extra(folder, films, tmp_path):
    columns = ["Image_name", *FINDINGS3[:-1], "Hernia", "Usage"]
    with pytest.raises(TableError, match=rf"missing '{FINDINGS3[-1]}'; extra 'Hernia', 'Usage'"):
        submitted(tmp_path, folder, [films], [",".join(columns), "film0.png" + ",0" * 4])
    assert not (tmp_path / "submission.csv").exists()


def test_the_samples_own_columns_stay_in_its_order_and_spelling(folder, films, tmp_path):
    headers = [finding.upper().replace(" ", "_") for finding in reversed(FINDINGS3)]
    columns = [headers[0], "Image Index", *headers[1:]]
    lines = submitted(tmp_path, folder, [films], [",".join(columns), "0,film0.png,0,0"])
    assert lines[0].split(",") == columns
    values = lines[1].split(",")
    assert values.pop(1) == "film0.png"
    chances = zoo.load(folder).predict([films / "film0.png"])[0]
    np.testing.assert_allclose([float(value) for value in values], chances[::-1], rtol=1e-5)


def test_without_a_readable_image_nothing_is_written(folder, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImageError, match=r"none of 2 images can be read.*a\.png"):
        submit.write_submission(load(folder), [tmp_path], tmp_path / "new" / "s.csv", Silent())
    assert not (tmp_path / "new" / "s.csv").exists()


def test_the_unreadable_get_the_mean_of_the_others_and_are_named(folder, films, tmp_path):
    told, out = Told(), tmp_path / "s.csv"
    assert submit.write_submission(load(folder), [films], out, told) == predict.Counts(5, 1)
    table = pd.read_csv(out, index_col="Image_name")
    chances = zoo.load(folder).predict([films / f"film{i}.png" for i in (0, 1, 3, 4)])
    np.testing.assert_allclose(table.loc["film2.png"], chances.mean(axis=0), rtol=1e-5)
    (said,) = [text for text in told.messages if "mean" in text]
    assert said.startswith("1 of 5 images cannot be read, and get each finding's mean over the other 4: ")
    assert "film2.png" in said


def test_images_that_the_sample_leaves_out_are_counted(folder, films, tmp_path):
    told = Told()
    submitted(tmp_path, folder, [films], ["Image_name", "film0"], told)
    assert any(text.startswith("images without a row in the sample: 4 of 5, first") for text in told.messages)
    assert any("regardless of extension: 'film0' is" in text for text in told.messages)
