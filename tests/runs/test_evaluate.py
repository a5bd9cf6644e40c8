"""`zoo evaluate` as a user calls it: files of predictions, and a release on labelled films."""

import argparse
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from builders import tiny_ensemble, tiny_release, tiny_spec
from PIL import Image

import zoo
from zoo.cli import main
from zoo.core import home
from zoo.core.progress import Silent
from zoo.data import contents
from zoo.data.phantoms.drawing import make_phantoms
from zoo.evaluation.decision import Decision
from zoo.labels.findings import FINDINGS
from zoo.release.read import read_release
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release
from zoo.runs import evaluate, results, seen_before

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def files(tmp_path):
    """Predictions in one order of columns and rows, labels in another."""
    rng = np.random.default_rng(3)
    labels = pd.DataFrame((rng.random((80, 3)) < 0.4).astype(int), columns=["Edema", "Fracture", "Atelectasis"])
    chances = (0.2 + 0.2 * labels + rng.random((80, 3)) * 0.5).clip(0, 1)
    names = [f"film{i}.png" for i in range(80)]
    labels.insert(0, "Image_name", names)
    labels.insert(1, "Patient_ID", [f"p{i // 2}" for i in range(80)])
    chances = chances[["Atelectasis", "Edema", "Fracture"]].add_prefix("prob_")
    chances.insert(0, "Image_name", names)
    chances.sample(frac=1, random_state=1).to_csv(tmp_path / "model.csv", index=False)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_predictions_against_labels_give_a_table_metrics_and_a_report(files, capsys):
    out = files / "results"
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    for finding in ("Atelectasis", "Edema", "Fracture"):
        auc = metrics["findings"][finding]["auc"]
        assert auc["n"] == 80
        assert f"| {finding} | 80 | {auc['positives']} | {auc['value']:.3f} [" in shown
    assert metrics["patients"] == 40
    assert "not a medical device" in shown
    page = (out / "report.html").read_text("utf-8")
    assert "Research software, not a medical device" in page
    assert (out / "figures" / "roc.png").is_file()


