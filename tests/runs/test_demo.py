"""What `zoo demo` shows: a real image first, and a last screen that fits a terminal."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from zoo.evaluation import report
from zoo.evaluation.result.members import Members, WeightChoice
from zoo.evaluation.result.numbers import Estimate
from zoo.evaluation.scores import Scores
from zoo.labels.findings import FINDINGS
from zoo.runs import demo


class Said:
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


class Included:
    """Stands for the model in the package."""

    def findings(self, images):
        rows = {"finding": ["Edema", "Fracture"], "probability": [0.81, 0.2], "positive": [True, False]}
        return pd.DataFrame({"image": images[0], **rows, "error": ""})

    def explain(self, image, finding):
        self.explained = finding
        return self

    def save(self, path):
        path.write_bytes(b"map")
        return path


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 14)) < 0.4).astype(np.float32)
    strengths = {"xrayslam-demo": 3, "resnet50": 2, "efficientnetb3": 1, "densenet121": 2, "uniform": 2, "baseline": 1}
    scores = {
        name: Scores(rng.normal(size=labels.shape) + strength * labels, labels, FINDINGS, "test")
        for name, strength in strengths.items()
    }
    return report.evaluate(scores, {})


def test_the_first_lines_are_of_a_real_image(tmp_path, monkeypatch):
    model, said, run = Included(), Said(), tmp_path / "run"
    monkeypatch.setattr(demo.load, "load", lambda *_, **__: model)
    demo._show_included(run, said)
    assert said.lines[1] == "  Edema 0.81*, Fracture 0.20"
    assert model.explained == "Edema"
    assert said.lines[2] == f"  heatmap of Edema: {run / demo.HEATMAP}"
    assert (run / demo.HEATMAP).is_file()
    demo._show_included(run, said)  # a resumed demo does not show it again
    assert len(said.lines) == 3


def test_the_table_holds_each_model_and_its_paired_difference(result):
    lines = demo.results_table(result).splitlines()
    assert lines[0] == "60 images of 60 patients, the test part; 95% intervals in brackets"
    assert [line.split()[0] for line in lines[2:]] == list({result.model: 0} | result.models)
    auc, less = result.macro.auc, result.differences["resnet50"].macro.auc
    assert f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" in lines[2]
    assert f"{less.value:+.3f} [{less.low:+.3f}, {less.high:+.3f}]" in lines[3]


def test_uniform_weights_stand_beside_fitted_ones(result):
    auc, less = Estimate(0.852, 0.83, 0.871, 60, 20), Estimate(0.028, 0.011, 0.045, 60, 20)
    choices = {"fitted": WeightChoice(auc, auc), "uniform": WeightChoice(auc, auc, less, less)}
    fitted = dataclasses.replace(result, members=Members("fitted", "resnet50", {}, choices))
    line = demo.results_table(fitted).splitlines()[3]
    assert line.split("  ")[0] == "the same, uniform weights"
    assert line.endswith("0.852 [0.830, 0.871]  +0.028 [+0.011, +0.045]")


def test_the_last_screen_fits_a_terminal(result, tmp_path, monkeypatch, capsys):
    from zoo.cli import main

    images = pd.DataFrame({"image": [f"test2/0000{i}_001_001.jpg" for i in range(demo.UNSEEN) for _ in FINDINGS]})
    images["finding"], images["probability"], images["error"] = [*FINDINGS] * demo.UNSEEN, 0.5, ""
    images["positive"] = True
    screen = f"{demo.results_table(result)}\n\n{demo._most_likely(images)}"
    shown = demo.Demo("xrayslam-demo", screen, tmp_path.relative_to(tmp_path) / "runs/xrayslam-demo/report.html")
    monkeypatch.setattr(demo, "run", lambda *_, **__: shown)
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "Enlarged Cardiomediastinum" not in lines[0]
    assert "zoo predict IMAGES --model xrayslam-demo" in "\n".join(lines)


def test_the_recipe_is_that_of_three_real_backbones_with_fitted_weights():
    recipe = demo.load_recipe("xrayslam_demo")
    assert [member.backbone for member in recipe.ensemble.members] == ["resnet50", "efficientnetb3", "densenet121"]
    assert (recipe.ensemble.weighting, recipe.members, recipe.ensemble.image_size) == ("fitted", "parallel", 64)
