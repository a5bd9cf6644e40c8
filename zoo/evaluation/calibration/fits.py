"""Exact fits of one finding's temperature, Platt scaling or isotonic steps; each minimises the log loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.evaluation.calibration.calibrators import Steps

#: Range of temperatures; a Platt slope lies between their inverses. A fit at a bound shows that the data do not
#: suit the method.
BOUNDS = (0.1, 10.0)

#: Maps a number to the first and second derivative of a convex loss at that number.
Slopes = Callable[[float], tuple[float, float]]


def temperature(z: np.ndarray, y: np.ndarray) -> tuple[float, str]:
    """Fits the temperature that minimises the log loss of sigmoid(z / temperature), which is convex in 1 / temperature.

    Args:
        z: (n,) logits.
        y: (n,) labels of 1 and 0, with at least one of each.

    Returns:
        The temperature, and a note if it lies at one of the `BOUNDS` (otherwise "").

    >>> z = np.array([-3.0, -3, -3, 3, 3, 3])  # two of three are right: log-odds of log 2
    >>> value, note = temperature(z, np.array([0.0, 0, 1, 1, 1, 0]))
    >>> round(float(value * np.log(2)), 6), note
    (3.0, '')
    """
    scale, note = _scale(slopes_of(z, y))
    return 1 / scale, note.format(f"temperature at its bound {1 / scale:g}")


def slopes_of(z: np.ndarray, y: np.ndarray) -> Slopes:
    """The first and second derivative of the summed log loss of sigmoid(scale * z), as a function of the scale.

    >>> slopes_of(np.array([1.0, -1.0]), np.array([1.0, 0.0]))(0.0)
    (-1.0, 0.5)
    """

    def slopes(scale: float) -> tuple[float, float]:
        p = sigmoid(scale * z)
        return float(np.sum(z * (p - y))), float(np.sum(z * z * p * (1 - p)))

    return slopes


def most_likely_scale(slopes: Slopes, start: float) -> float:
    """The scale within the inverse `BOUNDS` at which a convex loss is smallest.

    >>> round(most_likely_scale(lambda scale: (scale - 2.0, 1.0), 1.0), 6)
    2.0
    """
    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    if slopes(low)[0] >= 0:
        return low
    return high if slopes(high)[0] <= 0 else _root(slopes, low, high, start)


def platt(z: np.ndarray, y: np.ndarray) -> tuple[float, float, str]:
    """Fits slope and intercept that minimise the log loss of sigmoid(slope * z + intercept).

    This is maximum likelihood with the slope within the inverse `BOUNDS`; the bounds keep it finite without smoothing
    the labels (Platt 1999). For each slope the best intercept is found first; the remaining loss is convex.

    Args:
        z: (n,) log-odds.
        y: (n,) labels of 1 and 0, with at least one of each.

    Returns:
        Slope, intercept, and a note on a limit that was reached ("" otherwise).

    >>> slope, intercept, note = platt(np.array([-1.0, -1, 1, 1, 1, -1]), np.array([0.0, 0, 1, 1, 0, 1]))
    >>> round(slope, 3), round(abs(intercept), 3), note
    (0.693, 0.0, '')
    """

    intercept = 0.0  # the search for the next one starts here

    def slopes(slope: float) -> tuple[float, float]:
        nonlocal intercept
        intercept = _intercept(slope * z, y, intercept)
        p = sigmoid(slope * z + intercept)
        w = p * (1 - p)
        mixed, own = np.sum(z * w), np.sum(w)
        curvature = np.sum(z * z * w) - (mixed**2 / own if own > 0 else 0.0)
        return float(np.sum(z * (p - y))), float(curvature)

    slope, note = _scale(slopes)
    return slope, _intercept(slope * z, y, intercept), note.format(f"slope at its bound {slope:g}")


def isotonic(z: np.ndarray, y: np.ndarray) -> Steps:
    """Fits the non-decreasing curve with the smallest log loss (and squared error), by pooling adjacent violators.

    Images with equal log-odds count as one point. The curve is interpolated between pools. Probabilities are kept at
    least 1 / (n + 2) away from 0 and 1, since n images cannot show a more extreme one (Laplace's rule of succession).

    Args:
        z: (n,) log-odds.
        y: (n,) labels of 1 and 0.

    >>> isotonic(np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])).probability
    (0.2, 0.5, 0.5)
    """
    values, of = np.unique(z, return_inverse=True)
    n, positives = np.bincount(of), np.bincount(of, y).astype(np.int64)
    first = np.arange(len(values))
    while True:
        # Neighbours that do not increase, compared exactly as integers; a whole decreasing run is pooled at once.
        falls = positives[:-1] * n[1:] >= positives[1:] * n[:-1]
        if not falls.any():
            break
        starts = np.flatnonzero(np.append(True, ~falls))
        n, positives, first = np.add.reduceat(n, starts), np.add.reduceat(positives, starts), first[starts]
    last = np.append(first[1:], len(values)) - 1
    bound = 1 / (len(z) + 2)
    p = np.clip(positives / n, bound, 1 - bound)
    ends, where = np.unique(np.stack([first, last], axis=1).reshape(-1), return_index=True)
    return Steps(tuple(values[ends].tolist()), tuple(np.repeat(p, 2)[where].tolist()))


def _intercept(z: np.ndarray, y: np.ndarray, start: float) -> float:
    """The number to add to log-odds z so that their mean probability equals the share of positives."""
    share = float(np.mean(y))
    centre = float(np.log(share) - np.log1p(-share))

    def slopes(added: float) -> tuple[float, float]:
        p = sigmoid(z + added)
        return float(np.sum(p - y)), float(np.sum(p * (1 - p)))

    return _root(slopes, centre - float(z.max()), centre - float(z.min()), start)


def _scale(slopes: Slopes) -> tuple[float, str]:
    """The best factor of the logits, and a note (with a placeholder for its name) if it lies at a bound."""
    scale = most_likely_scale(slopes, 1.0)
    if slopes(scale)[0] > 0 and scale == 1 / BOUNDS[1]:
        return scale, "the logits rank no better than chance, {}"
    if slopes(scale)[0] < 0 and scale == 1 / BOUNDS[0]:
        return scale, "the logits separate the classes, {}"
    return scale, ""


def _root(slopes: Slopes, low: float, high: float, start: float) -> float:
    """The root of the first derivative between `low` and `high`, by Newton's method kept inside the bracket."""
    at = min(max(start, low), high)
    for _ in range(100):
        slope, curvature = slopes(at)
        low, high = (at, high) if slope < 0 else (low, at)
        step = slope / curvature if curvature > 0 else np.inf
        if abs(step) <= 1e-12 * max(1.0, abs(at)):
            break
        # A step that would leave the bracket is replaced by bisection.
        at = at - step if low < at - step < high else (low + high) / 2
    return float(at)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """The probability of log-odds.

    >>> sigmoid(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(over="ignore"):  # an overflow in exp gives the correct limit, 0
        return 1 / (1 + np.exp(-z))


def losses(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The log loss of each label in nats, from log-odds, which do not saturate as float64 probabilities do.

    Args:
        z: Log-odds, any shape.
        y: Labels of 1 and 0, in the same shape; NaN where unknown, and so is the loss.

    >>> losses(np.array([0.0, 1.0]), np.array([1.0, np.nan])).round(4).tolist()
    [0.6931, nan]
    """
    return np.asarray(np.logaddexp(0, z) - y * z)
