"""Folds by patient and snapshots: who is trained on what, and what decisions are fitted on."""

import dataclasses
import os
import signal

import numpy as np
import pandas as pd
import pytest
from small_run import FINDINGS, digest, make_recipe, make_table, split_of

from zoo.config.specs import MemberSpec
from zoo.core.errors import RecipeError, SplitError
from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.data.splits import patients_of
from zoo.data.tables.reading import labels_of
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.models.ensemble import Ensemble
from zoo.release import card
from zoo.release.verify import verify
from zoo.release.write import write_release
from zoo.runs import provenance

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

from zoo.training import folds, out_of_fold, stages
from zoo.training.assess import assess
from zoo.training.jobs import plan, single
from zoo.training.recipe import Stage
from zoo.training.stages import train

pytestmark = pytest.mark.usefixtures("undrawn")
STAGES = (
    Stage("stage1", epochs=1, batch_size=8, learning_rate=3e-3, snapshot=True),
    Stage("stage2", epochs=1, batch_size=8, learning_rate=1e-3),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("films"))


def in_folds(stages=STAGES[1:], members=1, **changes):
    changes = {"members": "separate", "folds": 2, "stages": stages, **changes}
    return dataclasses.replace(make_recipe(members=members), **changes)


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    """One member in two folds with a snapshot each, trained and assessed."""
    recipe, run = in_folds(STAGES), tmp_path_factory.mktemp("run")
    split = split_of(table, recipe)
    result = train(recipe, table, split, run)
    return recipe, split, result, assess(recipe, table, split, run, Silent())


def test_folds_are_disjoint_in_patients_and_leave_the_test_part_alone(table):
    recipe = in_folds()
    split = split_of(table, recipe)
    place, patients = folds.assign(recipe, table, split), patients_of(table)
    assert not place[split.rows("test")].any()
    assert np.bincount(place).tolist() == [10, 24, 26]
    assert not {*patients[place == 1]} & {*patients[place == 2]}
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    again = folds.assign(recipe, shuffled, split_of(shuffled, recipe))
    assert dict(zip(shuffled["Image_name"], again, strict=True)) == dict(zip(table["Image_name"], place, strict=True))
    second = folds.split_of(split, place, 2)
    assert sorted(second.rows("train")) == sorted(np.flatnonzero(place == 1))
    assert sorted(second.rows("validation")) == sorted(np.flatnonzero(place == 2))
    with pytest.raises(SplitError, match="32 folds need as many patients"):
        folds.assign(dataclasses.replace(recipe, folds=32), table, split)


