"""`zoo evaluate` as a user calls it: files of predictions, and a release on labelled films."""

import json

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release, tiny_spec

from zoo.cli import main
from zoo.data.phantoms import make_phantoms
from zoo.evaluation.decision import Decision
from zoo.findings import FINDINGS

FAST = ["--resamples", "20"]


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
    assert main([*command, "--out", str(out), *FAST]) == 0
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


def test_what_is_asked_must_be_one_of_two_things(files, capsys):
    for arguments in (["--out", "x"], ["model", "--predictions", "a.csv", "--data", "d", "--out", "x"]):
        assert main(["evaluate", *arguments]) == 1
        assert capsys.readouterr().err.startswith("zoo evaluate: give either a release and --data DIR")


def test_probabilities_that_are_none_are_asked_about(files, capsys):
    table = pd.read_csv(files / "model.csv")
    table["prob_Edema"] = table["prob_Edema"] * 7 - 2
    table.to_csv(files / "model.csv", index=False)
    command = ["evaluate", "--predictions", str(files / "model.csv"), "--labels", str(files / "labels.csv")]
    assert main([*command, "--kind", "probabilities", "--out", str(files / "out"), *FAST]) == 1
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
    parts = {part: {"images": [], "positives": {}} for part in ("train", "tune", "test")}
    parts["train"]["images"] = names[1:4]
    (tmp_path / "split.json").write_text(json.dumps(split | {"parts": parts}))
    command = ["evaluate", str(folder), "--data", str(tmp_path / "films"), "--trained-on", str(tmp_path / "split.json")]
    assert main([*command, "--out", str(tmp_path / "out"), *FAST]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert metrics["leakage"]["files"]["shared"]["positives"] == 3
    assert set(metrics["coherence"]) >= {"children", "any"}
    assert metrics["mistakes"]
    assert "3 of these films were trained or tuned on" in " ".join(capsys.readouterr().err.split())
    assert "data:image/" in (tmp_path / "out" / "report.html").read_text("utf-8")


def _release(folder, spec):
    from builders import tiny_ensemble

    from zoo.hub import release

    return release.write(folder, tiny_ensemble(spec), spec, Decision(spec.findings))


def test_a_predictor_explains_a_finding_by_name(tmp_path):
    import zoo

    predictor = zoo.load(tiny_release(tmp_path / "release"))
    film = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)
    seen = predictor.explain(film, "Edema")
    assert seen.heatmap.shape == (48, 40)
    assert seen.finding == "Edema"
    np.testing.assert_allclose(seen.probability, predictor.predict([film])[0, 1], atol=1e-5)
    assert seen.save(tmp_path / "edema.png").stat().st_size > 100
    with pytest.raises(KeyError, match="did you mean 'Edema'"):
        predictor.explain(film, "Oedema")
