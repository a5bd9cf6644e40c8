"""The main job at its smallest: from images and a table to a release that is loaded and predicts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.cli import main
from zoo.release.read import read_release
from zoo.release.tested import QUALITIES

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"


def command(*arguments: str | Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def here(capfd):
    """The same command in this process, which has imported everything: for what does not ask for a new one."""

    def run(*arguments: str | Path, status: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        found = main([*map(str, arguments)])
        out, err = capfd.readouterr()
        assert found == status, out + err
        return out, err

    return run


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    from zoo.data.phantoms.drawing import make_phantoms

    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 150, seed=3)
    table = pd.read_csv(folder / "train2.csv", dtype=str, keep_default_na=False)
    table.loc[::3, "Sex"] = ""  # so that every part has some
    table.to_csv(folder / "train2.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = command("train", RECIPE, "--data", films, "--run", folder)
    assert "Release:" in done.stdout
    return folder


def test_the_run_folder_holds_what_a_researcher_asks_for(run):
    names = {p.name for p in run.iterdir()}
    assert {
        "recipe.json", "split.json", "skipped.csv", "history.csv", "metrics.json", "report.md", "predictions.csv",
        "ensemble_model.weights.h5", "finetuned_ensemble.weights.h5", "final_finetuned_ensemble.weights.h5", "release",
    } <= names  # fmt: skip
    split = json.loads((run / "split.json").read_text())
    assert split["by"] == "patient"
    assert len(split["hash"]) == 64


def test_what_the_test_part_shares_with_training_is_counted_and_a_release_names_no_film(run):
    metrics, released = (json.loads((folder / "metrics.json").read_text()) for folder in (run, run / "release"))
    leakage = metrics["leakage"]
    assert leakage["patients"]["shared"] == {
        "value": 0,
        "low": None,
        "high": None,
        "n": metrics["patients"],
        "positives": 0,
    }
    assert leakage["files"]["rows"]["n"] == leakage["content"]["within"]["n"] == metrics["n"]
    assert metrics["mistakes"]
    assert not {"mistakes", "leakage"} & released.keys()
    parts = json.loads((run / "split.json").read_text())["parts"]
    record = read_release(run / "release").trained_on
    assert (len(record.train), len(record.validation)) == (parts["train"]["n"], parts["validation"]["n"])


def test_the_release_keeps_the_logits_of_the_test_part_in_another_order(run):
    rows = pd.read_csv(run / "predictions.csv")
    rows = rows[rows["split"] == "test"]
    own = read_release(run / "release").tested
    wanted = rows.filter(like="logit_").to_numpy(np.float32)
    assert np.allclose(np.sort(own.logits, axis=0), np.sort(wanted, axis=0), rtol=1e-5)
    assert len(np.unique(own.patients)) == rows["Patient_ID"].nunique()
    assert (own.quality == QUALITIES.index("unknown")).all()  # too few patients for quality checks
    assert (run / "tested.safetensors").read_bytes() == (run / "release" / "tested.safetensors").read_bytes()


def test_broken_films_are_skipped_and_named(run, films):
    skipped = pd.read_csv(run / "skipped.csv")
    assert len(skipped) >= 3
    assert skipped["Reason"].str.len().gt(5).all()
    listed = set(pd.read_csv(films / "train2.csv")["Image_name"])
    assert set(skipped["Image_name"]) <= listed


def test_the_figures_are_of_the_test_part_with_n_and_interval(run, films):
    from sklearn.metrics import roc_auc_score

    metrics = json.loads((run / "metrics.json").read_text())
    rows = pd.read_csv(run / "predictions.csv")
    rows = rows[rows["split"] == "test"]
    split = json.loads((run / "split.json").read_text())
    assert set(rows["Image_name"]) == set(split["parts"]["test"]["images"])
    report = (run / "report.md").read_text()
    assert "not a medical device" in report
    assert "pixel baseline" in report
    from zoo.data.tables import reading

    table = reading.read_table("competition", films).set_index("Image_name")
    labels = table.loc[rows["Image_name"], "Support Devices"].to_numpy()
    known = ~np.isnan(labels)
    ours = metrics["findings"]["Support Devices"]["auc"]
    expected = roc_auc_score(labels[known], rows["logit_Support Devices"].to_numpy()[known])
    assert ours["value"] == pytest.approx(expected, abs=1e-9)
    assert ours["n"] == known.sum()
    assert ours["low"] <= ours["value"] <= ours["high"]


def test_the_report_counts_unknown_ages_and_sexes_as_unknown(run, films):
    table = pd.read_csv(films / "train2.csv", dtype=str).set_index("Image_name")
    test = table.loc[json.loads((run / "split.json").read_text())["parts"]["test"]["images"]]
    assert table["Sex"].isna().any()
    groupings = json.loads((run / "metrics.json").read_text())["subgroups"]["groupings"]
    assert groupings["sex"]["unknown"] == test["Sex"].isna().sum() > 3
    assert {name: group["n"] for name, group in groupings["sex"]["groups"].items()} == test[
        "Sex"
    ].value_counts().to_dict()
    assert groupings["age"]["unknown"] == test["Age"].isna().sum()
    assert sum(group["n"] for group in groupings["age"]["groups"].values()) == test["Age"].notna().sum()


@pytest.mark.once_on_jax
def test_the_same_command_again_changes_nothing(run, films, here):
    before = (run / "finetuned_ensemble.weights.h5").read_bytes(), (run / "metrics.json").read_bytes()
    here("train", RECIPE, "--data", films, "--run", run)
    assert ((run / "finetuned_ensemble.weights.h5").read_bytes(), (run / "metrics.json").read_bytes()) == before


@pytest.mark.once_on_jax
def test_a_finished_run_is_not_reported_anew_on_other_data(run, films, here, tmp_path):
    copy = shutil.copytree(films, tmp_path / "films")
    files = ("metrics.json", "report.md", "split.json", "predictions.csv", "data.json", "history.csv")
    before = {name: (run / name).read_bytes() for name in files}
    for path in copy.rglob("*.jpg"):
        os.utime(path, ns=(0, 5))
    here("train", RECIPE, "--data", copy, "--run", run)  # data that were attached anew
    names = json.loads((run / "split.json").read_text())["parts"]["test"]["images"]
    table = pd.read_csv(copy / "train2.csv", dtype=str, keep_default_na=False)
    chosen = table["Image_name"].isin(names[:4])
    table.assign(Edema=np.where(chosen, np.where(table["Edema"] == "1", "0", "1"), table["Edema"])).to_csv(
        copy / "train2.csv", index=False
    )
    said = " ".join(here("train", RECIPE, "--data", copy, "--run", run, status=1)[1].split())
    assert "trained on other data than these (labels of 4 images changed: " in said
    assert "use another run folder (--run)" in said
    shutil.copy(films / "train2.csv", copy / "train2.csv")
    shutil.copy(copy / "train2" / names[0], copy / "train2" / names[1])
    said = " ".join(here("train", RECIPE, "--data", copy, "--run", run, status=1)[1].split())
    assert f"(contents of 1 image changed: {names[1]})" in said
    shutil.copy(films / "train2" / names[1], copy / "train2" / names[1])
    table.assign(Sex=np.where(chosen, np.where(table["Sex"] == "F", "M", "F"), table["Sex"])).to_csv(
        copy / "train2.csv", index=False
    )
    said = " ".join(here("train", RECIPE, "--data", copy, "--run", run, status=1)[1].split())
    assert "(sex of 4 images changed: " in said
    assert "or start this one anew (--replace)" in said
    table[table["Image_name"] != names[2]].to_csv(copy / "train2.csv", index=False)
    assert "1 image was removed" in here("train", RECIPE, "--data", copy, "--run", run, status=1)[1]
    assert {name: (run / name).read_bytes() for name in files} == before


@pytest.mark.once_on_jax
def test_a_run_whose_release_is_gone_is_converted_from_its_training_weights(run, here, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint", "figures"))
    here("release", copy, "--out", tmp_path / "copied")
    shutil.rmtree(copy / "release")
    here("release", copy, "--out", tmp_path / "converted")
    weights = sorted(p.name for p in (run / "release").glob("*.safetensors"))
    assert len(weights) >= 2
    for folder in ("copied", "converted"):
        for name in (*weights, "config.json", "decision.json", "metrics.json"):
            assert (tmp_path / folder / name).read_bytes() == (run / "release" / name).read_bytes(), (folder, name)
    (copy / "decision.json").unlink()
    _, unfinished = here("release", copy, "--out", tmp_path / "none", status=1)
    assert "the run is not finished (decision.json missing)" in unfinished


@pytest.mark.once_on_jax
def test_a_finished_run_gets_fitted_weights_without_training(run, films, here, undrawn, tmp_path):
    """The weights in the release are those of the report; the graph, the logits and the decision are theirs."""
    copy = tmp_path / "tiny"
    shutil.copytree(run, copy)
    before = (copy / "history.csv").read_bytes()
    here("train", RECIPE, "--data", films, "--run", copy, "--set", "ensemble.weighting=fitted_per_finding")
    assert (copy / "history.csv").read_bytes() == before
    release = read_release(copy / "release")
    weighting, block = release.spec.weighting, release.evaluation.members
    assert not isinstance(weighting, str)
    assert json.loads((copy / "recipe.json").read_text())["ensemble"]["weighting"] == "fitted_per_finding"
    shares = np.array(release.spec.shares)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose([m.weight for m in block.members.values()], shares.mean(axis=1), atol=1e-5)
    assert (block.used, block.fit.origin.split) == ("fitted_per_finding", "validation")
    assert block.fit.origin.split_hash == release.evaluation.split_hash
    assert block.choices["fitted_per_finding"].auc.value == pytest.approx(release.evaluation.macro.auc.value)
    assert "The weights of the members were fitted on the validation part" in (copy / "report.md").read_text()
    assert "| Weight |" in (copy / "release" / "README.md").read_text()

    model = zoo.load(copy / "release")
    rows = pd.read_csv(copy / "predictions.csv").query("split == 'test'").head(4)
    paths = [films / "test2" / name for name in rows["Image_name"]]
    paths = [path if path.exists() else films / "train2" / path.name for path in paths]
    logits = rows[[f"logit_{finding}" for finding in model.labels]].to_numpy()
    np.testing.assert_allclose(np.concatenate([batch.logits for batch in model.stream(paths)]), logits, atol=1e-4)
    shutil.rmtree(copy / "release")
    here("release", copy, "--out", tmp_path / "again")
    assert read_release(tmp_path / "again").spec == release.spec


def test_installed_it_predicts_a_folder(run, films, zoo_home, tmp_path):
    command("install", run, "--as", "xrayslam-ensemble", ZOO_HOME=str(zoo_home))
    unseen = sorted((films / "test2").glob("*.jpg"))
    chances = zoo.predict_ensemble(unseen)
    assert chances.shape == (len(unseen), 14)
    out = tmp_path / "findings.csv"
    command("predict", films / "test2", "--out", out, ZOO_HOME=str(zoo_home))
    table = pd.read_csv(out)
    assert len(table) == 14 * len(unseen)
    np.testing.assert_allclose(table["probability"].to_numpy().reshape(-1, 14), chances, rtol=1e-4, atol=1e-6)


@pytest.mark.once_on_jax
def test_the_submission_has_the_competitions_columns_and_order(run, films, here, tmp_path):
    sample = films / "sample_submission_2.csv"
    out = tmp_path / "submission.csv"
    here("submit", films / "test2", "--sample", sample, "--model", run / "release", "--out", out)
    ours, wanted = pd.read_csv(out), pd.read_csv(sample)
    assert list(ours.columns) == ["Image_name", *zoo.FINDINGS] == list(wanted.columns)
    assert list(ours["Image_name"]) == list(wanted["Image_name"])
    assert ours[list(zoo.FINDINGS)].to_numpy().min() >= 0
    assert ours[list(zoo.FINDINGS)].to_numpy().max() <= 1


@pytest.mark.once_on_jax
def test_max_hours_stops_with_a_status_of_its_own_and_the_recipes_own_script_goes_on(run, films, tmp_path):
    """The command and the script are one thing: what one began the other ends, like a run that nothing stopped.

    So are images that are read from a cache.
    """
    folder = tmp_path / "run"
    stopped = command("train", RECIPE, "--data", films, "--run", folder, "--max-hours", "1e-6", status=75)
    assert "stopped: max_hours. Run the same command to resume." in stopped.stdout
    assert not (folder / "release").exists()
    done = subprocess.run(
        [sys.executable, str(RECIPE), "--data", str(films), "--run", str(folder), "--set", "cache=always",
         "--set", "fill_missing=original"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Release:" in done.stdout
    first, second = (pd.read_csv(f / "predictions.csv") for f in (run, folder))
    pd.testing.assert_frame_equal(first, second)
    filled = pd.read_csv(folder / "filled.csv")
    assert filled[["Age_filled", "Sex_filled"]].notna().all(axis=None)
    assert not (run / "filled.csv").exists()
    unknown = [
        json.loads((f / "metrics.json").read_text())["subgroups"]["groupings"]["sex"]["unknown"] for f in (run, folder)
    ]
    assert unknown[0] == unknown[1]


@pytest.mark.once_on_jax
def test_another_recipe_in_a_runs_folder_is_refused(run, films, here):
    _, errors = here("train", RECIPE, "--data", films, "--run", run, "--set", "stages.0.learning_rate=0.5", status=1)
    assert "stages.0.learning_rate" in errors


@pytest.mark.tensorflow_only  # KerasCV's layers run in the pipeline of tf.data, whatever trains
def test_the_kerascv_recipe_runs(films, here, undrawn, tmp_path):
    pytest.importorskip("keras_cv")
    run = tmp_path / "kerascv"
    here("train", "kerascv_options", "--data", films, "--run", run, "--set", "stages.0.epochs=1")
    assert (run / "release" / "manifest.json").is_file()


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "xrayslan", "--data", "."], "xrayslam"),
        (["train", "xrayslam", "--data", "nowhere"], "nowhere"),
        (["train", "xrayslam", "--data", ".", "--set", "stages.0.epoch=3"], "epochs"),
        (["train", "xrayslam", "--data", ".", "--set", "stages.0.epochs=three"], "int"),
        (["train", "xrayslam", "--data", ".", "--set", "seed"], "path=value"),
        (["predict", "nowhere", "--out", "x.csv"], "nowhere"),
        (["info", "resnet-50"], "resnet50"),
        (["install", "nowhere", "--as", "x"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(arguments, says, tmp_path):
    done = command(*arguments, status=1)
    message = [line for line in done.stderr.splitlines() if line.startswith("zoo ")]
    assert len(message) == 1
    assert says in message[0]
    assert "Traceback" not in done.stderr


@pytest.mark.once
def test_a_mistake_in_a_recipe_is_told_before_keras_is_imported():
    code = "import sys; from zoo.cli import main; assert main(sys.argv[1:]) == 1; assert 'keras' not in sys.modules"
    for mistake in (["xrayslan"], ["xrayslam", "--set", "stages.0.epoch=3"]):
        subprocess.run([sys.executable, "-c", code, "train", *mistake, "--data", "."], check=True)


@pytest.mark.real
def test_real_films_train_and_predict(nih_dir, tmp_path):
    run = tmp_path / "nih"
    done = command("train", RECIPE, "--data", nih_dir, "--dataset", "nih", "--run", run, "--set", "stages.0.epochs=1")
    assert "Cardiomegaly" in done.stdout
    split = json.loads((run / "split.json").read_text())
    assert sum(len(p["images"]) for p in split["parts"].values()) == 421
    chances = zoo.load(run / "release").predict(sorted((nih_dir / "images").iterdir())[:4])
    assert np.isfinite(chances).all()