def test_each_member_becomes_k_members_and_snapshots_with_seeds_of_their_own(tmp_path):
    recipe = in_folds(STAGES, members=2)
    spec = folds.model_of(recipe)
    names = [f"tiny{i}-fold{fold}{stage}" for i in (0, 1) for fold in (1, 2) for stage in ("-stage1", "")]
    assert [member.name for member in spec.members] == names
    jobs = plan(recipe, tmp_path)
    trained = [f"tiny{i}-fold{fold}" for i in (0, 1) for fold in (1, 2) for _ in STAGES]
    assert [(job.member, job.seed) for job in jobs] == [(name, 7 + i // 2) for i, name in enumerate(trained)]
    assert [job.fold for job in jobs] == [1, 1, 2, 2] * 2
    weighted = dataclasses.replace(recipe.ensemble, weighting=(3.0, 1.0))
    shares = folds.model_of(dataclasses.replace(recipe, ensemble=weighted)).shares
    assert [row[0] for row in shares] == [3 / 16] * 4 + [1 / 16] * 4
    bases = ["tiny0-stage1", "tiny0", "tiny1-stage1", "tiny1"]
    assert [member.name for member in folds.bases_of(recipe).members] == bases
    plain = make_recipe(members=2)
    assert folds.model_of(plain) == plain.ensemble


def test_snapshots_and_members_of_one_name_are_refused_before_training(tmp_path):
    recipe, first = in_folds(STAGES), MemberSpec("tiny", alias="tiny0-stage1")
    both = dataclasses.replace(recipe.ensemble, members=(*recipe.ensemble.members, first))
    with pytest.raises(RecipeError, match="members need different names"):
        plan(dataclasses.replace(recipe, ensemble=both), tmp_path)


def test_a_snapshot_without_folds_has_a_decision_of_its_own(table, tmp_path, monkeypatch):
    recipe = in_folds(STAGES, folds=0)
    model = Ensemble.from_spec(folds.model_of(recipe))
    monkeypatch.setattr("zoo.training.assess.load_best", lambda *_: model)
    found = assess(recipe, table, split_of(table, recipe), tmp_path, Silent())
    assert set(found.member_decisions) == {"tiny0-stage1", "tiny0"}


def test_two_members_of_one_backbone_have_different_seeds(tmp_path):
    recipe = in_folds(members=2, folds=0)
    assert [(job.member, job.seed) for job in plan(recipe, tmp_path)] == [("tiny0", 7), ("tiny1", 8)]


def test_members_never_learn_from_their_fold_and_are_validated_on_it(table, finished):
    recipe, split, result, _ = finished
    place, paths = folds.assign(recipe, table, split), table["Image_path"].to_numpy()
    whole, parts = stages._parts(recipe, table, split, read_image, None)
    assert whole.examples.paths == list(paths[place > 0])
    for fold, part in parts.items():
        assert part.examples.paths == list(paths[place == 3 - fold])
        assert part.examples.validation_paths == list(paths[place == fold])
        labels = labels_of(table, FINDINGS)[place == 3 - fold]
        assert [facts["positives"] for facts in part.weights.values()] == (labels == 1).sum(0).tolist()
    frame = pd.read_csv(result.run_dir / out_of_fold.FILE)
    for row in [row for row in result.history if row["stage"] == "stage2"]:
        fold = int(row["job"][len("tiny0-fold")])
        own = frame[(frame["model"] == "tiny0") & (frame["fold"] == fold)]
        logits = own[[f"logit_{f}" for f in FINDINGS]].to_numpy()
        auc = np.nanmean(roc_auc(labels_of(table, FINDINGS)[place == fold], logits))
        assert row["val_auc"] == pytest.approx(auc, abs=1e-9)


def test_out_of_fold_predictions_are_those_of_the_member_without_the_patient(table, finished):
    recipe, split, result, _ = finished
    frame = pd.read_csv(result.run_dir / out_of_fold.FILE)
    place = folds.assign(recipe, table, split)
    assert frame["model"].value_counts().to_dict() == dict.fromkeys(("small", "tiny0", "tiny0-stage1"), 50)
    images = np.stack([np.asarray(_read(path))[..., None] for path in table["Image_path"]])
    for base, file in (("tiny0", "stage2.weights.h5"), ("tiny0-stage1", "stage1.weights.h5")):
        own = frame[frame["model"] == base]
        for fold in (1, 2):
            alone = Ensemble.from_spec(single(folds.model_of(recipe), f"tiny0-fold{fold}"))
            alone.load_weights(result.run_dir / "members" / f"tiny0-fold{fold}" / file)
            logits = alone.predict(images[place == fold], verbose=0)
            here = own[own["fold"] == fold]
            assert list(here["Image_name"]) == list(table["Image_name"][place == fold])
            np.testing.assert_allclose(here[[f"logit_{f}" for f in FINDINGS]], logits, atol=1e-5)
    mean = frame.groupby("Image_name")["logit_Edema"].agg(lambda z: z.iloc[1:].mean() - z.iloc[0])
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    assert set(pd.read_csv(result.run_dir / "predictions.csv")["split"]) == {"test"}


def test_decisions_say_that_they_are_fitted_out_of_fold_and_on_how_many(table, finished):
    recipe, split, _, found = finished
    known = table[list(FINDINGS)].notna()
    learned = np.sort(np.concatenate([split.rows("train"), split.rows("validation")]))
    origin = found.decision.point("max_f1").origin
    assert (origin.split, origin.split_hash) == ("out-of-fold", split.hash)
    assert origin.n == tuple(known.iloc[learned].sum())
    place = folds.assign(recipe, table, split)
    assert set(found.member_decisions) == {member.name for member in found.spec.members}
    own = found.member_decisions["tiny0-fold2-stage1"].point("max_f1").origin
    assert own.n == tuple(known[place == 2].sum())
    assert {found.result.model, *found.result.models} == {"small", "tiny0-stage1", "tiny0", "pixel baseline"}
    assert "fitted on the out-of-fold predictions" in found.result.calibration.how


def test_the_release_of_folds_is_sound_and_its_card_says_what_out_of_fold_means(table, finished, tmp_path):
    recipe, split, _, found = finished
    facts = provenance.of_training(recipe, table, split)
    text = card.render(found.spec, found.result, decision=found.decision, provenance=facts)
    assert "fitted on the out-of-fold predictions.\nThese are predictions of each image by the members" in text
    assert "members one by one, each in 2 folds of the patients of the training and validation parts, precision" in text
    folder = write_release(
        tmp_path / "release",
        found.model,
        found.spec,
        found.decision,
        member_decisions=found.member_decisions,
        metrics=found.result,
        provenance=facts,
        card=text,
    )
    checks = verify(folder)
    assert [check for check in checks if not check.ok] == []
    assert "decisions are fitted on out-of-fold, reported on test" in [check.detail for check in checks]


def test_out_of_fold_scores_can_be_fitted_and_those_of_the_test_part_cannot():
    labels = np.array([[1], [0]] * 20)
    scores = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "out-of-fold")
    assert fit_decision(scores, calibration="none").point("max_f1").origin.split == "out-of-fold"
    origin = fit_decision(scores, calibration="auto").temperature_origin
    assert origin is not None
    assert "chosen by cross-validated log loss on the out-of-fold predictions (" in origin.notes[0]
    with pytest.raises(SplitError, match="or on out-of-fold predictions, these scores are of 'test'"):
        fit_decision(dataclasses.replace(scores, split="test"))


def test_a_run_in_folds_that_was_stopped_ends_like_one_that_was_not_and_processes_do_the_same(
    table, finished, tmp_path
):
    recipe, split, whole, _ = finished

    class Stop(Silent):
        def on_job(self, title, *_):
            if title == "tiny0-fold2 stage2":
                os.kill(os.getpid(), signal.SIGTERM)

    assert train(recipe, table, split, tmp_path / "parts", progress=Stop()).stopped == "SIGTERM"
    train(recipe, table, split, tmp_path / "parts")
    assert digest(tmp_path / "parts") == digest(whole.run_dir)
    beside = train(dataclasses.replace(recipe, members="parallel"), table, split, tmp_path / "beside")
    assert [row["job"] for row in beside.history] == [row["job"] for row in whole.history]
    losses = [[row["val_loss"] for row in result.history] for result in (beside, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-4)  # another number of threads may change the last bits


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"members": "joint"}, "folds and snapshots need members 'separate' or 'parallel'"),
        ({"folds": 1}, "folds are 2 or more"),
        ({"folds": -2}, "folds are 2 or more"),
        ({"stages": STAGES[:1]}, "the last stage has no snapshot"),
    ],
)
def test_folds_and_snapshots_that_cannot_be_trained_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        dataclasses.replace(in_folds(STAGES), **changes)
    with pytest.raises(RecipeError, match="by patient as the split"):
        in_folds(split=dataclasses.replace(in_folds().split, by="image"))


def _read(path):
    from PIL import Image

    return Image.open(path)
