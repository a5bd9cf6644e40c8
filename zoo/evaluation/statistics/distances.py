"""Distances between two samples, for one division of the rows or for many at once, as a permutation test needs them.

A division is a bool (n, b): b ways to say which of n rows are new. `two` makes the one division of two samples.
"""

from __future__ import annotations

import numpy as np

#: Bins of the population stability index: tenths of both samples together.
_BINS = 10

#: Added to the count in each bin, so that an empty one has a logarithm.
_ADDED = 0.5


def two(reference: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joins two samples to one, with the division that says which rows are new, bool (n, 1).

    >>> [part.tolist() for part in two(np.array([1.0]), np.array([2.0, 3.0]))]
    [[1.0, 2.0, 3.0], [[False], [True], [True]]]
    """
    return np.concatenate([reference, new]), (np.arange(len(reference) + len(new)) >= len(reference))[:, None]


def of_distributions(values: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compares the distribution of the new rows' values with that of the other rows.

    Args:
        values: (n,) numbers; rows with NaN are left out.
        new: bool (n, b), the divisions.

    Returns:
        Two float64 (b,), 0 where a side has no row. The Kolmogorov-Smirnov distance: the largest difference of the two
        empirical distribution functions. And the population stability index (Siddiqi, "Credit Risk Scorecards", 2006):
        the sum of (p - q) ln(p / q) over the tenths of all rows together, which unlike the tenths of one side are the
        same for each division; equal values share a bin, and half a row is added to each.

    >>> values, new = two(np.arange(10.0), np.arange(5.0, 15.0))
    >>> [round(float(distance[0]), 3) for distance in of_distributions(values, new)]
    [0.5, 0.966]
    """
    known = np.flatnonzero(~np.isnan(values))
    known = known[np.argsort(values[known], kind="stable")]
    n, divisions = len(known), new.shape[1]
    if not n:
        return np.zeros(divisions), np.zeros(divisions)
    ordered = values[known]
    # A distribution function has its steps where a value differs from the next one.
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), n - 1)
    # Whole numbers, so that equal distances are equal to the last bit.
    kind = np.int32 if n * n < 2**31 else np.int64
    ours = np.cumsum(new[known], axis=0, dtype=kind)
    ours = ours if len(ends) == n else ours[ends]
    count = ours[-1].copy()
    others, ranks = n - count, (ends + 1).astype(kind)
    at = np.unique(np.searchsorted(ends, np.ceil(np.arange(1, _BINS + 1) * n / _BINS).astype(int) - 1))
    in_bins = ours[at].astype(np.float64)
    p = np.diff(in_bins, axis=0, prepend=0) + _ADDED
    q = np.diff(np.subtract(ranks[at][:, None], in_bins), axis=0, prepend=0) + _ADDED
    p, q = p / p.sum(axis=0), q / q.sum(axis=0)
    stability = ((p - q) * np.log(p / q)).sum(axis=0)
    ours *= n
    ours -= ranks[:, None] * count
    area = count.astype(np.float64) * others
    furthest = np.maximum(ours.max(axis=0), -ours.min(axis=0)) / np.maximum(area, 1)
    return np.where(area == 0, 0.0, furthest), np.where(area == 0, 0.0, stability)


def of_shares(values: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Compares the share of ones among the new rows with that among the other rows.

    Args:
        values: (n,) of 1, 0 and NaN; rows with NaN are left out.
        new: bool (n, b), the divisions.

    Returns:
        float64 (b,): the absolute value of Cohen's h (Cohen, "Statistical Power Analysis", 1988), the difference of
        2 arcsin(sqrt(share)), whose variance does not depend on the share; 0 where a side has no row.

    >>> values, new = two(np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 1, 1]))
    >>> of_shares(values, new).round(3).tolist()
    [2.094]
    """
    known = ~np.isnan(values)
    ones, rows, ours = values[known] == 1, int(known.sum()), new[known]
    count, positive = ours.sum(axis=0, dtype=np.float64), ours[ones].sum(axis=0, dtype=np.float64)
    others, theirs = rows - count, int(ones.sum()) - positive
    share, other = positive / np.maximum(count, 1), theirs / np.maximum(others, 1)
    h = np.abs(2 * np.arcsin(np.sqrt(share)) - 2 * np.arcsin(np.sqrt(other)))
    return np.where((count == 0) | (others == 0), 0.0, h)


def gaussian_kernel(features: np.ndarray) -> np.ndarray:
    """Returns the similarity exp(-d^2 / (2 m^2)) of all pairs of rows, with the median m of their distances.

    Each feature is divided by its standard deviation; constant ones say nothing and are left out. The median of the
    distances is the usual choice of the width (Gretton and others, "A Kernel Two-Sample Test", JMLR 2012).

    Args:
        features: (n, f) finite numbers of both samples together.

    Returns:
        float32 (n, n), all ones if no feature varies. Memory: 12 bytes a pair.

    >>> gaussian_kernel(np.array([[0.0], [1.0], [2.0]]))[0].astype(float).round(3).tolist()
    [1.0, 0.607, 0.135]
    """
    x = features.astype(np.float64)
    spread = x.std(axis=0)
    varies = spread > 1e-12 * np.maximum(np.abs(x).max(axis=0, initial=0), 1e-300)
    x = ((x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies]).astype(np.float32)
    squares = (x**2).sum(axis=1)
    squared = np.maximum(squares[:, None] + squares - 2 * (x @ x.T), 0)
    np.fill_diagonal(squared, 0)
    above = squared[np.triu_indices(len(x), 1)]
    width = float(np.median(above[above > 0])) if (above > 0).any() else 1.0
    similar: np.ndarray = np.exp(-squared / (2 * width))
    return similar


def of_kernel(kernel: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns the maximum mean discrepancy of the new rows and the other rows.

    Args:
        kernel: float32 (n, n), similarity of all pairs of rows.
        new: bool (n, b), the divisions.

    Returns:
        float64 (b,): the square root of the biased estimate (equation 5 of Gretton and others 2012), which is never
        negative and, unlike the unbiased one, never 0 for two samples of one distribution; 0 where a side has no row.

    >>> values, new = two(np.array([[0.0], [0.1]]), np.array([[5.0], [5.1]]))
    >>> of_kernel(gaussian_kernel(values), new).round(2).tolist()
    [0.89]
    """
    count = new.sum(axis=0, dtype=np.float64)
    others = len(new) - count
    empty = (count == 0) | (others == 0)
    # One product gives all three means: the weights are 1/m for new rows and -1/n for the others.
    weights = np.where(new, 1 / np.maximum(count, 1), -1 / np.maximum(others, 1)).astype(np.float32)
    squared = np.einsum("nb,nb->b", weights, kernel @ weights, dtype=np.float64)
    return np.where(empty, 0.0, np.sqrt(np.maximum(squared, 0)))
