from dataclasses import replace

import numpy as np
import pytest

from zoo.errors import SplitError
from zoo.evaluation import calibration
from zoo.evaluation.calibration import calibration_error, fit_temperature, reliability
from zoo.evaluation.scores import Scores


def test_the_temperature_is_the_minimum_of_the_loss(make_scores):
    scores = make_scores(scale=2.5)
    fitted = fit_temperature(scores)
    grid = np.linspace(0.5, 6, 4001)
    loss = [np.nanmean(np.logaddexp(0, scores.logits / t) - scores.labels * scores.logits / t) for t in grid]
    assert fitted.temperature[0] == pytest.approx(grid[np.argmin(loss)], abs=0.002)
    assert fitted.nll[1] == pytest.approx(min(loss), abs=1e-7)
    assert fitted.temperature[0] == pytest.approx(2.5, rel=0.15)


def test_scaling_undoes_overconfidence(make_scores):
    fitted = fit_temperature(make_scores(3000, scale=3.0))
    assert fitted.nll[1] < fitted.nll[0]
    assert fitted.ece[1] < 0.3 * fitted.ece[0]


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_each_finding_finds_its_own_temperature(make_scores, scale):
    scores = make_scores(3000)
    logits = scores.logits.copy()
    logits[:, 3] *= scale
    fitted = fit_temperature(replace(scores, logits=logits), "finding")
    assert fitted.temperature[3] == pytest.approx(scale, rel=0.15)
    assert fitted.temperature[4] == pytest.approx(1.0, rel=0.15)
    assert fitted.notes == ()


def test_unknown_labels_do_not_enter(make_scores):
    scores = make_scores(unknown=0.0)
    half = np.arange(600) < 300
    masked = replace(scores, labels=np.where(half[:, None], scores.labels, np.nan))
    assert fit_temperature(masked).temperature == fit_temperature(scores.subset(half)).temperature


def test_a_finding_with_few_of_a_class_takes_the_global_temperature(make_scores):
    scores = make_scores()
    labels = scores.labels.copy()
    labels[:, 1] = 0
    fitted = fit_temperature(replace(scores, labels=labels), "finding")
    assert fitted.temperature[1] == fit_temperature(replace(scores, labels=labels)).temperature[0]
    assert fitted.notes == ("Finding 1: 0 positives of 600, takes the global temperature",)


def test_perfect_separation_ends_at_the_bound_and_says_so():
    labels = np.repeat([[0.0], [1.0]], 20, axis=0)
    fitted = fit_temperature(Scores(2 * labels - 1, labels, ("Edema",), "tune"))
    assert fitted.temperature == (calibration.BOUNDS[0],)
    assert "separate the classes" in fitted.notes[0]


def test_logits_that_rank_the_wrong_way_end_at_the_other_bound():
    labels = np.repeat([[0.0], [1.0]], 20, axis=0)
    fitted = fit_temperature(Scores(1 - 2 * labels, labels, ("Edema",), "tune"))
    assert fitted.temperature == (calibration.BOUNDS[1],)
    assert "no better than chance" in fitted.notes[0]


def test_one_class_alone_leaves_the_temperature_at_one():
    fitted = fit_temperature(Scores(np.ones((9, 1)), np.zeros((9, 1)), ("Edema",), "tune"), "finding")
    assert fitted.temperature == (1.0,)
    assert "no finding has both classes" in fitted.notes[0]


def test_fitting_on_test_raises(make_scores):
    with pytest.raises(SplitError, match="temperature must be fitted on the tune part"):
        fit_temperature(make_scores(split="test"))


def test_reliability_by_hand():
    curve = reliability(np.array([0, 0, 1, 1, np.nan]), np.array([0.1, 0.2, 0.6, 0.8, 0.9]), bins=2)
    assert curve.predicted == pytest.approx([0.15, 0.7])
    assert curve.observed.tolist() == [0.0, 1.0]
    assert curve.n.tolist() == [2, 2]


def test_equal_probabilities_share_a_bin_in_any_order_of_rows():
    rng = np.random.default_rng(0)
    p, labels = np.round(rng.random(500), 1), (rng.random(500) < 0.3).astype(float)
    order = rng.permutation(500)
    assert calibration_error(labels[:, None], p[:, None]) == pytest.approx(
        calibration_error(labels[order, None], p[order, None])
    )


def test_the_error_of_a_calibrated_model_is_debiased():
    rng = np.random.default_rng(0)
    p = rng.random((300, 200))
    labels = (rng.random((300, 200)) < p).astype(float)
    plain = [_plain_square(labels[:, j], p[:, j]) for j in range(200)]
    assert np.sqrt(np.mean(plain)) > 0.08
    # Half of the debiased squares fall below 0, so their root is given as 0.
    debiased = calibration_error(labels, p)
    assert 0.3 < np.mean(debiased == 0) < 0.7
    assert np.median(debiased) < 0.03


def test_the_error_of_a_shifted_model_is_the_shift():
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 1)) * 0.8
    labels = (rng.random((20_000, 1)) < p + 0.1).astype(float)
    assert calibration_error(labels, p) == pytest.approx([0.1], abs=0.015)
    assert np.isnan(calibration_error(labels * 0, p)).all()


def _plain_square(labels: np.ndarray, p: np.ndarray) -> float:
    curve = reliability(labels, p)
    return float(np.average((curve.predicted - curve.observed) ** 2, weights=curve.n))
