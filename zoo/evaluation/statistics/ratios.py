"""Ratios and means that are NaN where they are undefined."""

from __future__ import annotations

import numpy as np


def ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """`part` divided by `whole`, NaN where `whole` is not above 0.

    Args:
        part: Any shape.
        whole: A shape that broadcasts with it.

    Returns:
        float64 of the common shape.

    >>> ratio(np.array([1, 0]), np.array([4, 0])).tolist()
    [0.25, nan]
    """
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_over_findings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis, NaN left out, and how many findings it is the mean of; NaN where that is 0.

    >>> mean, count = mean_over_findings(np.array([0.5, np.nan, 1.0]))
    >>> float(mean), int(count)
    (0.75, 2)
    """
    count = np.sum(~np.isnan(values), axis=-1)
    return ratio(np.nansum(values, axis=-1), count), count


def weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    """Weighted mean over one axis, NaN left out; NaN where no weight is left.

    Args:
        values: Any shape.
        weights: Non-negative, of a shape that broadcasts with it.
        axis: Which axis.

    >>> float(weighted_mean(np.array([0.25, np.nan, 0.75]), np.array([1, 5, 3])))
    0.625
    """
    weights = np.where(np.isnan(values), 0.0, weights)
    return ratio(np.sum(weights * np.nan_to_num(values), axis=axis), weights.sum(axis=axis))
