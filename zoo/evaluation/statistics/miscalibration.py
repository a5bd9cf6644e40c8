"""The calibration error of one model with its interval, for patients with several images."""

from __future__ import annotations

import numpy as np

from zoo.evaluation.statistics.inputs import distinct
from zoo.evaluation.statistics.reliability import BINS, bins_of, squared_error
from zoo.evaluation.statistics.spreads import FEWEST, Spread


def error_spread(labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray) -> Spread:
    """The debiased calibration error of one finding with its limits.

    The limits are those of the square: all squares from which the observed one is no further than some standard
    errors, by the variance that such a square would have. That variance is the one of a calibrated model plus a part
    that grows with the square (Sun et al. 2024, "A confidence interval for the l2 expected calibration error", give
    both). A lower limit of 0 therefore means that the model may be calibrated, and the upper limit by how much it may
    be off.

    Args:
        labels: (n,) of 1, 0 and NaN (left out).
        probabilities: (n,) in 0..1.
        clusters: (n,) int, each row's patient.

    >>> p = np.linspace(0.05, 0.95, 200)
    >>> labels = (np.arange(200) * 0.618 % 1 < p).astype(float)
    >>> low, high = error_spread(labels, p, np.arange(200)).interval(0.95)
    >>> low, high < 0.15
    (0.0, True)
    """
    known = ~np.isnan(labels)
    y, p, of = labels[known], probabilities[known], clusters[known]
    square = squared_error(y, p, of)
    if np.isnan(square):
        return Spread.normal(np.nan, np.nan, 0)
    bin_of = bins_of(p)
    rows = np.maximum(np.bincount(bin_of, minlength=BINS), 1)
    mean = np.bincount(bin_of, p - y, BINS) / rows
    chance = np.bincount(bin_of, p * (1 - p), BINS) / rows  # variance of a label of the bin, if it is calibrated
    calibrated = 2 * float(np.sum(chance**2)) / len(y) ** 2
    carried = np.bincount(of, mean[bin_of] * (p - y - mean[bin_of]))
    slope = 4 * float(np.sum(carried**2)) / max(float(np.sum(rows * mean**2)) * len(y), np.finfo(np.float64).tiny)
    patients = min(distinct(of[y == truth]) for truth in (0, 1))

    def limits(width: float) -> tuple[float, float]:
        ends = []
        for side, at in ((-1, square), (1, max(0.0, square))):  # less than 0 is no reason for a smaller upper limit
            half = width * np.sqrt(max(0.0, calibrated + slope * at + (width * slope / 2) ** 2))
            end = at + width**2 * slope / 2 + side * half
            ends.append(float(np.sign(end) * np.sqrt(abs(end))))
        return ends[0], ends[1]

    value = float(np.sqrt(max(0.0, square)))
    low, high = limits(1.0)
    enough = patients >= FEWEST
    return Spread(value, ((high - low) / 2) ** 2, max(1.0, patients - 1.0), limits, enough=enough, floor=0.0)
