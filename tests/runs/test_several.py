"""Two data sets in one run: sources kept, AUC by source, and a killed run that ends as one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_run

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

import zoo
from zoo.cli import main
from zoo.data.phantoms.drawing import make_phantoms
from zoo.data.tables import reading
from zoo.runs import results

pytestmark = pytest.mark.tensorflow_only  # resuming on JAX is tested elsewhere; these are facts of tables
RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"

#: Of the second table: findings that it labels, by its own names.
OWN = {"Pleural Effusion": "Effusion", "Cardiomegaly": "Cardiomegaly", "Support Devices": "Support Devices"}


@pytest.fixture(scope="module", autouse=True)
def _no_heatmaps(undrawn):
    """They take most of the time of a run, and nothing here looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "mistakes", lambda *args, **options: [])
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of the competition, and a CSV with three findings; in both, a name and a patient may be the same."""
    folder = tmp_path_factory.mktemp("sets")
    for name, seed in (("first", 3), ("second", 4)):
        make_phantoms(folder / name, 60, size=32, seed=seed, n_test=0, broken=1)
    drawn = pd.read_csv(folder / "second" / "train2.csv", dtype=str)
    own = pd.DataFrame({"image": "train2/" + drawn["Image_name"], "patient": drawn["Patient_ID"]})
    for theirs, ours in OWN.items():
        own[ours] = drawn[theirs]
    (folder / "second" / "train2.csv").unlink()
    own.to_csv(folder / "second" / "labels.csv", index=False)
    return folder / "first", folder / "second" / "labels.csv"


def arguments(data, run) -> list[str]:
    first, second = map(str, data)
    short = ["--set", "stages.0.epochs=1", "--set", "split.fractions=[0.3, 0.2, 0.5]"]
    sets = ["--data", first, "--dataset", "competition", "--data", second, "--dataset", "csv"]
    return ["train", str(RECIPE), *sets, "--run", str(run), *short]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(data, folder)) == 0
    return folder


def test_each_row_keeps_its_source_and_its_labels(run, data):
    sources = json.loads((run / "provenance.json").read_text())["data"]["sources"]
    assert sources == {"competition": 59, "labels": 59}
    names = pd.read_csv(run / "predictions.csv")["Image_name"]
    assert set(names.str.partition("/")[0]) == {"first", "labels"}
    assert len(pd.read_csv(run / "skipped.csv")) == 2
    model = zoo.load(run / "release")
    assert len(model.labels) == 14


def test_the_auc_of_each_source_is_that_of_its_rows(run, data):
    from sklearn.metrics import roc_auc_score

    rows = pd.read_csv(run / "predictions.csv")
    rows = rows[rows["split"] == "test"]
    groups = json.loads((run / "metrics.json").read_text())["subgroups"]["groupings"]["source"]["groups"]
    assert set(groups) == {"competition", "labels"}
    first = reading.read_table("competition", data[0]).set_index("Image_name")
    second = pd.read_csv(data[1]).rename(columns={ours: theirs for theirs, ours in OWN.items()})
    second = second.set_index("image")
    for source, prefix, table in (("competition", "first/", first), ("labels", "labels/", second)):
        part = rows[rows["Image_name"].str.startswith(prefix)]
        assert groups[source]["n"] == len(part)
        labels = table.loc[part["Image_name"].str.removeprefix(prefix)]
        found = {finding: own["auc"] for finding, own in groups[source]["findings"].items()}
        assert "Support Devices" in found
        for finding, auc in found.items():
            truth = labels[finding].to_numpy(float)
            known = np.isin(truth, (0, 1))
            expected = roc_auc_score(truth[known], part[f"logit_{finding}"].to_numpy()[known])
            assert (auc["value"], auc["n"]) == (pytest.approx(expected, abs=1e-9), known.sum())
    assert groups["labels"]["refused"]["Edema"] == {"n": 0, "positives": 0}


def test_a_killed_run_ends_as_the_whole_one(run, data, tmp_path):
    lines = "import sys, small_run; from zoo.cli import main\nsmall_run.kill_at('between_stages:2')\nmain(sys.argv[1:])"
    command = [sys.executable, "-c", lines, *arguments(data, tmp_path / "killed")]
    places = os.pathsep.join((str(Path(zoo.__file__).parents[1]), str(Path(small_run.__file__).parent)))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": places}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert main(arguments(data, tmp_path / "killed")) == 0
    assert small_run.digest(tmp_path / "killed") == small_run.digest(run)
    mine, whole = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "killed", run))
    assert mine["subgroups"] == whole["subgroups"]
    tables = [pd.read_csv(folder / "predictions.csv") for folder in (tmp_path / "killed", run)]
    pd.testing.assert_frame_equal(*tables)
