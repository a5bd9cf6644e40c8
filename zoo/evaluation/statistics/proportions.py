"""Shares with their intervals, and the binomial tails that promises rest on."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from zoo.evaluation.statistics.intervals import Interval


def proportion(hits: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (Wilson 1927), which has an upper limit for 0 of n as well.

    Where rows come in clusters, n is replaced by the number of independent rows that would vary as much (Kish 1965):
    never more than n; where nothing varies, the number of clusters.

    Args:
        hits: (n,) of 1, 0 and NaN (left out).
        clusters: (n,) int, each row's patient; None takes the rows for independent.
        level: Confidence level.
    """
    known = ~np.isnan(hits)
    y, n = hits[known], int(known.sum())
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    share, effective = float(y.mean()), float(n)
    if clusters is not None:
        of, count = np.unique(clusters[known], return_inverse=True)[1].reshape(-1), len(np.unique(clusters[known]))
        spread = np.sum(np.bincount(of, y - share) ** 2) * count / (max(count - 1, 1) * n**2)
        effective = min(n, share * (1 - share) / spread) if spread > 0 and count > 1 else float(count)
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(share * (1 - share) / effective + z**2 / (4 * effective**2))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    # At 0 and at 1 rounding alone keeps the limit from being the share itself.
    return Interval(share, 0.0 if share == 0 else low, 1.0 if share == 1 else high, n, int(y.sum()))


def binomial_tail(hits: np.ndarray | int, n: int, p: float) -> np.ndarray:
    """P(at least `hits` of n) where each is a hit with probability p: float64, of the shape of `hits`.

    Terms are summed as logarithms, the small ones first, which holds for any n that fits into memory.

    Raises:
        ValueError: p is not between 0 and 1, or hits are not in 0..n.
    """
    k = np.asarray(hits)
    if not 0 < p < 1 or n < 0 or (k < 0).any() or (k > n).any():
        raise ValueError(f"a binomial tail needs 0 < p < 1 and hits in 0..n, got p {p}, n {n} and hits {hits}")
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of the factorials
    terms = logs[n] - logs - logs[::-1] + np.arange(n + 1) * np.log(p) + np.arange(n, -1, -1) * np.log1p(-p)
    return np.minimum(1.0, np.exp(np.logaddexp.accumulate(terms[::-1])[::-1]))[k]


@lru_cache(maxsize=4096)
def hits_needed(n: int, target: float, confidence: float) -> int | None:
    """The fewest hits of n that show, with that confidence, a share of `target` or more; None where not even n do.

    The exact one-sided binomial test (Clopper and Pearson 1934) of the share being below the target.
    """
    shown = np.flatnonzero(binomial_tail(np.arange(n + 1), n, target) <= 1 - confidence)
    return int(shown[0]) if len(shown) else None
