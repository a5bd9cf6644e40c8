"""Studies: joined logits by hand, the choice between mean and maximum, and labels that differ within a study."""

import json

import numpy as np
import pytest

from zoo.core.errors import EvaluationError, ReleaseError, SplitError
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.studies.fitting import fit_study_rule, study_scores
from zoo.evaluation.studies.rule import StudyRule, join

NAN = np.nan


def test_logits_are_joined_by_finding_in_the_order_in_which_studies_appear():
    logits = np.array([[4, 1], [0, 5], [2, 3], [1, NAN], [NAN, NAN]], np.float32)
    found = join(logits, ["b", "a", "b", "b", "c"], ["mean", "max"])
    assert found.names.tolist() == ["b", "a", "c"]
    assert found.images.tolist() == [3, 1, 1]
    assert found.first.tolist() == [0, 1, 4]
    np.testing.assert_array_equal(found.logits, np.array([[7 / 3, 3], [0, 5], [NAN, NAN]], np.float32))
    assert found.logits.dtype == np.float32


def test_a_study_of_one_image_keeps_its_logits_to_the_bit():
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    for how in ("mean", "max"):
        np.testing.assert_array_equal(join(logits, [f"s{i}" for i in range(50)], [how] * 4).logits, logits)


def test_no_images_give_no_studies():
    assert join(np.empty((0, 3), np.float32), []).logits.shape == (0, 3)


@pytest.mark.parametrize(("studies", "how"), [(["a"], ()), (["a", "b"], ["mean"])])
def test_other_lengths_are_refused(studies, how):
    with pytest.raises(EvaluationError, match="a study for each of the 2 rows"):
        join(np.zeros((2, 2)), studies, how)


def pairs(shown, other, seed=0, n=150):
    """Studies of two images: where the finding is present, one image gives `shown` and the other gives `other`."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n) % 3 == 0, 2)
    logits = rng.normal(0, 1, 2 * n) + np.where(labels, np.tile([shown, other], n), 0)
    return logits, labels.astype(np.float32), np.repeat([f"s{i}" for i in range(n)], 2)


def test_the_better_one_of_mean_and_maximum_is_chosen_for_each_finding():
    # One view shows the first finding strongly; both views show the second one a little.
    (a, labels, studies), (b, *_) = pairs(4.0, -2.0), pairs(1.5, 1.5, seed=1)
    scores = Scores(np.stack([a, b], 1), np.stack([labels, labels], 1), ("Edema", "Mass"), "validation", "h")
    rule = fit_study_rule(scores, studies, date="2026-01-01")
    assert rule.how == ("max", "mean")
    assert (rule.split, rule.split_hash, rule.studies, rule.date) == ("validation", "h", 150, "2026-01-01")
    assert rule.auc_max[0] > rule.auc_mean[0] + 0.05
    assert rule.auc_mean[1] > rule.auc_max[1]
    assert rule.described(scores.findings) == (
        "mean of the logits, maximum for Edema (fitted on 150 studies of the validation part)"
    )


def test_a_gain_within_its_standard_error_keeps_the_mean():
    labels = np.repeat((np.arange(24) % 2)[:, None], 2, axis=0)
    seen = set()
    for seed in range(12):
        scores = Scores(np.random.default_rng(seed).normal(size=(48, 1)), labels, ("Edema",), "validation")
        rule = fit_study_rule(scores, np.repeat(np.arange(24), 2))
        gain = rule.auc_max[0] - rule.auc_mean[0]
        # Of 12 images with the finding and 12 without, a paired difference has a standard error of 0.03 to 0.12.
        if gain < 0.03:
            assert rule.how == ("mean",)
        if gain > 0.12:
            assert rule.how == ("max",)
        seen.add((rule.how[0], gain > 0))
    assert ("mean", True) in seen


def test_a_finding_of_one_class_gets_the_mean_and_no_auc():
    scores = Scores(np.zeros((4, 1)), np.zeros((4, 1)), ("Edema",), "validation")
    rule = fit_study_rule(scores, ["a", "a", "b", "b"])
    assert (rule.how, rule.auc_mean, rule.auc_max) == (("mean",), (None,), (None,))


def test_nothing_is_fitted_without_studies_of_several_images_or_on_the_test_part():
    scores = Scores(np.zeros((2, 1)), np.array([[0], [1]]), ("Edema",), "validation")
    assert fit_study_rule(scores, ["a", "b"]) is None
    with pytest.raises(SplitError, match="must be fitted on the validation part"):
        fit_study_rule(Scores(np.zeros((2, 1)), np.array([[0], [1]]), ("Edema",), "test"), ["a", "a"])


def test_labels_that_differ_within_a_study_are_counted_and_taken_as_present():
    labels = np.array([[1, NAN], [0, 0], [0, 1], [0, NAN]])
    scores = Scores(np.zeros((4, 2)), labels, ("Edema", "Mass"), "test", patients=np.array(["p", "p", "q", "q"]))
    found = study_scores(scores, ["a", "a", "b", "b"])
    np.testing.assert_array_equal(found.scores.labels, [[1, 0], [0, 1]])
    assert found.differing == {"Edema": 1}
    assert found.scores.patients.tolist() == ["p", "q"]
    notes = found.notes(StudyRule.plain(2))
    assert notes[0].startswith("by study: each row is one of 2 studies (4 images; 2 studies of several images)")
    assert notes[1] == "studies whose images have different labels, which count as positive: Edema 1"


def test_a_study_of_two_patients_is_an_error():
    scores = Scores(np.zeros((2, 1)), np.zeros((2, 1)), ("Edema",), "test", patients=np.array(["p", "q"]))
    with pytest.raises(EvaluationError, match="study '1' has images of two patients, 'p' and 'q'"):
        study_scores(scores, ["1", "1"])


def test_a_decision_keeps_its_rule_and_refuses_one_for_other_findings():
    rule = StudyRule(("max", "mean"), "validation", "h", 9, (0.5, None), (0.75, None), "2026-01-01")
    decision = Decision(("Edema", "Mass"), studies=rule)
    again = Decision.from_dict(json.loads(json.dumps(decision.to_dict())))
    assert again == decision
    assert again.study_rule == rule
    assert Decision(("Edema", "Mass")).study_rule == StudyRule(("mean", "mean"))
    with pytest.raises(ReleaseError, match="studies must have 2 entries"):
        Decision(("Edema", "Mass"), studies=StudyRule(("max",)))
    wrong = decision.to_dict()
    wrong["studies"]["how"][0] = "median"
    with pytest.raises(ReleaseError, match=r"studies.*'mean', 'max', got 'median'"):
        Decision.from_dict(wrong)
