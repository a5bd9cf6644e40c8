"""What rows contribute to a number is its derivative by their weights."""

import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.statistics.influences import (
    auc_influence,
    by_patient,
    error_influence,
    precision_influence,
    share_influence,
)
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.evaluation.statistics.reliability import bins_of
from zoo.evaluation.statistics.spreads import correlation_of, freedom_by, variance_by

STEP = 1e-6


@pytest.fixture(scope="module")
def data():
    """Labels with unknown ones, tied scores, and patients of several images."""
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.3).astype(float)
    scores = np.round(rng.normal(size=300) + 1.2 * labels, 1)
    labels[rng.random(300) < 0.1] = np.nan
    return labels, scores, rng.integers(0, 120, 300)


@pytest.mark.parametrize(
    ("influence", "metric"),
    [(auc_influence, metrics.roc_auc), (precision_influence, metrics.average_precision)],
)
def test_contributions_are_derivatives_by_the_weights(data, influence, metric):
    labels, scores, _ = data
    found = influence(labels, scores)
    more, less = (np.ones((300, 300)) + sign * STEP * np.eye(300) for sign in (1, -1))
    expected = (metric(labels, scores, more) - metric(labels, scores, less))[:, 0] / (2 * STEP)
    assert found == pytest.approx(expected, abs=1e-8)
    assert found.sum() == pytest.approx(0, abs=1e-12)
    assert (found[np.isnan(labels)] == 0).all()
    assert (influence(np.ones(4), np.arange(4.0)) == 0).all()


def test_those_of_a_calibration_error_keep_its_bins(data):
    labels, scores, _ = data
    known = ~np.isnan(labels)
    p = 1 / (1 + np.exp(-scores))
    bin_of = bins_of(p[known])

    def square(weights):
        n, gap = (np.bincount(bin_of, weights[known] * v) for v in (np.ones(known.sum()), (p - labels)[known]))
        return np.sum(gap[n > 0] ** 2 / n[n > 0]) / n.sum()

    rows = np.eye(300)
    expected = [(square(1 + STEP * row) - square(1 - STEP * row)) / (2 * STEP) for row in rows]
    assert error_influence(labels, p) == pytest.approx(expected, abs=1e-8)


def test_those_of_a_ratio_of_sums():
    part, whole = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    found = share_influence(part, whole)
    assert found[:, 0] == pytest.approx([0.25 / 4, -0.75 / 4, 0.5 / 4])
    assert (found[:, 1] == 0).all()


def test_their_variance_is_that_of_the_bootstrap(data):
    labels, scores, clusters = data
    clusters = np.unique(clusters, return_inverse=True)[1]
    patients = int(clusters.max()) + 1
    own = np.stack([f(labels, scores) for f in (auc_influence, precision_influence)], axis=1)
    shared = by_patient(own, clusters, patients)

    def both(weights):
        return {
            "auc": metrics.roc_auc(labels, scores, weights),
            "ap": metrics.average_precision(labels, scores, weights),
        }

    drawn = bootstrap(both, clusters, resamples=1500)
    samples = np.concatenate([drawn["auc"], drawn["ap"]], axis=1)
    assert [variance_by(column) for column in shared.T] == pytest.approx(samples.var(axis=0), rel=0.2)
    assert correlation_of(shared)[0, 1] == pytest.approx(np.corrcoef(samples.T)[0, 1], abs=0.08)


def test_the_freedom_counts_the_patients_that_contribute():
    rng = np.random.default_rng(0)
    assert freedom_by(rng.normal(size=4000)) == pytest.approx(4000, rel=0.1)  # the chi-square's own degrees of freedom
    few = np.zeros(10_000)
    few[:6] = 1.0
    assert freedom_by(few) == pytest.approx(12, rel=0.01)
    assert freedom_by(np.zeros(5)) == 1.0
    assert np.isnan(variance_by(np.zeros(1)))