def test_a_decision_is_fitted_on_a_share_of_the_patients_and_reported_on_the_others(files):
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    asked = ["--fit", "platt", "--validation-share", "0.5", "--promise", "0.6", "--confidence", "0.8"]
    asked += ["--prevalence", "Edema=0.2", "--coherent", "--out", str(files / "out")]
    assert main([*command, *asked]) == 0
    metrics = json.loads((files / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["patients"], metrics["split"], len(metrics["split_hash"])) == (40, 20, "test", 64)
    point = metrics["points"]["sensitivity_90"]
    assert (point["origin"]["split"], point["origin"]["split_hash"]) == ("validation", metrics["split_hash"])
    assert point["origin"]["n"] == [40, 40, 40]
    assert metrics["prevalence"]["Edema"]["moved_to"] == 0.2
    assert set(metrics["abstention"]["Edema"]) == {"decided", "sensitivity", "specificity"}
    assert metrics["leakage"]["patients of the validation data"]["shared"]["positives"] == 0
    assert set(metrics["projection"]) == set(metrics["models"]["model, coherent"]["findings"])
    decision = Decision.from_dict(json.loads((files / "out" / "decision.json").read_text()))
    assert decision.operating_points["sensitivity_60_guaranteed"].origin.target == 0.6
    page = (files / "out" / "report.html").read_text("utf-8")
    assert "Target prevalence of probabilities and thresholds" in page
    assert "Abstention between the two guaranteed points" in page


def test_flags_of_older_versions_work_and_are_not_shown(capsys):
    from zoo.cli import judge

    parser = argparse.ArgumentParser()
    judge.add(parser.add_subparsers())
    flags = {"--tune": "--validation", "--tune-share": "--validation-share", "--promise": "--guarantee"}
    asked = ["evaluate", "--out", "o", "--tune", "a", "b", "--tune-share", "0.3", "--promise", "0.9"]
    old, new = parser.parse_args(asked), parser.parse_args([flags.get(word, word) for word in asked])
    assert vars(old) == vars(new)
    assert parser.parse_args(["evaluate", "--out", "o"]).validation == []
    with pytest.raises(SystemExit):
        parser.parse_args(["evaluate", "--help"])
    shown = capsys.readouterr().out
    assert "--validation-share" in shown
    assert "--tune" not in shown
    assert "--promise" not in shown


def test_validation_data_of_their_own_or_marked_as_such(files, capsys):
    labels = pd.read_csv(files / "labels.csv")
    chosen = labels["Patient_ID"].isin({f"p{i}" for i in range(15)})
    labels.assign(Split=np.where(chosen, "valid", "test")).to_csv(files / "parts.csv", index=False)
    model = pd.read_csv(files / "model.csv").set_index("Image_name").loc[labels["Image_name"]].reset_index()
    model[chosen].to_csv(files / "validation.csv", index=False)
    model[~chosen].to_csv(files / "rest.csv", index=False)
    asked = ["--fit", "temperature"]
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "parts.csv")]
    assert main([*command, *asked, "--out", str(files / "marked")]) == 0
    command = ["evaluate", "--predictions", str(files / "rest.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, *asked, "--validation", str(files / "validation.csv"), "--out", str(files / "own")]) == 0
    marked, own = (json.loads((files / name / "metrics.json").read_text()) for name in ("marked", "own"))
    assert marked["split_hash"] == own["split_hash"]
    for name, point in marked["points"].items():
        assert point["thresholds"] == pytest.approx(own["points"][name]["thresholds"])
    for finding, row in marked["findings"].items():
        assert row["auc"] == pytest.approx(own["findings"][finding]["auc"])
    assert marked["n"] == 50
    assert main([*command, *asked, "--tune", str(files / "validation.csv"), "--out", str(files / "older")]) == 0
    assert json.loads((files / "older" / "metrics.json").read_text())["points"] == own["points"]
    capsys.readouterr()
    wrong = {"--validation FILE, or draw a share": [], "50 images are in": ["--validation", str(files / "model.csv")]}
    for message, given in wrong.items():
        assert main([*command, *asked, *given, "--out", str(files / "x")]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--validation-share", "0.5"], "nothing to fit on them"),
        (["--promise", "0.9"], "say --fit auto as well"),
        (["--prevalence", "Edema=0.1"], "say --fit auto as well"),
        (["--fit", "auto", "--validation-share", "0.5", "--prevalence", "Edema"], "takes FINDING=SHARE"),
        (["--fit", "auto", "--validation-share", "0.5", "--prevalence", "Oedema=0.1"], "did you mean 'Edema'"),
        (["--fit", "auto", "--validation-share", "1"], "is more than 0 and less than 1"),
        (["--fit", "auto", "--validation-share", "0.5", "--kind", "scores"], "scores of unknown scale"),
        (["--training-images", "films"], "--training-images: is for a release on --data"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(files, capsys, asked, message):
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, *asked, "--out", str(files / "x")]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_patients_and_names_of_the_training_are_found_in_predictions(files, capsys):
    films = {"images": ["film0.png", "film70.jpg", "elsewhere.png"], "patients": ["p0", "p35", "p99"]}
    (files / "split.json").write_text(json.dumps({"parts": {"train": films, "test": {"images": ["film9.png"]}}}))
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, "--trained-on", str(files / "split.json"), "--out", str(files / "out")]) == 0
    found = json.loads((files / "out" / "metrics.json").read_text())["leakage"]
    assert found["files"]["names"] == ["film0.png"]
    assert found["patients"]["names"] == ["p0", "p35"]
    assert found["patients"]["rows"]["positives"] == 4
    assert "2 of 40 patients were used in training or validation" in " ".join(capsys.readouterr().err.split())


def test_what_is_asked_must_be_one_of_two_things(files, capsys):
    for arguments in (["--out", "x"], ["model", "--predictions", "a.csv", "--data", "d", "--out", "x"]):
        assert main(["evaluate", *arguments]) == 1
        assert capsys.readouterr().err.startswith("zoo evaluate: give either a release and --data DIR")


def test_probabilities_that_are_none_are_asked_about(files, capsys):
    table = pd.read_csv(files / "model.csv")
    table["prob_Edema"] = table["prob_Edema"] * 7 - 2
    table.to_csv(files / "model.csv", index=False)
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, "--kind", "probabilities", "--out", str(files / "out")]) == 1
    err = capsys.readouterr().err
    assert "Edema" in err
    assert err.count("\n") == 1


