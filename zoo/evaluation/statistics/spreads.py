"""Estimates whose interval is known at every width, and the interval of their weighted sums and differences.

An interval of the mean of several AUCs, or of the difference of two sensitivities, follows from the intervals of the
parts and the correlation of their errors: squared distances to the limits are added (Zou and Donner 2008, "MOVER").
Skewed intervals stay skewed, which no interval from one standard error is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.evaluation.statistics.students import quantile

Scale = Literal["plain", "positive", "logit", "log"]

#: Degrees of freedom of a normal distribution, for all that matters.
LARGE = 1e9

#: Fewest patients, of each class where there are two, for an interval of one number.
FEWEST = 4

_SMALLEST = 1e-9


def _logit(share: np.ndarray) -> np.ndarray:
    inside = np.clip(share, _SMALLEST, 1 - _SMALLEST)
    return np.log(inside / (1 - inside))


#: Scale -> from the number to the scale, and back.
_SCALES: Mapping[Scale, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "plain": (np.asarray, np.asarray),
    "positive": (np.asarray, lambda x: np.maximum(x, 0.0)),
    "logit": (_logit, lambda x: 1 / (1 + np.exp(-x))),
    "log": (lambda x: np.log(np.maximum(x, _SMALLEST)), np.exp),
}


@dataclass(frozen=True, eq=False)
class Spread:
    """An estimate, and its limits at any number of standard errors.

    Attributes:
        value: The estimate; NaN if undefined.
        variance: Estimate of its variance; NaN if unknown.
        freedom: Degrees of freedom of that variance, usually patients - 1; 0 if there are none.
        limits: From a quantile, such as 1.96, to the lower and upper limit.
        enough: Whether the data suffice for an interval of this estimate alone; its limits still serve in a mean.

    >>> low, high = Spread.normal(0.2, 0.01, 9).interval(0.95)
    >>> round(low, 3), round(high, 3)
    (-0.026, 0.426)
    """

    value: float
    variance: float
    freedom: float
    limits: Callable[[float], tuple[float, float]]
    enough: bool = True

    @classmethod
    def normal(
        cls, value: float, variance: float, freedom: float, floor: float = -np.inf, ceiling: float = np.inf
    ) -> Spread:
        """An estimate with a symmetric interval, cut off at `floor` and `ceiling`."""

        def limits(width: float) -> tuple[float, float]:
            half = width * float(np.sqrt(variance))
            return max(floor, value - half), min(ceiling, value + half)

        return cls(value, variance, freedom, limits, enough=bool(variance > 0 and freedom > 0))

    @classmethod
    def resampled(cls, value: float, samples: np.ndarray, freedom: float, scale: Scale = "plain") -> Spread:
        """An estimate with the standard error of its resamples (r,), symmetric on a scale ("positive": cut off at 0).

        A resample without an estimate (NaN) is left out; fewer than half give no interval.
        """
        known = samples[~np.isnan(samples)]
        if np.isnan(value) or len(known) < max(2.0, len(samples) / 2):
            return cls.normal(value, np.nan, 0)
        there, back = _SCALES[scale]
        error = float(np.std(there(known), ddof=1) * np.sqrt((freedom + 1) / max(freedom, 1.0)))
        middle = float(there(np.array([value]))[0])

        def limits(width: float) -> tuple[float, float]:
            low, high = back(np.array([middle - width * error, middle + width * error])).tolist()
            return min(low, value), max(high, value)

        variance = float(np.var(known, ddof=1))
        return cls(value, variance, freedom, limits, enough=variance > 0 and freedom + 1 >= FEWEST)

    @property
    def usable(self) -> bool:
        """Whether there are limits, if only for a mean."""
        return bool(not np.isnan(self.value) and self.freedom > 0 and not np.isnan(self.variance))

    def interval(self, level: float) -> tuple[float, float]:
        """The limits at a confidence level by Student's t; NaN if the data do not suffice."""
        if not (self.usable and self.enough):
            return np.nan, np.nan
        return self.limits(_quantile(level, self.freedom))


def combined(
    parts: Sequence[Spread], weights: np.ndarray, correlation: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the weighted sum of estimates; NaN if one of them has no limits.

    Args:
        parts: The m estimates.
        weights: (m,), of any sign: (1, -1) for a difference, 1 / m each for a mean.
        correlation: (m, m) correlation of the errors.
        level: Confidence level. The degrees of freedom are those of Satterthwaite (1946).

    >>> half = Spread.normal(0.5, 0.01, 1e9)
    >>> low, high = combined([half, half], np.array([1.0, -1.0]), np.eye(2))
    >>> round(low, 3), round(high, 3)
    (-0.277, 0.277)
    """
    if not parts or not all(part.usable for part in parts):
        return np.nan, np.nan
    variances = np.array([part.variance for part in parts])
    own = weights**2 * variances
    freedom = np.array([part.freedom for part in parts])
    # Of correlated variances the degrees of freedom are not added; those of the largest are a lower bound.
    shared = np.sum(correlation**2 * np.sqrt(np.outer(own**2 / freedom, own**2 / freedom)))
    width = _quantile(level, float(own.sum() ** 2 / shared) if shared > 0 else float(freedom.min()))
    ends = np.array([part.limits(width) for part in parts])
    values = np.array([part.value for part in parts])
    below, above = values - ends[:, 0], ends[:, 1] - values
    total = float(weights @ values)
    distances = []
    for toward, away in ((below, above), (above, below)):
        d = weights * np.where(weights > 0, toward, away)
        distances.append(float(np.sqrt(max(0.0, d @ correlation @ d))))
    return total - distances[0], total + distances[1]


def correlations(samples: np.ndarray) -> np.ndarray:
    """The correlation of m estimates over resamples (r, m), for `combined`: float64 (m, m).

    Resamples without an estimate (NaN) are left out for its pairs; estimates that do not vary are uncorrelated.

    >>> correlations(np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [3.0, 6.0, 5.0]])).round(3).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    known = ~np.isnan(samples)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, samples - np.where(known, samples, 0.0).sum(axis=0) / count, 0.0)
    scale = np.sqrt(np.sum(centred**2, axis=0))
    found = centred.T @ centred / np.maximum(np.outer(scale, scale), np.finfo(np.float64).tiny)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1.0, 1.0)


def _quantile(level: float, freedom: float) -> float:
    """Student's quantile, of degrees of freedom that are rounded down a little, so that few are computed."""
    rounded = np.floor(10 * freedom) / 10 if freedom < 20 else np.floor(freedom)
    return quantile(level, float(min(max(0.5, rounded), LARGE)))
