"""The height of a ROC curve above a reader's point, with its interval, for patients with several images.

At the reader's false positive rate, the margin is the share of the positives that the model finds less the share that
the reader finds: a difference of two paired proportions, moved by how far the model's threshold, which was chosen on
the same negatives, misses the reader's rate. Each of the three has limits of its own, Wilson's for the proportions and
those of the curve between the limits of the rate for the third, and they are combined (see `spreads`). So a margin has
an interval where all calls are right, too, and where the reader raised no false alarm.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.evaluation.statistics.influences import by_patient, share_influence
from zoo.evaluation.statistics.inputs import distinct
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.spreads import FEWEST, LARGE, Spread, combined, correlation_of


def margin(
    labels: np.ndarray, scores: np.ndarray, calls: np.ndarray, clusters: np.ndarray, level: float = 0.95
) -> Interval:
    """The sensitivity of the curve minus that of the reader, at the reader's false positive rate.

    At a vertical step of the curve, a reader between its two ends has a margin of 0; over tied scores the curve is a
    slope.

    Args:
        labels: (n,) of 1, 0 and NaN; of the rows that the reader read, with both classes.
        scores: (n,) finite.
        calls: (n,) of 1, 0 and NaN (not read).
        clusters: (n,) int, each row's patient.
        level: Confidence level.

    Returns:
        The margin; limits are NaN with fewer than 4 patients of either class.

    >>> labels, scores = np.array([1.0, 0.0] * 10), np.array([2.0, 1.0] * 10)
    >>> found = margin(labels, scores, np.array([1.0, 1, 0, 0] * 5), np.arange(20))  # finds 5 of 10
    >>> found.value, bool(found.low > 0)
    (0.5, True)
    """
    read = ~np.isnan(labels) & ~np.isnan(calls)
    positive, values, called, patients = labels[read] == 1, scores[read], calls[read], clusters[read]
    n, p, found = len(values), int(positive.sum()), float(called[positive].sum())
    ours, foot, top = _matched(values, positive, int(called[~positive].sum()))
    value = float(np.clip(found, foot, top) - found) / p
    if min(distinct(patients[positive]), distinct(patients[~positive])) < FEWEST:
        return Interval(value, np.nan, np.nan, n, p)
    low, high = combined(*_parts(values, positive, ours, called, patients), level)
    if not low < high:
        return Interval(value, np.nan, np.nan, n, p)
    return Interval(value, min(max(low, -1.0), value), max(min(high, 1.0), value), n, p)


def _matched(scores: np.ndarray, positive: np.ndarray, alarms: int) -> tuple[np.ndarray, float, float]:
    """The model's calls with as many false positives as the reader's, and the positives at both ends of that step.

    A call is a share between 0 and 1: among tied scores of negatives, that which gives the number of false positives;
    at a vertical step, one half for the positives within it (at the first step 1, at the last 0: there is no more of
    the curve beyond).
    """
    levels, count = np.unique(-scores[~positive], return_counts=True)
    passed, edges = np.append(0, np.cumsum(count)), np.concatenate([[np.inf], -levels, [-np.inf]])
    k = int(np.searchsorted(passed, alarms))  # the first point of the curve with so many false positives, or more
    above, within = scores > edges[k], scores >= edges[k]
    if passed[k] == alarms:
        foot, top = within, scores > edges[k + 1]
        ours = top if not k else foot if k == len(levels) else (foot.astype(np.float64) + top) / 2
        return ours.astype(np.float64), float(foot[positive].sum()), float(top[positive].sum())
    share = (alarms - passed[k - 1]) / count[k - 1]
    calls = (1 - share) * above + share * within
    return calls, float(calls[positive].sum()), float(calls[positive].sum())


def _parts(
    scores: np.ndarray, positive: np.ndarray, ours: np.ndarray, called: np.ndarray, patients: np.ndarray
) -> tuple[list[Spread], np.ndarray, np.ndarray]:
    """The three spreads of a margin, their signs, and the correlation of their errors."""
    many = int(patients.max()) + 1
    spreads, shared = [], []
    for rows in (positive, ~positive):
        for calls in (ours, called):
            part, whole = np.where(rows, calls, 0.0), rows.astype(np.float64)
            spreads.append(share_spread(by_patient(part, patients, many), by_patient(whole, patients, many)))
            shared.append(by_patient(share_influence(part, whole), patients, many))
    own, reader, model_rate, rate = spreads
    less = Spread.less(rate, model_rate, float(correlation_of(np.stack(shared[2:], axis=1))[0, 1]))
    height, q = _height(scores, positive), int(np.sum(~positive))
    alarms = float(called[~positive].sum())
    here = height(alarms)

    def limits(width: float) -> tuple[float, float]:
        low, high = (height(alarms + q * by) - here for by in less.limits(width))
        return low, high

    (left, right), (low, high) = less.limits(1.0), limits(1.0)
    slope = (high - low) / (right - left) if right > left else 0.0
    moved = Spread(0.0, ((high - low) / 2) ** 2, LARGE, limits)
    errors = np.stack([shared[0], slope * (shared[3] - shared[2]), shared[1]], axis=1)
    return [own, moved, reader], np.array([1.0, 1.0, -1.0]), correlation_of(errors)


def _height(scores: np.ndarray, positive: np.ndarray) -> Callable[[float], float]:
    """The curve as a function of the number of false positives, through the middles of its vertical steps.

    It starts at the top of the first step and ends at the foot of the last: nothing lies beyond that could move it.
    """
    own, levels = -scores[positive], np.unique(-scores[~positive])
    passed = np.searchsorted(np.sort(-scores[~positive]), levels, "right")
    above, no_less = (np.searchsorted(np.sort(own), levels, side) for side in ("left", "right"))
    middles = (no_less[:-1] + above[1:]) / 2
    x, y = np.append(0, passed), np.concatenate([[above[0]], middles, [no_less[-1]]]) / len(own)
    return lambda alarms: float(np.interp(alarms, x, y))
