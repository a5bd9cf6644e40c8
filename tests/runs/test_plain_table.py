"""A table of one's own, all the way: trained, resumed, evaluated, with findings that nobody else has."""

import json
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

from zoo.cli import main
from zoo.data.phantoms.drawing import make_phantoms

pytestmark = pytest.mark.usefixtures("undrawn")
RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"
COLUMNS = ("--image-column", "file", "--patient-column", "case")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table with semicolons, decimal commas, its own names, and findings of its own."""
    folder = tmp_path_factory.mktemp("own")
    make_phantoms(folder, 90, size=48, seed=3, n_test=0)
    drawn = pd.read_csv(folder / "train2.csv", dtype=str)
    own = pd.DataFrame({"file": "train2/" + drawn["Image_name"], "case": drawn["Patient_ID"]})
    for name, finding in {"Water": "Pleural Effusion", "Big heart": "Cardiomegaly"}.items():
        own[name] = ["1,0" if float(text) == 1 else "0,0" for text in drawn[finding].fillna("0")]
    (folder / "train2.csv").unlink()
    own.to_csv(folder / "mine.csv", index=False, sep=";", encoding="utf-16")
    return folder / "mine.csv"


def train(table, run, *options):
    short = ("--set", "stages.0.epochs=1", "--set", "ensemble.name=own", "--set", "stages.0.early_stopping_patience=1")
    return main(["train", str(RECIPE), "--data", str(table), "--run", str(run), *short, *options])


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "own"
    assert train(table, folder, *COLUMNS) == 0
    return folder


def test_the_model_has_the_findings_of_the_table(run):
    config = json.loads((run / "release" / "config.json").read_text())
    assert "Water" in json.dumps(config)
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["ensemble"]["findings"] == ["Water", "Big heart"]
    assert recipe["table"]["image"] == "file"
    assert json.loads((run / "provenance.json").read_text())["data"]["form"] == "csv"


def test_a_run_knows_its_columns_and_refuses_others(run, table, capsys):
    assert train(table, run, *COLUMNS) == 0
    assert train(table, run, "--image-column", "file", "--patient-column", "file") == 1
    assert "table.patient" in capsys.readouterr().err


def test_without_patients_training_stops_before_an_image_is_read(table, tmp_path, capsys):
    lone = pd.read_csv(table, sep=";", encoding="utf-16").drop(columns="case")
    lone.to_csv(table.parent / "lone.csv", index=False)
    assert train(table.parent / "lone.csv", tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert "--patient-column NAME" in said
    assert "--set split.by=image" in said
    assert not (tmp_path / "run" / "scan.json").exists()
    (table.parent / "lone.csv").unlink()


def test_a_release_is_evaluated_on_a_table_with_some_of_its_findings(run, table, tmp_path, capsys):
    only = pd.read_csv(table, sep=";", encoding="utf-16").drop(columns="Big heart")
    only.to_csv(table.parent / "only.csv", index=False)
    out = tmp_path / "out"
    given = ["evaluate", str(run / "release"), "--data", str(table.parent / "only.csv"), "--out", str(out)]
    assert main([*given, *COLUMNS]) == 0
    said = capsys.readouterr()
    assert "no labels of Big heart: unknown in every row" in said.err + said.out
    assert "Water" in (out / "metrics.json").read_text()
    (table.parent / "only.csv").unlink()
