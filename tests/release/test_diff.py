"""What changed between two releases, as a person wants to read it."""

import json
import shutil

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release, tiny_spec
from safetensors.numpy import load_file, save_file

from zoo.config.specs import to_dict
from zoo.core import files
from zoo.evaluation.report import evaluate
from zoo.evaluation.result import to_json
from zoo.evaluation.scores import Scores
from zoo.release import manifest
from zoo.release.diff import diff
from zoo.release.read import read_release

SAME_WEIGHTS = "files: the weights are the same"


def metrics(seed=0, split_hash="0" * 64, n=60):
    rng = np.random.default_rng(seed)
    labels = (np.random.default_rng(7).random((n, 3)) < 0.4).astype(np.float32)
    scores = Scores(rng.normal(0, 1, labels.shape) + labels, labels, FINDINGS3, "test", split_hash)
    return evaluate({"tiny-ensemble": scores})


def provenance(**recipe):
    stages = [{"name": "warm", "epochs": 2}, {"name": "fine", "epochs": 3}]
    made = {"name": "tiny-run", "ensemble": to_dict(tiny_spec()), "stages": stages, "tags": [], **recipe}
    return {"recipe": made, "split": {"by": "patient", "seed": 3, "hash": "0" * 64}, "seed": 7, "zoo": "0.1.0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(
        tmp_path_factory.mktemp("releases") / "tiny", metrics=metrics(), provenance=provenance(), license="mit"
    )


@pytest.fixture(scope="module")
def before(folder):
    return read_release(folder)


@pytest.fixture
def change(folder, tmp_path):
    """A release that differs in what is given: file name -> change of its document."""

    def make(**changes):
        copy = shutil.copytree(folder, tmp_path / "changed")
        for name, alter in sorted(changes.items(), key=lambda item: item[0] == "manifest"):
            path = copy / f"{name}.json"
            document = json.loads(path.read_text())
            path.write_text(json.dumps(alter(document) or document))
            listing = json.loads((copy / manifest.MANIFEST).read_text())
            (copy / manifest.MANIFEST).write_text(
                json.dumps({**listing, "files": manifest.to_json(manifest.describe(copy))})
            )
        return read_release(copy)

    return make


def of(group, lines):
    return [line.removeprefix(f"{group}: ") for line in lines if line.startswith(f"{group}: ")]


