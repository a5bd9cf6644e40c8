import numpy as np
import pytest

from zoo.core.errors import SplitError, UnknownNameError
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores

FINDINGS = ("Edema", "Fracture")
LABELS = np.array([[1, 0], [0, np.nan], [0, 1]], np.float32)
LOGITS = np.array([[2.0, -1.0], [0.0, 0.5], [-3.0, 40.0]], np.float32)


def test_probabilities_are_the_sigmoid_of_the_logits():
    scores = Scores(LOGITS, LABELS, FINDINGS, "test")
    assert scores.probabilities == pytest.approx(1 / (1 + np.exp(-LOGITS.astype(float))))
    half = scores.calibrated(Decision(FINDINGS, (2.0,)))
    assert half == pytest.approx(1 / (1 + np.exp(-LOGITS.astype(float) / 2)))


def test_probabilities_go_in_and_come_out_the_same():
    p = np.array([[0.0, 1.0], [0.35, 1e-12], [0.5, 0.999999]])
    scores = Scores.from_probabilities(p, LABELS, FINDINGS, split="test")
    assert np.isfinite(scores.logits).all()
    assert scores.probabilities == pytest.approx(p, rel=1e-12, abs=1e-15)


def test_logits_given_as_probabilities_are_named():
    with pytest.raises(ValueError, match=r"probability 40 at row 2, column 1 \(Fracture\) .* are these logits\?"):
        Scores.from_probabilities(np.abs(LOGITS) * [[0.1, 1]], LABELS, FINDINGS, split="test")
    with pytest.raises(ValueError, match=r"for probabilities use Scores\.from_probabilities"):
        Scores(LOGITS, LABELS, FINDINGS, "test", kind="probabilities")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_named(value):
    logits = LOGITS.copy()
    logits[1, 1] = value
    with pytest.raises(ValueError, match="row 1 of 'Fracture' is not finite"):
        Scores(logits, LABELS, FINDINGS, "test")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": LABELS + 1}, ValueError, "label 2 in row 0 of 'Edema'"),
        ({"labels": LABELS[:2]}, ValueError, "one shape"),
        ({"logits": LOGITS[:, :1]}, ValueError, r"\(rows, 2\)"),
        ({"logits": LOGITS[:0], "labels": LABELS[:0]}, ValueError, "at least one row"),
        ({"findings": ("Edema", "Edema")}, ValueError, "different names"),
        ({"patients": ["a", "b"]}, ValueError, "one a row"),
        ({"split": "Test"}, SplitError, "one of train, validation, test, out-of-fold, got 'Test'"),
    ],
)
def test_bad_scores(change, error, message):
    given = {"logits": LOGITS, "labels": LABELS, "findings": FINDINGS, "split": "test"} | change
    with pytest.raises(error, match=message):
        Scores(**given)


def test_scores_of_unknown_scale_have_no_probabilities():
    scores = Scores(LOGITS, LABELS, FINDINGS, "validation", kind="scores")
    with pytest.raises(ValueError, match="no probabilities"):
        _ = scores.probabilities
    with pytest.raises(ValueError, match="unknown scale"):
        scores.check_fittable("thresholds")


def test_subset_of_rows_and_findings_by_name():
    scores = Scores(LOGITS, LABELS, FINDINGS, "test", patients=np.array([7, 7, 9]))
    part = scores.subset(np.array([2, 0]), ("Fracture", "Edema"))
    assert part.logits.tolist() == [[40.0, -3.0], [-1.0, 2.0]]
    assert part.patients.tolist() == ["9", "7"]
    assert part.findings == ("Fracture", "Edema")
    assert scores.subset(scores.labels[:, 0] == 1).logits.shape == (1, 2)
    with pytest.raises(UnknownNameError, match="did you mean 'Edema'"):
        scores.subset(findings=["Edma"])


def test_clusters_and_counts():
    scores = Scores(LOGITS, LABELS, FINDINGS, "test", patients=np.array(["b", "a", "b"]))
    assert scores.clusters.tolist() == [1, 0, 1]
    assert Scores(LOGITS, LABELS, FINDINGS, "test").clusters.tolist() == [0, 1, 2]
    assert [c.tolist() for c in scores.counts] == [[3, 2], [1, 1]]


def test_a_decision_for_other_findings_is_refused():
    with pytest.raises(ValueError, match="the decision is for"):
        Scores(LOGITS, LABELS, FINDINGS, "test").calibrated(Decision(FINDINGS[::-1]))