def test_a_release_on_labelled_films(tmp_path, capsys):
    make_phantoms(tmp_path / "films", 40, seed=5)
    (tmp_path / "films" / "train2").joinpath("broken.jpg").write_bytes(b"no image")
    spec = tiny_spec(2, findings=FINDINGS)
    folder = _release(tmp_path / "release", spec)
    split = {"format": 1, "by": "image", "seed": 0, "fractions": [1, 0, 0], "hash": "5" * 64}
    names = pd.read_csv(tmp_path / "films" / "train2.csv")["Image_name"].tolist()
    parts = {part: {"images": [], "positives": {}} for part in ("train", "validation", "test")}
    parts["train"]["images"] = names[1:4]
    films = tmp_path / "films" / "train2"
    # A copy of an image under another name, and one trained on under another name and format.
    (films / names[9]).write_bytes((films / names[8]).read_bytes())
    (tmp_path / "trained").mkdir()
    with Image.open(films / names[7]) as film:
        film.save(tmp_path / "trained" / "other.png")
    parts["validation"]["images"] = ["other.png"]
    (tmp_path / "split.json").write_text(json.dumps(split | {"parts": parts}))
    command = ["evaluate", str(folder), "--data", str(tmp_path / "films"), "--trained-on", str(tmp_path / "split.json")]
    command += ["--training-films", str(tmp_path / "trained")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["split"] == "all"  # the table was not divided
    assert metrics["leakage"]["files"]["shared"]["positives"] == 3
    content = metrics["leakage"]["content"]
    assert content["pairs"] == [{"evaluated": names[7], "train": "other.png", "by": "pixels"}]
    assert content["groups"] == [[names[8], names[9]]]
    assert set(metrics["coherence"]) >= {"children", "any"}
    assert metrics["mistakes"]
    assert "3 of these images were used in training or validation" in " ".join(capsys.readouterr().err.split())
    assert "data:image/" in (tmp_path / "out" / "report.html").read_text("utf-8")


def _release(folder, spec, **options):
    from builders import tiny_ensemble

    from zoo.release.write import write_release

    return write_release(folder, tiny_ensemble(spec), spec, Decision(spec.findings), **options)


@pytest.fixture
def no_heatmaps(monkeypatch):
    """They take most of the time of an evaluation."""
    monkeypatch.setattr(results, "mistakes", lambda *args, **options: [])


def test_a_release_that_knows_its_images_warns_with_counts(no_heatmaps, tmp_path, capsys):
    make_phantoms(tmp_path / "films", 30, seed=5)  # 3 of them have no image
    films = tmp_path / "films" / "train2"
    names = pd.read_csv(tmp_path / "films" / "train2.csv")["Image_name"].tolist()
    digests = [contents.digest(films / name) for name in names]
    record = TrainedOn.of(digests[:7], digests[7:9])
    with Image.open(films / names[0]) as film:
        film.save(films / names[0], quality=30)  # saved anew: another file
    (films / names[29]).write_bytes((films / names[8]).read_bytes())  # an equal file under another name
    spec = tiny_spec(1, findings=FINDINGS)
    known = _release(tmp_path / "known", spec, trained_on=record)
    command = ["evaluate", "--data", str(tmp_path / "films")]
    assert main([*command, str(known), "--out", str(tmp_path / "out")]) == 0
    shown, told = (" ".join(text.split()) for text in capsys.readouterr())
    said = "known was trained on 6 of these 27 images, and 3 were used for its validation: figures on them flatter"
    assert said in told
    assert said in shown
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    counts = {
        part: (own["positives"], own["n"]) for part, own in metrics["trained_on"].items() if part != "not_compared"
    }
    assert counts == {"training": (6, 27), "validation": (3, 27)}
    assert metrics["trained_on"]["not_compared"] == 0
    page = " ".join((tmp_path / "out" / "report.html").read_text("utf-8").split())
    assert said in page
    assert "files of its validation part" in page
    others = _release(tmp_path / "others", spec, trained_on=TrainedOn.of(["ab" * 32], []))
    assert main([*command, str(others), "--out", str(tmp_path / "none")]) == 0
    assert "others was trained on none of these 27 image files" in " ".join(capsys.readouterr().err.split())
    unknown = _release(tmp_path / "unknown", spec)
    assert main([*command, str(unknown), "--out", str(tmp_path / "older")]) == 0
    assert "unknown does not record which images it was trained on" in " ".join(capsys.readouterr().err.split())
    assert "trained_on" not in json.loads((tmp_path / "older" / "metrics.json").read_text())


def test_a_table_of_a_known_set_is_recognised_and_unreadable_images_are_listed(no_heatmaps, tmp_path, capsys):
    (tmp_path / "nih" / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{i:08d}_000.png" for i in range(12)]
    for name in names[1:]:
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / "nih" / "images" / name)
    (tmp_path / "nih" / "images" / names[3]).write_bytes(b"no image")
    table = pd.DataFrame({"Image Index": names, "Finding Labels": ["Edema", "No Finding", "Effusion"] * 4})
    table = table.assign(**{"Patient ID": range(12), "Patient Age": 50, "Patient Gender": "F", "View Position": "PA"})
    table.to_csv(tmp_path / "nih" / "Data_Entry_2017.csv", index=False)
    folder = _release(tmp_path / "release", tiny_spec(1, findings=FINDINGS))
    assert main(["evaluate", str(folder), "--data", str(tmp_path / "nih"), "--out", str(tmp_path / "out")]) == 0
    shown, told = (" ".join(text.split()) for text in capsys.readouterr())
    assert "read as 'nih'" in told
    assert "2 of 12 images of the table were left out (no file: 1, not readable: 1)" in told
    assert f"Left out: 2 of 12 images of the table ({names[3]}: not an image" in shown
    assert f"{names[0]}: no such file" in shown
    assert "release, all images of the table Research software" in shown
    assert "test part" not in shown
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["split"]) == (10, "all")
    assert (metrics["left_out"]["images"]["positives"], metrics["left_out"]["images"]["n"]) == (2, 12)
    assert [image["image"] for image in metrics["left_out"]["first"]] == [names[3], names[0]]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Images left out" in page
    assert names[3] in page
    assert "test part" not in page


