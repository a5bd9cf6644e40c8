"""The interval of each number, by hand and on the data that need care."""

import numpy as np
import pytest

from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.delong import auc_spread, difference_spread
from zoo.evaluation.statistics.miscalibration import error_spread
from zoo.evaluation.statistics.precision import precision_spread
from zoo.evaluation.statistics.spreads import Spread, combined
from zoo.evaluation.uncertainty import mean_spread, uncertainty_of_difference


def test_the_limits_of_a_loss_are_symmetric_on_the_logarithm():
    values, clusters = np.array([1.0, 2.0, 3.0, 2.0] * 5), np.arange(20)
    spread = mean_spread(values, clusters, 20, "log")
    error = np.std(values, ddof=1) / np.sqrt(20)
    assert spread.variance == pytest.approx(error**2)
    assert spread.limits(2.0) == pytest.approx((2 * np.exp(-error), 2 * np.exp(error)))
    assert np.isnan(mean_spread(values, clusters, 3, "log").interval(0.95)[0])  # three patients of the rarer class


def test_the_limits_of_the_average_precision_leave_out_the_patients_own_positives():
    """Positives at ranks 1, 3 and 5 of 6: with its own 1/1, 2/3, 3/5; without, scaled by 3/2: 1, 1.5/2.5, 3/5."""
    labels, scores = np.array([1, 0, 1, 0, 1, 0.0]), np.arange(6, 0, -1.0)
    spread = precision_spread(labels, scores, np.arange(6))
    assert spread.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    low, high = spread.limits(0.0)  # the centre, and the value, which is never left out
    assert (low, high) == pytest.approx(((1 + 1.5 / 2.5 + 3 / 5) / 3, spread.value))
    shared = precision_spread(labels, scores, np.array([0, 1, 0, 2, 3, 4]))  # a patient with two positives
    assert shared.limits(0.0)[0] == pytest.approx((1 + 0.0 + 3 / 5) / 3)


def test_a_calibration_error_that_may_be_zero_begins_at_zero_alone_but_not_within_a_difference():
    rng = np.random.default_rng(2)
    p = rng.random(400) * 0.8 + 0.1
    good, off = ((rng.random(400) < p + shift).astype(float) for shift in (0.0, 0.15))
    spread = error_spread(good, p, np.arange(400))
    low, high = spread.interval(0.95)
    assert low == 0
    assert 0.02 < high < 0.12
    assert spread.limits(1.96)[0] < 0
    low, high = error_spread(off, np.clip(p, 0, 0.85), np.arange(400)).interval(0.95)
    assert 0 < low < 0.15 < high


def test_errors_that_two_models_share_leave_their_difference():
    """Both AUCs may be 0.03 too low together, which moves the difference by nothing."""
    one = Spread(0.95, 0.01**2, 1e9, lambda width: (0.95 - 0.03 * width, 0.95 + 0.01 * width))
    assert Spread.less(one, one, 1.0).limits(2.0) == (0.0, 0.0)
    assert np.isnan(Spread.less(one, one, 1.0).interval(0.95)[0])
    apart = Spread.less(one, one, 0.0).limits(1.0)
    assert apart == pytest.approx((-np.hypot(0.03, 0.01), np.hypot(0.03, 0.01)))
    signed = combined([one, one], np.array([1.0, -1.0]), np.ones((2, 2)))
    assert signed == (0.0, 0.0)


def test_nearly_perfect_models_of_few_patients_are_too_few_to_tell_apart():
    labels, rng = np.repeat([1.0, 0.0], [10, 40]), np.random.default_rng(0)
    a = 3.0 * labels + 0.5 * rng.normal(size=50)
    b = a.copy()
    b[0] = np.sort(a)[38]  # one positive below two of the negatives
    near = difference_spread(labels, a, b, np.arange(50))
    assert auc_spread(labels, b, np.arange(50)).enough
    assert near.usable
    assert np.isnan(near.interval(0.95)[0])
    b[:3] = np.sort(a)[20]
    assert np.isfinite(difference_spread(labels, a, b, np.arange(50)).interval(0.95)).all()


def test_a_difference_of_losses_is_the_mean_of_the_rows_differences():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 1)) < 0.4).astype(float)
    pair = [Scores(labels + rng.normal(size=(60, 1)), labels, ("Edema",), "test") for _ in range(2)]
    sides = [(scores, scores.probabilities) for scores in pair]
    found = uncertainty_of_difference(sides[0], sides[1], [("finding", "brier")]).spreads["finding", "brier"][0]
    rows = ((sides[0][1] - labels) ** 2 - (sides[1][1] - labels) ** 2)[:, 0]
    assert found.value == pytest.approx(rows.mean())
    assert found.variance == pytest.approx(rows.var(ddof=1) / 60)
