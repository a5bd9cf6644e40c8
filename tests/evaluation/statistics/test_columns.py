"""One finding's rows under weights give what the plain metrics give of repeated rows."""

import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.statistics.columns import Column
from zoo.evaluation.statistics.reliability import bins_of, debiased_square, squared_error


@pytest.fixture
def data(rng):
    labels = (rng.random(900) < 0.25).astype(np.float32)
    labels[rng.random(900) < 0.1] = np.nan
    p = np.round(np.clip(0.25 * rng.random(900) + 0.4 * np.nan_to_num(labels), 0, 1), 2)
    return labels, p


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_repeated_rows(data, rng, dtype):
    labels, p = data
    weights = rng.integers(0, 4, (900, 6))
    column = Column.of(labels, p, p, [0.3, None, 0.17], summed=[np.nan_to_num((p - labels) ** 2)])
    sums = column.sums(weights.astype(dtype))
    tp, fp = sums.calls()
    for r, times in enumerate(weights.T):
        y, q = np.repeat(labels, times), np.repeat(p, times)
        counts = metrics.confusion(np.stack([y] * 3, 1), np.stack([q] * 3, 1), [0.3, None, 0.17])
        np.testing.assert_array_equal(tp[:, r], counts.tp)
        np.testing.assert_array_equal(fp[:, r], counts.fp)
        known = np.sum(~np.isnan(y))
        assert (sums.positives + sums.negatives)[r] == known
        assert sums.rest[0, r] / known == pytest.approx(metrics.brier(y, q)[0], abs=1e-12)
        assert sums.excess()[r] == pytest.approx(np.nanmean(y - np.where(np.isnan(y), np.nan, q)), abs=1e-12)


def test_the_calibration_error_keeps_the_bins_of_the_plain_rows(data, rng):
    labels, p = data
    weights, known = rng.integers(0, 4, (900, 3)), ~np.isnan(labels)
    found = Column.of(labels, p, p).sums(weights.astype(np.float32)).squared_error()
    bin_of = bins_of(p[known])
    for r, times in enumerate(weights[known].T):
        sums = [np.bincount(bin_of, times * v, 15) for v in (np.ones(known.sum()), labels[known], p[known])]
        assert found[r] == pytest.approx(float(debiased_square(*sums)), abs=1e-12)
    plain = Column.of(labels, p, p).sums(np.ones((900, 1))).squared_error()
    assert plain[0] == pytest.approx(squared_error(labels, p), abs=1e-14)


@pytest.mark.parametrize("labels", [[np.nan], [1.0], [0.0], [1, 1, np.nan]])
def test_a_finding_without_both_classes_has_counts_and_nothing_else(labels):
    labels = np.array(labels)
    column = Column.of(labels, labels * 0.5, np.full(len(labels), 0.5), [0.5])
    sums = column.sums(np.ones((len(labels), 2)))
    assert sums.positives.tolist() == [np.sum(labels == 1)] * 2
    assert sums.calls()[0].tolist() == [[np.sum(labels == 1)] * 2]
    assert np.isnan(sums.squared_error()).all()
    assert np.isnan(column.areas(np.ones((len(labels), 2)))["auc"]).all()


def test_rows_take_the_weights_of_their_number(data, rng):
    labels, p = data
    weights, rows = rng.integers(0, 3, (40, 2)).astype(float), rng.integers(0, 40, 900)
    own, other = Column.of(labels, p, p, rows=rows), Column.of(labels, p, p)
    np.testing.assert_allclose(own.areas(weights)["auc"], other.areas(weights[rows])["auc"], atol=1e-12)
    np.testing.assert_allclose(own.sums(weights).squared_error(), other.sums(weights[rows]).squared_error(), atol=1e-12)


@pytest.mark.parametrize("case", ["usual", "certain", "float32", "one row"])
def test_brier_and_log_loss_under_weights_are_those_of_scikit_learn(rng, case):
    sk = pytest.importorskip("sklearn.metrics")
    n = 1 if case == "one row" else 500
    labels, p = (rng.random(n) < 0.3).astype(float), rng.random(n)
    p = {"certain": np.round(p), "float32": p.astype(np.float32)}.get(case, p)
    labels[1:][rng.random(n - 1) < 0.2] = np.nan
    weights, known = rng.random((n, 3)) + 0.1, ~np.isnan(labels)
    exact = p[known].astype(np.float64)  # scikit-learn works in the type that comes
    expected = [sk.brier_score_loss(labels[known], exact, sample_weight=w, pos_label=1) for w in weights[known].T]
    np.testing.assert_allclose(metrics.brier(labels, p, weights)[:, 0], expected, rtol=0, atol=1e-12)
    expected = [sk.log_loss(labels[known], exact, sample_weight=w, labels=[0, 1]) for w in weights[known].T]
    np.testing.assert_allclose(metrics.log_loss(labels, p, weights)[:, 0], expected, rtol=1e-12, atol=1e-12)
