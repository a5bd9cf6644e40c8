"""The reliability curve and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.evaluation.statistics.inputs import check_probabilities, distinct
from zoo.evaluation.statistics.ratios import ratio

#: Bins of equal mass.
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """One finding's reliability curve over bins of equal mass.

    Attributes:
        predicted: (b,) mean probability in each bin.
        observed: (b,) share of positives in each bin.
        n: (b,) number of labels in each bin.
    """

    predicted: np.ndarray
    observed: np.ndarray
    n: np.ndarray


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """Mean probability against frequency in bins of equal mass, for one finding.

    Equal probabilities share a bin, so the curve does not depend on the order of the rows; there may be fewer bins.

    Args:
        labels: (n,) of 1, 0 and NaN.
        probabilities: (n,) in 0..1.
        bins: At most so many.

    >>> curve = reliability(np.array([0, 1, 1, 1]), np.array([0.2, 0.2, 0.9, 0.9]), bins=2)
    >>> curve.predicted.tolist(), curve.observed.tolist(), curve.n.tolist()
    ([0.2, 0.9], [0.5, 1.0], [2, 2])
    """
    known = ~np.isnan(labels)
    y, p = labels[known], check_probabilities(probabilities)[known]
    bin_of = bins_of(p, bins)
    n = np.bincount(bin_of)
    used = n > 0
    mean = [np.bincount(bin_of, values)[used] / n[used] for values in (p, y)]
    return Reliability(mean[0], mean[1], n[used])


def calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray | None = None, bins: int = BINS
) -> np.ndarray:
    """Expected calibration error over equal-mass bins, debiased; 0 is calibrated, in units of probability.

    The root mean square gap of probability and frequency. A calibrated model has gaps too, since each bin's frequency
    is uncertain, so that the plain error is too large (Kumar, Liang, Ma 2019; Roelofs et al. 2022). The square is
    therefore the mean product of the gaps of two images in one bin, which is unbiased: two images of different
    patients, since those of one patient are wrong together. A square below 0 is given as 0.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        probabilities: (n, k) in 0..1.
        clusters: (n,) int, each row's patient; None treats rows as independent.
        bins: At most so many.

    Returns:
        float64 (k,); NaN where a finding has no positive or no negative.

    >>> labels = np.array([[0], [1], [0], [1]])
    >>> calibration_error(labels, np.full((4, 1), 0.9)).round(4).tolist()  # off by 0.4, of which chance explains some
    [0.2769]
    """
    columns = zip(labels.T, probabilities.T, strict=True)
    return error_of_square(np.array([squared_error(y, p, clusters, bins) for y, p in columns]))


def squared_error(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray | None = None, bins: int = BINS
) -> float:
    """The unbiased square of `calibration_error` for one finding (n,); it can be negative.

    A bin that has images of one patient only has no gap of its own, and counts as 0.
    """
    known = ~np.isnan(labels)
    y, p = labels[known], check_probabilities(probabilities)[known]
    if not 0 < y.sum() < len(y):
        return np.nan
    bin_of = bins_of(p, bins)
    own = np.arange(len(y))
    if clusters is not None and distinct(patients := np.asarray(clusters)[known]) < len(y):
        own = np.unique(patients * bins + bin_of, return_inverse=True)[1].reshape(-1)  # a patient's rows in one bin
    gap, n = np.bincount(own, p - y), np.bincount(own)
    of = np.empty(len(n), np.int64)
    of[own] = bin_of
    total, rows = np.bincount(of, gap, bins), np.bincount(of, n, bins)
    products, pairs = total**2 - np.bincount(of, gap**2, bins), rows**2 - np.bincount(of, n**2, bins)
    return float(np.sum(rows * np.nan_to_num(ratio(products, pairs))) / len(y))


def error_of_square(squares: np.ndarray) -> np.ndarray:
    """Calibration errors from their unbiased squares; a negative square gives 0.

    >>> error_of_square(np.array([0.25, -0.1])).tolist()
    [0.5, 0.0]
    """
    return np.sqrt(np.maximum(squares, 0.0))


def bins_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The equal-mass bin, from 0, of each of n probabilities: int64 (n,).

    >>> bins_of(np.array([0.1, 0.2, 0.8, 0.9]), bins=2).tolist()
    [0, 0, 1, 1]
    """
    if not len(probabilities):
        return np.empty(0, np.int64)
    edges = np.quantile(probabilities, np.arange(1, bins) / bins)
    return np.searchsorted(edges, probabilities, side="right")