def test_a_copy_is_no_difference(before, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("edited")
    assert diff(before, read_release(copy)) == []


def test_a_refitted_decision(before, change):
    def refit(decisions):
        ensemble = decisions["ensemble"]
        ensemble["temperature"] = [1.25]
        ensemble["trained"] = [True, True, False]
        point = ensemble["operating_points"]["max_f1"]
        point["thresholds"] = [0.3, 0.45, None]
        point["origin"]["split_hash"] = "1" * 64
        ensemble["operating_points"]["youden"] = {"thresholds": [0.5] * 3, "origin": {"recipe": "youden"}}
        decisions["members"]["tiny0"]["default"] = "sensitive"
        points = decisions["members"]["tiny0"]["operating_points"]
        points["sensitive"] = points.pop("max_f1")

    lines = diff(before, change(decision=refit))
    assert of("decision", lines) == [
        "temperature 1.7 -> 1.25",
        "operating point youden added",
        "max_f1, threshold of Edema 0.3 -> 0.45",
        f'max_f1, fitted: split_hash "{"5" * 64}" -> "{"1" * 64}"',
        "No Finding trained -> not trained",
        "tiny0 alone, default operating point max_f1 -> sensitive",
        "tiny0 alone, operating point max_f1 removed",
        "tiny0 alone, operating point sensitive added",
    ]
    assert lines[-2].startswith("files: decision.json: other content (")
    assert lines[-1] == SAME_WEIGHTS


def test_thresholds_that_differ_in_the_last_digit_are_told_apart(before, change):
    def nudge(decisions):
        decisions["ensemble"]["operating_points"]["max_f1"]["thresholds"][0] = 0.30000000000000004
        decisions["ensemble"]["operating_points"]["max_f1"]["thresholds"][2] = 0.5

    assert of("decision", diff(before, change(decision=nudge))) == [
        "max_f1, threshold of Atelectasis 0.29999999999999999 -> 0.30000000000000004",
        "max_f1, threshold of No Finding none -> 0.5",
    ]


def test_figures_of_the_same_films_come_with_their_intervals(before, change):
    new = to_json(metrics(seed=1))
    lines = of("metrics", diff(before, change(metrics=lambda _: new)))
    assert lines[0].startswith("on the same images, test part of split 000000000000, n 60")
    old_mean, new_mean = before.json("metrics.json")["macro"]["auc"], new["macro"]["auc"]
    assert lines[1].startswith(f"mean AUC {old_mean['value']:.4f} [{old_mean['low']:.4f}, {old_mean['high']:.4f}] (n ")
    assert f"-> {new_mean['value']:.4f} [" in lines[1]
    assert [line.split(" 0.")[0] for line in lines[2:5]] == [f"AUC of {finding}" for finding in FINDINGS3]
    assert lines[5].endswith("other entries of metrics.json differ")


def test_figures_of_other_films_are_said_to_be_not_comparable(before, change):
    lines = of("metrics", diff(before, change(metrics=lambda _: to_json(metrics(split_hash="1" * 64, n=50)))))
    assert lines[0] == (
        "not comparable, on other images or an unnamed split: "
        "test part of split 000000000000, n 60 -> test part of split 111111111111, n 50"
    )
    assert lines[1].startswith("mean AUC ")


def test_an_undefined_figure_and_none_at_all(before, change, folder, tmp_path):
    def undefine(document):
        document["findings"]["Edema"]["auc"].update(value=None, low=None, high=None)
        document["findings"]["No Finding"]["auc"].update(low=None, high=None)

    lines = of("metrics", diff(before, change(metrics=undefine)))
    assert lines[1].startswith("AUC of Edema 0.")
    assert lines[1].endswith(" -> undefined")
    assert "no interval (n 60, " in lines[2]
    shutil.rmtree(tmp_path / "changed")
    lines = of("metrics", diff(change(metrics=lambda document: document.clear()), before))
    assert lines == ["not evaluated -> test part of split 000000000000, n 60"]


def test_another_run_of_a_changed_recipe(before, change):
    def retrain(listing):
        listing["license"] = "cc-by-4.0"
        listing["provenance"]["seed"] = 8
        listing["provenance"]["recipe"]["stages"][1]["epochs"] = 5
        listing["provenance"]["recipe"]["stages"].append({"name": "last"})
        listing["provenance"]["date"] = "2026-02-01"
        listing["storage"] = {"dtype": "float16", "logit_error": 0.001}

    lines = diff(before, change(manifest=retrain, config=lambda d: d.update(keras="99.0")))
    assert of("provenance", lines) == [
        'license "mit" -> "cc-by-4.0"',
        f'written by keras "{json.loads((before.folder / "config.json").read_text())["keras"]}" -> "99.0"',
        "recipe.stages.1.epochs 3 -> 5",
        "seed 7 -> 8",
        'recipe.stages.2.name not set -> "last"',
        'date not set -> "2026-02-01"',
    ]
    assert of("model", lines) == ['storage.dtype "float32" -> "float16"', "storage.logit_error 0.0 -> 0.001"]


def test_other_weights_are_told_by_their_hashes(before, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "tiny1.safetensors"
    save_file({name: np.asarray(value * 1.5, value.dtype) for name, value in load_file(path).items()}, path)
    listing = json.loads((copy / manifest.MANIFEST).read_text())
    (copy / manifest.MANIFEST).write_text(json.dumps({**listing, "files": manifest.to_json(manifest.describe(copy))}))
    after = read_release(copy)
    size = path.stat().st_size
    old, new = (files.sha256(r.folder / "tiny1.safetensors")[:12] for r in (before, after))
    assert diff(before, after) == [
        f"files: tiny1.safetensors: other weights ({size:,} bytes, sha256 {old} -> {size:,} bytes, sha256 {new})"
    ]


def test_another_model(before, tmp_path):
    after = read_release(
        tiny_release(tmp_path / "one", members=1, metrics=metrics(), provenance=provenance(), license="mit")
    )
    lines = diff(before, after)
    assert of("model", lines)[0] == "member tiny1 removed"
    assert "parameters.tiny1 " in of("model", lines)[1]
    assert of("labels", lines) == []
    assert any(line.startswith("tiny1.safetensors removed (") for line in of("files", lines))
    assert of("model", diff(after, before))[0] == "member tiny1 added"


def test_fields_of_the_model_and_its_outputs(before, change):
    def alter(config):
        config["ensemble"]["members"][0].update(head="gem", dropout=0.5)
        config["ensemble"]["weighting"] = [1.0, 3.0]
        config["ensemble"]["findings"] = ["Edema", "Atelectasis", "Fracture"]

    def rename(decisions):
        for decision in (decisions["ensemble"], *decisions["members"].values()):
            decision["findings"] = ["Edema", "Atelectasis", "Fracture"]

    after = change(
        config=alter, decision=rename, labels=lambda d: d.update(findings=["Edema", "Atelectasis", "Fracture"])
    )
    lines = diff(before, after)
    assert of("model", lines) == [
        'member tiny0, head "gap" -> "gem"',
        "member tiny0, dropout 0.3 -> 0.5",
        'weighting "uniform" -> [1.0, 3.0]',
    ]
    assert of("labels", lines) == [
        "finding No Finding removed",
        "finding Fracture added",
        "findings in another order: Atelectasis, Edema, No Finding -> Edema, Atelectasis, Fracture",
    ]


def test_lines_of_a_hostile_release_cannot_move_the_cursor(before, change):
    after = change(manifest=lambda d: d.update(license="\x1b[2J" * 1000))
    assert all(line.isprintable() and len(line) < 700 for line in diff(before, after))
