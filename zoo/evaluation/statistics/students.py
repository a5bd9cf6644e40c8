"""Student's t with any degrees of freedom, for intervals whose variance is estimated from few clusters."""

from __future__ import annotations

import math
from functools import lru_cache

from zoo.core.errors import EvaluationError


@lru_cache(maxsize=4096)
def quantile(level: float, freedom: float) -> float:
    """The t for which a share `level` of the distribution lies within plus and minus t.

    Args:
        level: Confidence level, in (0, 1).
        freedom: Degrees of freedom, above 0; need not be a whole number.

    Raises:
        EvaluationError: A value is out of range.

    >>> round(quantile(0.95, 1), 3), round(quantile(0.95, 10), 3), round(quantile(0.95, 1e9), 3)
    (12.706, 2.228, 1.96)
    """
    if not 0 < level < 1 or not freedom > 0:
        raise EvaluationError(f"a quantile of t needs a level in (0, 1) and freedom above 0, got {level} and {freedom}")
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return high


def within(t: float, freedom: float) -> float:
    """The share of the distribution between minus and plus t, for t of 0 or above.

    It is 1 minus the regularised incomplete beta function of freedom / (freedom + t^2) at freedom / 2 and 1/2
    (Abramowitz and Stegun 1964, 26.7.1), evaluated by its continued fraction (26.5.8).

    >>> round(within(12.706204736, 1), 9)
    0.95
    """
    if t == 0:
        return 0.0
    a, b, x, rest = freedom / 2, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t)
    front = math.exp(_log_ratio(a) - math.lgamma(b) - a * math.log1p(t * t / freedom) + b * math.log(rest))
    # Of the two forms of the function, the one whose fraction converges fast.
    if x < (a + 1) / (a + b + 2):
        return 1 - front * _fraction(a, b, x) / a
    return front * _fraction(b, a, rest) / b


def _log_ratio(a: float) -> float:
    """The logarithm of gamma(a + 1/2) / gamma(a); for large a its series, where the difference would cancel."""
    if a < 1000:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction, by Lentz's method (Thompson and Barnett 1986)."""
    c, d = 1.0, 1.0 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _nonzero(1 + term * d), _nonzero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _nonzero(number: float) -> float:
    return number if abs(number) > 1e-300 else 1e-300