@pytest.mark.real
def test_the_included_release_knows_the_real_images_that_it_was_trained_on(nih_dir, tmp_path):
    model = zoo.load("nih-lite")
    known = read_release(home.INCLUDED / "nih-lite").trained_on
    paths = [str(path) for path in sorted((nih_dir / "images").iterdir())]
    seen, said = seen_before.among(model, paths, Silent())
    assert 0 < seen.training.positives <= len(known.train)
    assert 0 < seen.validation.positives <= len(known.validation)
    assert seen.training.positives + seen.validation.positives < seen.training.n == len(paths)
    assert "figures on them flatter" in said


def test_a_predictor_explains_a_finding_by_name(tmp_path):
    predictor = zoo.load(tiny_release(tmp_path / "release"))
    film = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)
    seen = predictor.explain(film, "Edema")
    assert seen.heatmap.shape == (48, 40)
    assert seen.finding == "Edema"
    np.testing.assert_allclose(seen.probability, predictor.predict([film])[0, 1], atol=1e-5)
    assert seen.save(tmp_path / "edema.png").stat().st_size > 100
    with pytest.raises(KeyError, match="did you mean 'Edema'"):
        predictor.explain(film, "Oedema")


def test_the_members_of_a_release_have_their_table_where_a_part_is_fitted_on(no_heatmaps, tmp_path):
    folder = tiny_release(tmp_path / "release")
    make_phantoms(tmp_path / "data", 40, seed=5)
    command = ["evaluate", str(folder), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*command, "--fit", "auto", "--validation-share", "0.5"]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["members"]
    assert list(found["members"]) == ["tiny0", "tiny1"]
    assert {"uniform", "fitted", "greedy", found["best"]} <= set(found["choices"])
    assert all(member["without_auc"]["n"] > 0 and member["log_loss"] > 0 for member in found["members"].values())
    assert "The members" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert evaluate._no_members("keras", "image") == ()
    (said,) = evaluate._no_members("openvino", "image")
    assert said.startswith("the table of the members is left out: runtime 'openvino' computes their mean alone")


def test_members_with_a_finding_that_no_data_trained_have_their_table_too(no_heatmaps, tmp_path):
    spec = dataclasses.replace(tiny_spec(), untrained=("Edema",))
    write_release(tmp_path / "release", tiny_ensemble(spec), spec, Decision(spec.findings), card="# tiny")
    make_phantoms(tmp_path / "data", 40, seed=5)
    command = ["evaluate", str(tmp_path / "release"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*command, "--fit", "auto", "--validation-share", "0.5"]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["findings"]["Edema"]["auc"]["value"] is None
    uniform = metrics["members"]["choices"]["uniform"]["auc"]
    assert (uniform["value"], uniform["n"]) == (metrics["macro"]["auc"]["value"], metrics["macro"]["auc"]["n"])
