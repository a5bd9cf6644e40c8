"""Proportions with confidence intervals, and binomial tail probabilities for guarantees."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.statistics.intervals import Interval, clustered_error
from zoo.evaluation.statistics.ratios import ratio
from zoo.evaluation.statistics.spreads import LARGE, Spread


def proportion(hits: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95) -> Interval:
    """Returns a proportion with Wilson's score interval, adjusted for clustered rows (see `shares`).

    Args:
        hits: (n,) of 1, 0 and NaN (left out).
        clusters: (n,) int patient of each row; None treats rows as independent.
        level: Confidence level.

    >>> one = proportion(np.array([0.0, 0.0, 0.0, np.nan]))  # 0 of 3
    >>> one.value, one.low, round(one.high, 3), one.n
    (0.0, 0.0, 0.561, 3)
    """
    known = ~np.isnan(hits)
    y, n = np.asarray(hits[known], np.float64), int(known.sum())
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    if clusters is None:
        value = y.mean()
        low, high = wilson(value, float(n), level)
    else:
        of = np.unique(clusters[known], return_inverse=True)[1].reshape(-1)
        value, low, high = shares(np.bincount(of, y), np.bincount(of).astype(np.float64), level)
    return Interval(float(value), float(low), float(high), n, int(y.sum()))


def share_spread(part: np.ndarray, whole: np.ndarray) -> Spread:
    """A proportion as `shares` gives it, (c,) sums by cluster, with its limits at any width.

    >>> share_spread(np.array([1.0, 0.0, 1.0, 1.0]), np.ones(4)).value
    0.75
    """
    value, n = _effective(part, whole)
    known = bool(n > 0)

    def limits(width: float) -> tuple[float, float]:
        low, high = score_limits(value, n, width)
        return float(low), float(high)

    low, high = limits(1.0) if known else (np.nan, np.nan)
    return Spread(float(value), ((high - low) / 2) ** 2, LARGE if known else 0.0, limits)


def shares(part: np.ndarray, whole: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns proportions, such as a sensitivity or an F1, with Wilson's score interval for clustered rows.

    The n of Wilson's formula is the effective sample size: the number of independent rows whose proportion would have
    the same variance as this one has between clusters (Kish 1965), at most the actual number. If the proportion is 0
    or 1, so that there is no variance, it is the number of clusters.

    Args:
        part: (c, ...) numerator of the proportion, summed by cluster.
        whole: (c, ...) denominator of the proportion, summed by cluster.
        level: Confidence level.

    Returns:
        Value, lower and upper limit, each of shape (...); NaN if the denominator is 0.

    >>> value, low, high = shares(np.array([1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0]))
    >>> float(value), bool(low < 0.5 < high)
    (0.5, True)
    """
    value, n = _effective(part, whole)
    return value, *wilson(value, n, level)


def _effective(part: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The proportion and the effective sample size; NaN without any rows."""
    total, clusters = whole.sum(axis=0), np.sum(whole > 0, axis=0)
    value = ratio(part.sum(axis=0), total)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (clustered_error(part - value * whole, clusters) / total) ** 2
        independent = np.where(spread > 0, np.minimum(total, value * (1 - value) / spread), clusters)
    return value, np.where(clusters > 1, independent, np.where(clusters > 0, 1.0, np.nan))


def wilson(value: np.ndarray | float, n: np.ndarray | float, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns Wilson's score interval (Wilson 1927), whose upper limit is above 0 for 0 hits of n.

    Args:
        value: Proportions, any shape.
        n: Number of independent rows, which need not be a whole number.
        level: Confidence level.

    Returns:
        Lower and upper limit.

    >>> low, high = wilson(0.5, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.404, 0.596)
    """
    return score_limits(value, n, NormalDist().inv_cdf((1 + level) / 2))


def score_limits(value: np.ndarray | float, n: np.ndarray | float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's limits at z standard errors instead of a level.

    >>> [round(float(limit), 3) for limit in score_limits(0.5, 100, 1.96)]
    [0.404, 0.596]
    """
    centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    # At 0 and at 1 the limit equals the proportion exactly; the formula would differ by rounding.
    low = np.where(value == 0, 0.0, np.maximum(0.0, centre - half))
    return low, np.where(value == 1, 1.0, np.minimum(1.0, centre + half))


def binomial_tail(hits: np.ndarray | int, n: int, p: float) -> np.ndarray:
    """Returns P(at least `hits` of n) if each is a hit with probability p; float64 in the shape of `hits`.

    Terms are summed as logarithms, the smallest first, which is accurate for any n that fits into memory.

    Raises:
        ValueError: p is not between 0 and 1, or hits are not in 0..n.

    >>> float(binomial_tail(2, 2, 0.5))
    0.25
    """
    k = np.asarray(hits)
    if not 0 < p < 1 or n < 0 or (k < 0).any() or (k > n).any():
        raise EvaluationError(f"a binomial tail needs 0 < p < 1 and hits in 0..n, got p {p}, n {n} and hits {hits}")
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of the factorials
    terms = logs[n] - logs - logs[::-1] + np.arange(n + 1) * np.log(p) + np.arange(n, -1, -1) * np.log1p(-p)
    return np.minimum(1.0, np.exp(np.logaddexp.accumulate(terms[::-1])[::-1]))[k]


@lru_cache(maxsize=4096)
def hits_needed(n: int, target: float, confidence: float) -> int | None:
    """Returns the fewest hits of n that show a proportion of `target` or more with this confidence, or None.

    Uses the exact one-sided binomial test (Clopper and Pearson 1934) of a proportion below the target.

    >>> hits_needed(29, 0.9, 0.95), hits_needed(28, 0.9, 0.95)
    (29, None)
    """
    shown = np.flatnonzero(binomial_tail(np.arange(n + 1), n, target) <= 1 - confidence)
    return int(shown[0]) if len(shown) else None
