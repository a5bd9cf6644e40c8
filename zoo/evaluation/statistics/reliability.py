"""How far probabilities are from frequencies: the reliability curve and the calibration error over its bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo.evaluation.metrics import check_probabilities

#: Bins of equal mass.
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """One finding's reliability curve over bins of equal mass.

    Attributes:
        predicted: (b,) mean probability of each bin.
        observed: (b,) share of positives in it.
        n: (b,) labels in it.
    """

    predicted: np.ndarray
    observed: np.ndarray
    n: np.ndarray


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """Mean probability against frequency in bins of equal mass, for one finding: (n,) labels and probabilities.

    Equal probabilities share a bin, so the curve does not depend on the order of the rows; there may be fewer bins.
    """
    known = ~np.isnan(labels)
    y, p = labels[known], check_probabilities(probabilities)[known]
    if not len(p):
        return Reliability(np.empty(0), np.empty(0), np.empty(0, np.int64))
    bin_of = bins_of(p, bins)
    n = np.bincount(bin_of)
    used = n > 0
    mean = [np.bincount(bin_of, values)[used] / n[used] for values in (p, y)]
    return Reliability(mean[0], mean[1], n[used])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Expected calibration error over equal-mass bins, debiased; 0 is calibrated, in units of probability.

    The root mean square gap of probability and frequency. A calibrated model has gaps too, since each bin's frequency
    is uncertain: their expected square is subtracted, which makes the square unbiased (Kumar, Liang, Ma 2019; Roelofs
    et al. 2022). A square below 0 is given as 0.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        probabilities: (n, k) in 0..1.
        bins: At most so many.

    Returns:
        float64 (k,); NaN where a finding has no positive or no negative.
    """
    squares = [squared_error(y, p, bins) for y, p in zip(labels.T, probabilities.T, strict=True)]
    return np.sqrt(np.maximum(squares, 0.0))


def bins_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n,) the bin of equal mass, from 0, that each of some probabilities (n,) falls into."""
    edges = np.quantile(probabilities, np.arange(1, bins) / bins)
    return np.searchsorted(edges, probabilities, side="right")


def squared_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """The square of `calibration_error` of one finding, before what is below 0 is given as 0."""
    if not np.any(labels == 1) or not np.any(labels == 0):
        return math.nan
    curve = reliability(labels, probabilities, bins)
    chance = curve.observed * (1 - curve.observed) / np.maximum(curve.n - 1, 1)
    return float(np.average((curve.predicted - curve.observed) ** 2 - chance, weights=curve.n))
