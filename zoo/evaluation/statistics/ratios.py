"""Ratios and means that are NaN if they are undefined."""

from __future__ import annotations

import numpy as np


def ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """Returns `part` divided by `whole`, NaN unless `whole` is above 0.

    Args:
        part: Any shape.
        whole: A shape that broadcasts with that of `part`.

    Returns:
        float64 array of the common shape.

    >>> ratio(np.array([1, 0]), np.array([4, 0])).tolist()
    [0.25, nan]
    """
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_over_findings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean over the last axis without NaN, and the number of findings in it; the mean of none is NaN.

    >>> mean, count = mean_over_findings(np.array([0.5, np.nan, 1.0]))
    >>> float(mean), int(count)
    (0.75, 2)
    """
    count = np.sum(~np.isnan(values), axis=-1)
    return ratio(np.nansum(values, axis=-1), count), count


def weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the weighted mean over one axis without NaN; NaN if no weight is left.

    Args:
        values: Any shape.
        weights: Non-negative, of a shape that broadcasts with that of `values`.
        axis: Axis to average over.

    >>> float(weighted_mean(np.array([0.25, np.nan, 0.75]), np.array([1, 5, 3])))
    0.625
    """
    weights = np.where(np.isnan(values), 0.0, weights)
    return ratio(np.sum(weights * np.nan_to_num(values), axis=axis), weights.sum(axis=axis))
