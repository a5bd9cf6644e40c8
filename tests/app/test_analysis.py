"""What the page is told of each file: the numbers of the model, its heatmaps, and why a file has none."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from PIL import Image
from served import png

from zoo.app import html
from zoo.app.analysis import File, analyse
from zoo.app.facts import facts_of
from zoo.explain.explanation import explain
from zoo.inference.load import load

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tiny_release(tmp_path_factory.mktemp("app") / "tiny"))


@pytest.fixture(scope="module")
def found(model):
    files = [File("a.png", png(0)), File("notes.txt", b"notes"), File("b.png", png(1)), File("c.png", problem="late")]
    return list(analyse(model, facts_of(model), files))


def test_numbers_are_those_of_the_model_and_bad_files_have_a_reason(model, found):
    assert [result.file for result in found] == ["a.png", "notes.txt", "b.png", "c.png"]
    assert "not an image" in found[1].error
    assert "image 0" not in found[1].error
    assert found[3].error == "late"
    expected = model.findings([png(0), png(1)])
    rows = [*found[0].rows, *found[2].rows]
    assert [row.finding for row in rows] == list(expected["finding"])
    np.testing.assert_allclose([row.probability for row in rows], expected["probability"], atol=1e-6)
    assert [row.threshold for row in rows] == [0.3, 0.3, None] * 2
    assert [row.positive for row in rows] == [None if pd.isna(p) else bool(p) for p in expected["positive"]]


def test_a_heatmap_is_the_explanation_with_its_values_as_opacity(model, found):
    picture = Image.open(io.BytesIO(base64.b64decode(found[0].rows[1].heatmap.partition(",")[2])))
    expected = explain(model.model, png(0), 1, decision=model.decision).heatmap
    opacity = np.asarray(picture)[..., 3] / 255
    assert opacity.shape == expected.shape
    assert np.abs(opacity - expected).mean() < 0.02


def test_the_table_has_the_rows_of_all_files_that_were_read(model, found):
    page = html.results(found, facts_of(model), 4, "0")
    data = page.partition('download="findings.csv" href="')[2].partition('"')[0]
    table = pd.read_csv(io.BytesIO(base64.b64decode(data.partition(",")[2])))
    assert list(table["image"].unique()) == ["a.png", "notes.txt", "b.png"]
    assert table.loc[table["image"] == "notes.txt", "probability"].isna().all()


def test_names_of_files_are_texts_and_no_markup(model):
    name = "<img src=x onerror=alert(1)>.png"
    page = html.results(list(analyse(model, facts_of(model), [File(name, b"x")])), facts_of(model), 1, "0")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_facts_are_those_of_the_release():
    nih = load("nih-lite")
    facts = facts_of(nih)
    assert (facts.name, facts.licence, facts.data) == ("nih-lite", "apache-2.0", "a part of NIH ChestX-ray14")
    assert facts.auc == nih.metrics.macro.auc
    assert facts.measured.startswith("test part: ")
    point = nih.decision.default
    assert facts.sensitivity["Pneumonia"] == nih.metrics.findings["Pneumonia"].get("sensitivity", point)
    # A sensitivity belongs to the threshold at which it was measured.
    other = nih.decision.to_dict()
    other["operating_points"][point]["thresholds"][0] = 0.5
    from zoo.evaluation.decision import Decision

    changed = nih.with_decision(Decision.from_dict(other))
    assert "Atelectasis" in facts.sensitivity
    assert "Atelectasis" not in facts_of(changed).sensitivity
