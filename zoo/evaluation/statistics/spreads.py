"""Estimates whose interval is known at every width, and the interval of their weighted sums and differences.

An interval of the mean of several AUCs, or of the difference of two sensitivities, follows from the intervals of the
parts and the correlation of their errors: squared distances to the limits are added (Zou and Donner 2008, "MOVER").
Skewed intervals stay skewed, which no interval from one standard error is. Variances and correlations come from what
each patient contributes to the estimates (see `influences`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.evaluation.statistics.students import quantile

Scale = Literal["plain", "logit", "log"]

#: Degrees of freedom of a normal distribution, for all that matters.
LARGE = 1e9

#: Fewest patients, of each class where there are two, for an interval of one number.
FEWEST = 4

_SMALLEST = 1e-9

#: Width up to which an interval is rounding.
_STILL = 1e-6


def _logit(share: np.ndarray) -> np.ndarray:
    inside = np.clip(share, _SMALLEST, 1 - _SMALLEST)
    return np.log(inside / (1 - inside))


#: Scale -> from the number to the scale, and back.
_SCALES: Mapping[Scale, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "plain": (np.asarray, np.asarray),
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
        floor: What the estimate cannot be below; limits may be, so that means and differences are not too narrow.

    >>> low, high = Spread.normal(0.2, 0.01, 9).interval(0.95)
    >>> round(low, 3), round(high, 3)
    (-0.026, 0.426)
    """

    value: float
    variance: float
    freedom: float
    limits: Callable[[float], tuple[float, float]]
    enough: bool = True
    floor: float = -np.inf

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
    def linear(cls, value: float, contributions: np.ndarray, patients: int, scale: Scale = "plain") -> Spread:
        """An estimate with the variance of its contributions by patient (c,) (see `influences`), symmetric on a scale.

        Args:
            value: The estimate; NaN gives no limits.
            contributions: (c,) contributions of the patients.
            patients: Number of patients of the rarer class; fewer than `FEWEST` give no interval.
            scale: Scale of the symmetry; "log" needs a value above 0.
        """
        variance = variance_by(contributions)
        if np.isnan(value) or np.isnan(variance):
            return cls.normal(value, np.nan, 0)
        slope = {"plain": 1.0, "log": max(value, _SMALLEST), "logit": max(value * (1 - value), _SMALLEST)}[scale]
        error = float(np.sqrt(variance)) / slope
        return cls._on(scale, value, variance, error, freedom_by(contributions), patients >= FEWEST)

    @classmethod
    def less(cls, first: Spread, other: Spread, correlation: float, freedom: float = LARGE) -> Spread:
        """The first estimate minus the other, from the limits of both and the correlation of their errors.

        Uncorrelated errors are added as by Newcombe (1998, method 10) and Zou and Donner (2008): the first estimate may
        be too low while the other is too high. Shared errors move both the same way, and only the difference of the two
        moves remains, so that a model less itself has no error.

        The quantile is that of a normal distribution by default, since errors of the two variances partly cancel.
        """
        value = first.value - other.value
        if not (first.usable and other.usable):
            return cls.normal(value, np.nan, 0)

        def limits(width: float) -> tuple[float, float]:
            return _less((first.value, *first.limits(width)), (other.value, *other.limits(width)), correlation)

        low, high = limits(1.0)
        enough = first.enough and other.enough and high - low > _STILL
        return cls(value, ((high - low) / 2) ** 2, freedom, limits, enough=enough)

    @classmethod
    def _on(cls, scale: Scale, value: float, variance: float, error: float, freedom: float, enough: bool) -> Spread:
        there, back = _SCALES[scale]
        middle = float(there(np.array([value]))[0])

        def limits(width: float) -> tuple[float, float]:
            low, high = back(np.array([middle - width * error, middle + width * error])).tolist()
            return min(low, value), max(high, value)

        return cls(value, variance, freedom, limits, enough=variance > 0 and enough)

    @property
    def usable(self) -> bool:
        """Whether there are limits, if only for a mean."""
        return bool(not np.isnan(self.value) and self.freedom > 0 and not np.isnan(self.variance))

    def interval(self, level: float) -> tuple[float, float]:
        """The limits at a confidence level by Student's t; NaN if the data do not suffice."""
        if not (self.usable and self.enough):
            return np.nan, np.nan
        low, high = self.limits(_quantile(level, self.freedom))
        return max(low, self.floor), high


