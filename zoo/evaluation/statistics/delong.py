"""The AUC of one model and the difference of two, with intervals for patients with several images.

The variance is that of DeLong, DeLong and Clarke-Pearson (1988), summed by patient (Obuchowski 1997). A symmetric
interval from it covers too rarely near an AUC of 1, where a few images decide, so the interval of an AUC is a score
interval instead: all AUCs from which the observed one is not too far, by the variance that such an AUC would have. That
variance is the one of two normal distributions, times the ratio of the estimated to the normal variance at the
observed AUC. The ratio is shrunk towards a fixed one the more, the fewer patients carry the errors of the ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.influences import auc_influence, by_patient
from zoo.evaluation.statistics.inputs import check_pair, distinct
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.ranking import placements
from zoo.evaluation.statistics.spreads import FEWEST, Spread, correlation_of

#: The ratio of variances is shrunk as if this many further patients carried errors.
_PRIOR = 2.0

#: What it is shrunk towards: 1 up to the first AUC, rising to the number at the second, since few data near an AUC of 1
#: hide long tails.
_RISE = (0.9, 0.97, 1.3)

#: Fewest positive patients that two models lose by wrong ranks, on average, for an interval of their difference: with
#: fewer, the limits hold the true difference nearly always, and tell nothing.
_LOST = 0.5


def delong(
    labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> tuple[Interval, ...]:
    """AUC of each finding with its interval.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        scores: (n, k) finite.
        clusters: (n,) int, each row's patient; None treats the rows as independent.
        level: Confidence level.

    Returns:
        k intervals; limits are NaN if there are too few to tell (see `auc_spread`).

    >>> labels = np.array([[1], [0]] * 6)
    >>> (one,) = delong(labels, np.array([0.9, 0.1, 0.4, 0.5, 0.8, 0.2, 0.7, 0.3, 0.6, 0.6, 0.5, 0.4])[:, None])
    >>> round(one.value, 3), round(one.low, 3), round(one.high, 3)
    (0.875, 0.5, 0.972)
    """
    labels, scores = check_pair(labels, scores)
    groups = np.arange(len(labels)) if clusters is None else np.asarray(clusters)
    return _intervals(labels, [auc_spread(y, s, groups) for y, s in zip(labels.T, scores.T, strict=True)], level)


def delong_difference(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> tuple[Interval, ...]:
    """AUC of `a` minus that of `b` on the same rows, with a paired interval; arguments as `delong`.

    >>> labels, scores = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.1], [0.4], [0.5]])
    >>> delong_difference(labels, scores, -scores)[0].value
    0.5
    """
    (labels, a), (_, b) = check_pair(labels, a), check_pair(labels, b)
    groups = np.arange(len(labels)) if clusters is None else np.asarray(clusters)
    columns = zip(labels.T, a.T, b.T, strict=True)
    return _intervals(labels, [difference_spread(y, one, other, groups) for y, one, other in columns], level)


def _intervals(labels: np.ndarray, spreads: Sequence[Spread], level: float) -> tuple[Interval, ...]:
    counts = zip(spreads, *known_counts(labels), strict=True)
    return tuple(Interval(spread.value, *spread.interval(level), int(n), int(p)) for spread, n, p in counts)


def auc_spread(labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> Spread:
    """The AUC of one finding (n,) with its limits.

    >>> perfect = auc_spread(np.array([1, 0] * 20), np.array([1.0, 0.0] * 20), np.arange(40))
    >>> low, high = perfect.interval(0.95)
    >>> round(low, 3), high
    (0.862, 1.0)
    """
    positive, negative = labels == 1, labels == 0
    p, q = int(positive.sum()), int(negative.sum())
    if not p or not q:
        return Spread.normal(np.nan, np.nan, 0)
    shares = placements(labels, scores)
    value = float(shares[positive].mean())
    variance, freedom, patients = _variance(shares, value, labels, clusters)
    at = float(np.clip(value, 0.5 / (p * q), 1 - 0.5 / (p * q)))
    missed = np.bincount(clusters[positive], 1 - shares[positive])
    carried = float(missed.sum() ** 2 / np.sum(missed**2)) if value < 1 else 0.0
    curve = _normal_variances(p, q)
    ratio = 1.0 if np.isnan(variance) else variance / float(np.interp(at, _grid()[0], curve))
    start, end, top = _RISE
    expected = _design_effect(shares, variance, labels, clusters)
    expected *= 1 + (top - 1) * min(1.0, max(0.0, (at - start) / (end - start)))
    curve = curve * (carried * ratio + _PRIOR * expected) / (carried + _PRIOR)

    def limits(width: float) -> tuple[float, float]:
        near = _grid()[0][np.abs(value - _grid()[0]) <= width * np.sqrt(curve)]
        low, high = (float(near[0]), float(near[-1])) if len(near) else (value, value)
        return min(low, value) if value else 0.0, max(high, value) if value < 1 else 1.0

    return Spread(value, float(np.interp(at, _grid()[0], curve)), freedom, limits, enough=patients >= FEWEST)


def difference_spread(labels: np.ndarray, a: np.ndarray, b: np.ndarray, clusters: np.ndarray) -> Spread:
    """AUC of `a` minus that of `b` for one finding (n,), from the limits of both and the correlation of their errors.

    >>> labels, scores = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.1, 0.4, 0.5])
    >>> float(difference_spread(labels, scores, -scores, np.arange(4)).value)
    0.5
    """
    both = np.stack([auc_influence(labels, scores) for scores in (a, b)], axis=1)
    shared = correlation_of(by_patient(both, clusters, int(clusters.max()) + 1))[0, 1]
    first, other = (auc_spread(labels, scores, clusters) for scores in (a, b))
    less = Spread.less(first, other, float(shared))
    lost = distinct(clusters[labels == 1]) * (1 - (first.value + other.value) / 2)
    return replace(less, enough=less.enough and lost >= _LOST)


def _design_effect(shares: np.ndarray, variance: float, labels: np.ndarray, groups: np.ndarray) -> float:
    """How much larger the variance is than that of as many patients with one image each, from 1 to images a patient."""
    own = [shares[labels == truth] for truth in (1, 0)]
    most = max(len(s) / distinct(groups[labels == truth]) for s, truth in zip(own, (1, 0), strict=True))
    alone = sum(float(np.var(s, ddof=1)) / len(s) if len(s) > 1 else 0.0 for s in own)
    return float(np.clip(variance / alone, 1.0, most)) if alone > 0 and not np.isnan(variance) else most


def _variance(shares: np.ndarray, value: float, labels: np.ndarray, groups: np.ndarray) -> tuple[float, float, int]:
    """The clustered variance, its degrees of freedom, and the number of patients of the rarer class."""
    positive, negative = labels == 1, labels == 0
    p, q = int(positive.sum()), int(negative.sum())
    with_positives, with_negatives = distinct(groups[positive]), distinct(groups[negative])
    patients = min(with_positives, with_negatives)
    if patients < 2:
        return np.nan, 1.0, patients
    residuals = shares - value
    v10, v01 = np.bincount(groups, residuals * positive), np.bincount(groups, residuals * negative)
    clusters = distinct(groups[positive | negative])
    first = with_positives / (with_positives - 1) * float(np.sum(v10**2)) / p**2
    second = with_negatives / (with_negatives - 1) * float(np.sum(v01**2)) / q**2
    both = 2 * clusters / (clusters - 1) * float(np.sum(v10 * v01)) / (p * q)
    total = max(first + second + both, 0.0)
    spread = first**2 / (with_positives - 1) + second**2 / (with_negatives - 1)
    freedom = max(patients - 1.0, min((first + second) ** 2 / spread, clusters - 1.0)) if spread > 0 else patients - 1.0
    return total, freedom, patients


@lru_cache(maxsize=1)
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """AUCs of two normal distributions, and the probability that a positive outranks two negatives, for each."""
    h = np.linspace(-5.5, 5.5, 2201)
    areas = np.array([NormalDist().cdf(x) for x in h])
    # Owen's (1956) T function of h and 1 / sqrt(3), by Gauss and Legendre's rule.
    nodes, weights = np.polynomial.legendre.leggauss(24)
    end = 1 / np.sqrt(3)
    x = (nodes + 1) * end / 2
    owen = np.exp(-np.outer(h**2, 1 + x**2) / 2) / (1 + x**2) @ weights * end / 2 / (2 * np.pi)
    return areas, areas - 2 * owen


@lru_cache(maxsize=256)
def _normal_variances(p: int, q: int) -> np.ndarray:
    """The variance of the AUC of p positives and q negatives of two normal distributions, on the grid of AUCs."""
    areas, both = _grid()
    return (areas * (1 - areas) + (p + q - 2) * np.maximum(both - areas**2, 0.0)) / (p * q)
