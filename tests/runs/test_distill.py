"""`zoo distill` at its smallest: tables, images alone and both; killed in the teacher's pass and in training."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.cli import main
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.config.tta import TtaSpec
from zoo.core.errors import CheckpointError
from zoo.core.progress import Silent
from zoo.data.phantoms.drawing import make_phantoms
from zoo.evaluation.decision import Decision
from zoo.labels.findings import FINDINGS
from zoo.models.ensemble import Ensemble
from zoo.release.folder import ReleaseFolder
from zoo.release.write import write_release

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

from zoo.runs.teacher_logits import cached_logits

pytestmark = pytest.mark.usefixtures("undrawn")

#: "Fracture" is no output that the teacher was trained on.
SPEC = EnsembleSpec("old", (MemberSpec("tiny"), MemberSpec("tiny", alias="other")), 16, untrained=("Fracture",))
SMALL = ("--set", "stages.0.epochs=2", "--set", "stages.0.batch_size=16", "--set", "stages.0.warmup_steps=1")
SPLIT = ("--set", "split.fractions=[0.4, 0.3, 0.3]")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    import keras

    keras.utils.set_random_seed(5)
    model = Ensemble.from_spec(SPEC)
    decision = Decision(FINDINGS, (1.5,))
    return write_release(tmp_path_factory.mktemp("teacher") / "old", model, SPEC, decision, license="mit")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 90, seed=3, size=32, n_test=20, broken=0)
    return folder


def ask(teacher, data, run, *more):
    return main(["distill", str(teacher), "--student", "tiny", "--data", str(data), "--run", str(run), *SMALL, *more])


@pytest.fixture(scope="module")
def taught(teacher, phantoms, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "taught"
    assert ask(teacher, phantoms, run, "--unlabelled", str(phantoms / "test2"), "--alpha", "0.2", *SPLIT) == 0
    return run


def test_the_release_is_an_ordinary_one_that_names_its_teacher(teacher, taught):
    found = ReleaseFolder(taught / "release")
    facts = found.provenance["distillation"]
    assert facts["manifest_sha256"] == ReleaseFolder(teacher).manifest_sha256
    assert (facts["teacher"], facts["licence"], facts["labels"]) == ("old", "mit", "the data's own")
    assert found.license == "mit"
    assert "Taught by `old`" in (taught / "release" / "README.md").read_text()
    student = zoo.load(taught / "release")
    assert student.trained == tuple(finding != "Fracture" for finding in FINDINGS)
    assert str(teacher.parent) not in (taught / "release" / "manifest.json").read_text()


def test_images_without_labels_are_all_in_the_training_part(phantoms, taught):
    split = json.loads((taught / "split.json").read_text())["parts"]
    unlabelled = {str(path) for path in (phantoms / "test2").iterdir()}
    assert unlabelled <= set(split["train"]["images"])
    assert sum(part["n"] for part in split.values()) == 110


def test_the_targets_are_the_teachers_logits(teacher, taught):
    held = pd.read_csv(taught / "teacher.csv")
    model = zoo.load(teacher)
    assert len(held) == 110
    path = held["image"][7]
    batch = next(model.stream([path]))
    np.testing.assert_allclose(held.filter(like="logit_").to_numpy()[7], batch.logits[0], atol=1e-5)
    assert held["logit_Fracture"].isna().all()


def test_killed_in_the_teachers_pass_and_in_training_it_ends_with_the_same_bits(
    teacher, phantoms, taught, tmp_path, monkeypatch
):
    from zoo.runs import writing
    from zoo.training import fitting

    run, places = tmp_path / "run", []
    more = ("--unlabelled", str(phantoms / "test2"), "--alpha", "0.2", *SPLIT)

    def killed_at(n, real):
        def act(*arguments, **options):
            places.append(real.__name__)
            if places.count(real.__name__) == n:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(writing.resume.Journal, "append", killed_at(3, writing.resume.Journal.append))
        assert ask(teacher, phantoms, run, *more) in (75, 130)
    assert not (run / "teacher.csv").exists()
    begun = (run / ".teacher.csv.partial" / "rows").read_bytes()
    assert begun
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "averaged_weights", killed_at(2, fitting.averaged_weights))  # the end of epoch 2
        assert ask(teacher, phantoms, run, *more) in (75, 130)
    assert (run / "teacher.csv").read_bytes() == (taught / "teacher.csv").read_bytes()
    assert (run / "teacher.csv").read_bytes().startswith(begun)
    assert ask(teacher, phantoms, run, *more) == 0
    files = [f"release/{name}" for name in ("tiny.safetensors", "decision.json")] + ["predictions.csv"]
    assert [(run / name).read_bytes() for name in files] == [(taught / name).read_bytes() for name in files]


def test_another_teacher_is_refused(teacher, phantoms, taught, tmp_path, capsys):
    other = tmp_path / "old"
    model = Ensemble.from_spec(SPEC)
    write_release(other, model, SPEC, Decision(FINDINGS, (1.2,)))
    more = ("--unlabelled", str(phantoms / "test2"), "--alpha", "0.2", *SPLIT)
    assert ask(other, phantoms, taught, *more) == 1
    assert "it differs in teaching.manifest_sha256" in capsys.readouterr().err


def test_images_alone_teach_and_the_release_says_what_its_figures_measure(teacher, phantoms, tmp_path, capsys):
    images = tmp_path / "images"
    shutil.copytree(phantoms / "train2", images)
    (images / "notes.txt").write_text("no table")
    assert ask(teacher, images, tmp_path / "run") == 1
    assert "If notes.txt is no table, move it" in capsys.readouterr().err
    (images / "notes.txt").unlink()
    assert ask(teacher, images, tmp_path / "run", "--alpha", "0.1") == 1
    assert "alpha must be 0" in capsys.readouterr().err
    assert ask(teacher, images, tmp_path / "run2", "--set", 'tta={"scales": [0.9]}') == 0
    release = ReleaseFolder(tmp_path / "run2" / "release")
    assert release.provenance["distillation"]["labels"] == "the teacher's decisions"
    assert "agreement with\nthe teacher, not accuracy" in (release.folder / "README.md").read_text()
    assert "agreement with the teacher, not accuracy" in (tmp_path / "run2" / "report.html").read_text()
    decision = zoo.load(release.folder).decision
    assert decision.temperature == (1.5,)  # the teacher's calibration
    assert decision.temperature_origin.recipe == "the teacher's"
    assert decision.tta == TtaSpec(scales=(0.9,)), "the views that its thresholds were fitted with"
    assert "logits are averaged over 2 views" in (tmp_path / "run2" / "report.html").read_text()
    split = json.loads((tmp_path / "run2" / "split.json").read_text())
    assert split["by"] == "image"


def test_logits_of_other_images_are_refused_or_replaced_and_names_may_be_any_bytes(teacher, phantoms, tmp_path):
    first, odd = next((phantoms / "train2").iterdir()), os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    shutil.copy(first, odd)
    model, out = zoo.load(teacher), tmp_path / "logits.csv"
    cached_logits(model, [str(first)], out, Silent())
    with pytest.raises(CheckpointError, match=r"logits\.csv"):
        cached_logits(model, [odd], out, Silent())
    found = cached_logits(model, [odd], out, Silent(), restart=True)
    np.testing.assert_array_equal(cached_logits(model, [odd], out, Silent()), found)


def test_a_copy_without_labels_of_a_labelled_image_is_left_out(phantoms, tmp_path):
    from zoo.runs import taught_data

    table = pd.DataFrame(
        {
            "Image_path": ["a", "b", "c"],
            "Image_name": ["a", "b", "c"],
            "Source": ["competition", taught_data.UNLABELLED, taught_data.UNLABELLED],
        }
    )
    kept = taught_data.without_copies(table, {"a": "1", "b": "1", "c": "2"}, Silent())
    assert kept["Image_name"].tolist() == ["a", "c"]


def test_weights_of_positives_are_refused_with_a_teacher(teacher, phantoms, tmp_path, capsys):
    assert ask(teacher, phantoms, tmp_path / "run", "--set", "loss.weight_range=[0.5, 3.0]") == 1
    assert "loss.weight_range must be None with a teacher" in capsys.readouterr().err


def test_what_a_teacher_without_a_known_licence_taught_is_not_published(taught, tmp_path):
    from zoo.core.errors import ReleaseError
    from zoo.hub.publish import publish

    folder = tmp_path / "release"
    shutil.copytree(taught / "release", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["provenance"]["distillation"]["licence"] = "unknown"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match="taught by weights without a licence"):
        publish(folder, "me/mine", dry_run=True)