def combined(
    parts: Sequence[Spread], weights: np.ndarray, correlation: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the weighted sum of estimates; NaN if one of them has no limits.

    Args:
        parts: The m estimates.
        weights: (m,), of any sign: (1, -1) for a difference, 1 / m each for a mean.
        correlation: (m, m) correlation of the errors.
        level: Confidence level. The degrees of freedom are those of Satterthwaite (1946), for separate variances.

    >>> half = Spread.normal(0.5, 0.01, 1e9)
    >>> low, high = combined([half, half], np.array([1.0, -1.0]), np.eye(2))
    >>> round(low, 3), round(high, 3)
    (-0.277, 0.277)
    """
    if not parts or not all(part.usable for part in parts):
        return np.nan, np.nan
    own = weights**2 * np.array([part.variance for part in parts])
    freedom = np.array([part.freedom for part in parts])
    shared = float(np.sum(own**2 / freedom))
    width = _quantile(level, float(own.sum()) ** 2 / shared if shared > 0 else float(freedom.min()))
    low, high = _summed(parts, weights, correlation, width)
    return (max(low, float(weights @ [part.floor for part in parts])), high) if (weights > 0).all() else (low, high)


def _summed(parts: Sequence[Spread], weights: np.ndarray, correlation: np.ndarray, width: float) -> tuple[float, float]:
    """The limits of the weighted sum at a number of standard errors."""
    ends = np.array([part.limits(width) for part in parts])
    values = np.array([part.value for part in parts])
    errors = np.abs(weights) * np.sqrt([part.variance for part in parts])
    added, taken = weights > 0, weights < 0
    sides = []
    for chosen in (added, taken):
        share, shared = np.abs(weights[chosen]), correlation[np.ix_(chosen, chosen)]
        total = float(share @ values[chosen])
        reach = [share * d for d in (values[chosen] - ends[chosen, 0], ends[chosen, 1] - values[chosen])]
        below, above = (float(np.sqrt(max(0.0, d @ shared @ d))) for d in reach)
        sides.append((total, total - below, total + above))
    if not taken.any():
        return sides[0][1:]
    both = [float(errors[a] @ correlation[np.ix_(a, b)] @ errors[b]) for a in (added, taken) for b in (added, taken)]
    scale = np.sqrt(max(0.0, both[0]) * max(0.0, both[3]))
    return _less(sides[0], sides[1], float(np.clip(both[1] / scale, -1, 1)) if scale > 0 else 0.0)


def _less(first: tuple[float, float, float], other: tuple[float, float, float], shared: float) -> tuple[float, float]:
    """The limits of a difference of two estimates, each with its limits, whose errors have this correlation."""
    (a, a_low, a_high), (b, b_low, b_high) = first, other
    below, above, other_below, other_above = a - a_low, a_high - a, b - b_low, b_high - b
    if shared < 0:
        distances = (
            below**2 + other_above**2 - 2 * shared * below * other_above,
            above**2 + other_below**2 - 2 * shared * above * other_below,
        )
    else:
        distances = (
            (1 - shared) * (below**2 + other_above**2) + shared * (below - other_below) ** 2,
            (1 - shared) * (above**2 + other_below**2) + shared * (above - other_above) ** 2,
        )
    return a - b - float(np.sqrt(distances[0])), a - b + float(np.sqrt(distances[1]))


def variance_by(contributions: np.ndarray) -> float:
    """The variance of an estimate from its contributions by patient (c,); NaN for a single patient.

    >>> variance_by(np.array([0.25, -0.25]))
    0.25
    """
    count = len(contributions)
    return float(np.sum(contributions**2)) * count / (count - 1) if count > 1 else np.nan


def freedom_by(contributions: np.ndarray) -> float:
    """Degrees of freedom of `variance_by`: the fewer, the fewer patients contribute most of the variance.

    Those of a chi-square distribution with the same relative variance (Satterthwaite 1946), from fourth moments.

    >>> freedom_by(np.array([1.0, -1.0] * 4 + [0.0] * 92)).__round__(1)  # 8 of 100 patients
    17.4
    """
    squares = contributions**2
    square = float(squares.sum())
    if not square > 0:
        return 1.0
    excess = float(squares @ squares) / square**2 - 1 / len(contributions)
    return max(1.0, 2 / excess) if excess > 2 / LARGE else LARGE


def correlation_of(contributions: np.ndarray) -> np.ndarray:
    """The correlation of m estimates from their contributions by patient (c, m), for `combined`: float64 (m, m).

    Estimates to which nothing contributes are uncorrelated with others.

    >>> correlation_of(np.array([[1.0, 2.0, 0.0], [-1.0, -2.0, 0.0]])).round(3).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    scale = np.sqrt(np.sum(contributions**2, axis=0))
    found = contributions.T @ contributions / np.maximum(np.outer(scale, scale), np.finfo(np.float64).tiny)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1.0, 1.0)


def _quantile(level: float, freedom: float) -> float:
    """Student's quantile, of degrees of freedom that are rounded down a little, so that few are computed."""
    step = 0.1 if freedom < 20 else 10.0 ** np.floor(np.log10(freedom / 20))
    rounded = np.floor(freedom / step) * step
    return quantile(level, float(min(max(0.5, rounded), LARGE)))
