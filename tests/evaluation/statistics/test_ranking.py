"""AUC and average precision against scikit-learn, on every kind of input that breaks a ranking."""

import numpy as np
import pytest

from zoo.evaluation.metrics import average_precision, roc_auc
from zoo.evaluation.statistics.delong import delong
from zoo.evaluation.statistics.ranking import Ranked, mean_ranks, placements

CASES = {
    "many ties": lambda rng, n: rng.integers(0, 4, n) / 3,
    "few ties": lambda rng, n: np.round(rng.normal(size=n), 1),
    "no ties": lambda rng, n: rng.normal(size=n),
    "one score": lambda rng, n: np.full(n, 0.25),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "last bits": lambda rng, n: 1.0 + rng.integers(0, 9, n) * np.finfo(np.float64).eps,
    "huge": lambda rng, n: rng.choice([-5e304, -1.0, 0.0, 5e-324, 5e304], n),
    "sorted": lambda rng, n: np.arange(n, dtype=float),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [2, 3, 40, 3000])
def test_areas_are_those_of_scikit_learn(case, n):
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(n)
    for prevalence in (0.02, 0.5, 0.97):
        labels, scores = (rng.random(n) < prevalence).astype(float), CASES[case](rng, n)
        labels[:2] = 1, 0
        labels[2:][rng.random(n - 2) < 0.2] = np.nan
        weights = np.stack([rng.integers(0, 4, n), rng.random(n) + 1e-3, np.ones(n)], axis=1).astype(float)
        weights[:2, 0] = 1
        known = ~np.isnan(labels)
        for ours, theirs in ((roc_auc, sk.roc_auc_score), (average_precision, sk.average_precision_score)):
            expected = [theirs(labels[known], scores[known], sample_weight=w[known]) for w in weights.T]
            np.testing.assert_allclose(ours(labels, scores, weights)[:, 0], expected, rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours(labels, scores)[0], expected[2], rtol=0, atol=1e-12)
        np.testing.assert_allclose(delong(labels[:, None], scores[:, None])[0].value, roc_auc(labels, scores)[0])


@pytest.mark.parametrize("labels", [[1.0], [0.0], [np.nan], [1, 1, 1], [0, 0, np.nan], [np.nan, np.nan]])
def test_without_both_classes_nothing_is_defined(labels):
    labels = np.array(labels)
    for metric in (roc_auc, average_precision):
        assert np.isnan(metric(labels, np.arange(len(labels)) * 1.0)).all()
        assert np.isnan(metric(labels, np.zeros(len(labels)), np.ones((len(labels), 3)))).all()
    assert np.isnan(delong(labels[:, None], np.zeros((len(labels), 1)))[0].value)


def test_a_class_without_weight_leaves_nothing_defined():
    labels, scores = np.array([1.0, 0, 0]), np.array([0.2, 0.1, 0.3])
    weights = np.array([[0.0, 1, 1], [1, 0, 1], [1, 0, 0]])
    assert np.isnan(roc_auc(labels, scores, weights)[:, 0]).tolist() == [True, True, False]
    assert average_precision(labels, scores, weights)[2, 0] == 1.0


def test_whole_weights_in_float32_give_the_same_as_repeated_rows():
    """The bootstrap hands its weights over in float32."""
    rng = np.random.default_rng(0)
    labels, scores = (rng.random(5000) < 0.3).astype(float), np.round(rng.normal(size=5000), 2)
    weights = rng.integers(0, 4, (5000, 5))
    found = Ranked.of(labels, scores).areas(weights.astype(np.float32))
    for r, column in enumerate(weights.T):
        y, s = np.repeat(labels, column), np.repeat(scores, column)
        assert found["auc"][r] == pytest.approx(roc_auc(y, s)[0], abs=1e-12)
        assert found["average_precision"][r] == pytest.approx(average_precision(y, s)[0], abs=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", [roc_auc, average_precision, lambda y, s: delong(y[:, None], s[:, None])])
def test_scores_that_are_not_finite_are_refused(metric, wrong):
    with pytest.raises(ValueError, match="not finite"):
        metric(np.array([1.0, 0, 1]), np.array([0.1, wrong, 0.3]))


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused(wrong):
    with pytest.raises(ValueError, match="finite numbers of 0 or more"):
        roc_auc(np.array([1.0, 0]), np.array([0.1, 0.3]), np.array([[1.0], [wrong]]))
    with pytest.raises(ValueError, match=r"weights must be \(2, r\)"):
        roc_auc(np.array([1.0, 0]), np.array([0.1, 0.3]), np.ones(2))


def test_placements_average_to_the_auc_over_either_class():
    rng = np.random.default_rng(0)
    labels, scores = (rng.random(300) < 0.3).astype(float), np.round(rng.normal(size=300), 1)
    labels[:20] = np.nan
    found = placements(labels, scores)
    assert found[labels == 1].mean() == pytest.approx(roc_auc(labels, scores)[0], abs=1e-12)
    assert found[labels == 0].mean() == pytest.approx(roc_auc(labels, scores)[0], abs=1e-12)
    assert (found[:20] == 0).all()


def test_mean_ranks_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.round(np.random.default_rng(0).normal(size=(200, 3)), 1)
    np.testing.assert_allclose(mean_ranks(values), (stats.rankdata(values, axis=0) - 0.5) / 200, atol=1e-15)
