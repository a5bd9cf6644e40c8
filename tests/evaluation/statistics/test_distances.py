"""Distances between two samples against SciPy and against their formulas, for one division and for many."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from zoo.evaluation.statistics import distances
from zoo.evaluation.statistics.distances import gaussian_kernel, of_distributions, of_kernel, of_shares, two


@pytest.mark.parametrize("decimals", [9, 1, 0])
def test_the_kolmogorov_smirnov_distance_is_that_of_scipy_also_with_ties_and_gaps(decimals):
    rng = np.random.default_rng(decimals)
    one, other = rng.normal(size=80).round(decimals), rng.normal(0.4, 1.2, size=33).round(decimals)
    one[::7] = np.nan
    found = of_distributions(*two(one, other))[0]
    assert found[0] == pytest.approx(ks_2samp(one[~np.isnan(one)], other).statistic, abs=1e-12)


def test_the_stability_index_is_the_sum_over_tenths_of_both_sides():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=500), rng.normal(1, size=200)
    edges = np.sort(np.concatenate([one, other]))[np.arange(1, 10) * 70 - 1]
    counts = [np.bincount(np.searchsorted(edges, side), minlength=10) + 0.5 for side in (one, other)]
    p, q = (count / count.sum() for count in counts)
    assert of_distributions(*two(one, other))[1][0] == pytest.approx(np.sum((p - q) * np.log(p / q)))
    assert of_distributions(*two(np.ones(30), np.ones(9)))[1][0] == 0
    assert of_distributions(*two(one, one.copy()))[1][0] == pytest.approx(0)


def test_the_mean_discrepancy_is_the_double_sum_over_the_kernel():
    rng = np.random.default_rng(1)
    values, new = two(rng.normal(size=(20, 3)), rng.normal(0.5, size=(8, 3)))
    scaled = values / values.std(axis=0)
    squared = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    kernel = np.exp(-squared / (2 * np.median(squared[np.triu_indices(28, 1)])))
    assert gaussian_kernel(values) == pytest.approx(kernel, abs=1e-5)
    means = kernel[20:, 20:].mean() + kernel[:20, :20].mean() - 2 * kernel[20:, :20].mean()
    assert of_kernel(gaussian_kernel(values), new)[0] == pytest.approx(np.sqrt(means), abs=1e-4)


def test_a_feature_that_is_constant_or_large_does_not_rule_the_kernel():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(30, 2))
    more = np.column_stack([values[:, 0], 1e6 * values[:, 1] + 1e7, np.full(30, 3.0)])
    assert gaussian_kernel(more) == pytest.approx(gaussian_kernel(values), abs=1e-4)
    assert (gaussian_kernel(np.ones((3, 2))) == 1).all()


def test_a_share_that_differs_by_as_much_in_variance_is_as_far_and_unknown_rows_do_not_count():
    one = np.r_[np.ones(10), np.zeros(90), np.nan]
    other = np.r_[np.ones(30), np.zeros(70), np.nan, np.nan]
    wanted = 2 * np.arcsin(np.sqrt(0.3)) - 2 * np.arcsin(np.sqrt(0.1))
    assert of_shares(*two(one, other))[0] == pytest.approx(wanted)
    assert of_shares(*two(np.full(5, np.nan), other))[0] == 0


def test_many_divisions_give_what_each_gives_alone():
    rng = np.random.default_rng(3)
    values, shares = rng.normal(size=40).round(1), rng.random(40) < 0.2
    kernel = gaussian_kernel(rng.normal(size=(40, 4)))
    values[3] = np.nan
    new = rng.random((40, 7)) < 0.3
    new[:, 6] = False  # a side without a row
    for many in (
        of_distributions(values, new)[0],
        of_distributions(values, new)[1],
        of_shares(shares.astype(float), new),
        of_kernel(kernel, new),
    ):
        assert many.shape == (7,)
        assert many[6] == 0
    alone = [of_distributions(values, new[:, [i]]) for i in range(7)]
    assert of_distributions(values, new)[0].tolist() == [float(ks[0]) for ks, _ in alone]
    assert of_kernel(kernel, new) == pytest.approx([of_kernel(kernel, new[:, [i]])[0] for i in range(7)], abs=1e-6)


def test_no_known_value_is_no_distance():
    nothing = np.full(4, np.nan)
    assert [part.tolist() for part in distances.of_distributions(nothing, np.eye(4, 2, dtype=bool))] == [[0, 0], [0, 0]]
