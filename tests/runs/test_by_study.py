"""`zoo evaluate --by study`: joined scores and labels, the rule fitted on validation studies, intervals by patient."""

import json

import numpy as np
import pandas as pd
import pytest
from builders import FINDINGS3, tiny_ensemble, tiny_spec
from PIL import Image
from sklearn.metrics import roc_auc_score

import zoo
from zoo.cli import main
from zoo.evaluation.decision import Decision
from zoo.evaluation.studies.rule import StudyRule
from zoo.release.write import write_release

pytestmark = pytest.mark.usefixtures("undrawn")
RULE = StudyRule(("mean", "max", "mean"), "validation", studies=7)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    spec = tiny_spec(2)
    folder = tmp_path_factory.mktemp("release") / "tiny"
    return write_release(folder, tiny_ensemble(spec), spec, Decision(spec.findings, studies=RULE))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 patients, each with a study of two views and one of a single view; labels differ within one study."""
    folder, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(2), []
    for patient in range(40):
        for study, views in ((1, ("PA", "LL")), (2, ("PA",))):
            labels = (rng.random(3) < 0.5).astype(int)
            for view in views:
                name = f"{patient}-{study}-{view}.png"
                pixels = rng.integers(0, 256, (32, 32))
                Image.fromarray(np.clip(pixels * (0.5 + 0.3 * labels[1]), 0, 255).astype(np.uint8)).save(folder / name)
                rows.append([name, f"p{patient}", study, view, *labels])
    rows[1][4] = 1 - rows[0][4]
    pd.DataFrame(rows, columns=["Image_name", "Patient_ID", "Study", "View", *FINDINGS3]).to_csv(
        folder / "table.csv", index=False
    )
    return folder


def evaluated(release, data, out, *more):
    command = ["evaluate", str(release), "--data", str(data / "table.csv"), "--out", str(out), "--by", "study"]
    assert main([*command, *more]) == 0
    return json.loads((out / "metrics.json").read_text())


def test_each_row_is_a_study_and_its_auc_is_that_of_joined_logits(release, data, tmp_path, capsys):
    metrics = evaluated(release, data, tmp_path)
    table = pd.read_csv(data / "table.csv", dtype={"Patient_ID": str})
    logits = np.concatenate([b.logits for b in zoo.load(release).stream([data / n for n in table["Image_name"]])])
    groups = table[["Patient_ID", "Study"]].agg(lambda row: f"{row['Patient_ID']}_{row['Study']}", axis=1)
    joined = (
        pd.DataFrame(logits, columns=list(FINDINGS3)).groupby(groups).agg(dict(zip(FINDINGS3, RULE.how, strict=True)))
    )
    labels = table.groupby(groups)[list(FINDINGS3)].max()
    for finding in FINDINGS3:
        row = metrics["findings"][finding]["auc"]
        assert row["value"] == pytest.approx(roc_auc_score(labels[finding], joined[finding]), abs=1e-6)
        assert row["n"] == 80
    assert (metrics["n"], metrics["patients"]) == (80, 40)
    notes = " ".join(metrics["notes"])
    assert "by study: each row is one of 80 studies (120 images; 40 studies of several images)" in notes
    assert f"maximum for {FINDINGS3[1]} (fitted on 7 studies of the validation part)" in notes
    assert f"studies whose images have different labels, which count as positive: {FINDINGS3[0]} 1" in notes
    # Views differ within the studies of two images, so that their view is unknown.
    views = metrics["subgroups"]["groupings"]["view"]
    assert ({name: group["n"] for name, group in views["groups"].items()}, views["unknown"]) == ({"PA": 40}, 40)
    capsys.readouterr()


def test_the_rule_is_fitted_on_the_validation_part_with_the_decision(release, data, tmp_path, capsys):
    metrics = evaluated(release, data, tmp_path, "--fit", "temperature", "--validation-share", "0.5")
    assert (metrics["n"], metrics["patients"]) == (40, 20)
    assert "table of the members is left out: it is made by image" in " ".join(metrics["notes"])
    assert "table of the members is left out: it is made by image" in capsys.readouterr().out
    assert "table of the members is left out: it is made by image" in (tmp_path / "report.html").read_text("utf-8")
    decision = Decision.from_dict(json.loads((tmp_path / "decision.json").read_text()))
    assert decision.studies is not None
    assert (decision.studies.split, decision.studies.studies) == ("validation", 20)
    assert decision.studies.split_hash == metrics["split_hash"]
    assert decision.point("max_f1").origin.n == (40, 40, 40)
    capsys.readouterr()


def test_a_table_without_studies_says_what_is_missing(release, data, tmp_path, capsys):
    table = pd.read_csv(data / "table.csv").drop(columns="Study")
    table.to_csv(data / "without.csv", index=False)
    command = ["evaluate", str(release), "--data", str(data / "without.csv"), "--out", str(tmp_path), "--by", "study"]
    assert main(command) == 1
    assert "the table needs a column Study" in capsys.readouterr().err
    assert main(["evaluate", "--predictions", "a.csv", "--by", "study", "--out", str(tmp_path)]) == 1
    assert "not files of predictions" in capsys.readouterr().err
