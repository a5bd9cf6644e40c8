"""The average precision of one model with its interval, for patients with several images.

A symmetric interval covers too rarely near 0 and 1, and without errors its width is 0. The interval is Wilson's
instead, with the number of independent positive patients whose share would have the variance of the average precision
(its contributions, summed by patient; see `influences`). Where few patients carry the errors of the ranking, that
number is drawn towards the actual number of positive patients.

The average precision of few positives is too high on average, since each positive is itself among those found at its
score: with 10 positives of 50 and an AUC of 0.75, it is 0.50 where 0.45 is true. The interval is therefore centred at
the average precision that each positive has among the other patients' positives.
"""

from __future__ import annotations

import numpy as np

from zoo.evaluation.statistics.influences import by_patient, precision_influence
from zoo.evaluation.statistics.inputs import distinct
from zoo.evaluation.statistics.proportions import score_limits
from zoo.evaluation.statistics.spreads import FEWEST, Spread, freedom_by, variance_by

#: The ratio of variances is shrunk towards 1 as if this many further patients carried errors.
_PRIOR = 0.5


def precision_spread(labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> Spread:
    """The average precision of one finding with its limits.

    Args:
        labels: (n,) of 1, 0 and NaN (left out).
        scores: (n,) finite.
        clusters: (n,) int, each row's patient.

    >>> perfect = precision_spread(np.array([1, 0] * 20), np.array([1.0, 0.0] * 20), np.arange(40))
    >>> low, high = perfect.interval(0.95)
    >>> round(low, 3), high
    (0.805, 1.0)
    """
    own, others = labels == 1, labels == 0
    if not own.any() or not others.any():
        return Spread.normal(np.nan, np.nan, 0)
    known, positive = np.sort(scores[own | others]), np.sort(scores[own])
    hits, called = (len(s) - np.searchsorted(s, scores[own]) for s in (positive, known))
    value = float(np.mean(hits / called))
    missed = np.bincount(clusters[own], 1 - hits / called)
    carried = float(missed.sum() ** 2 / np.sum(missed**2)) if value < 1 else 0.0
    with_positives, with_negatives = (distinct(clusters[rows]) for rows in (own, others))
    patients = by_patient(precision_influence(labels, scores), clusters, int(clusters.max()) + 1)
    centre = _without_own(hits, called - hits, scores[own], clusters[own])
    inside = value * (1 - value)
    ratio = variance_by(patients) * with_positives / inside if inside > 0 else 1.0
    left = max(1, with_positives - 1)  # each patient's positives are compared with those of so many others
    n = left**2 / with_positives * (carried + _PRIOR) / (carried * ratio + _PRIOR)
    freedom = freedom_by(patients) if inside > 0 else with_positives - 1.0

    def limits(width: float) -> tuple[float, float]:
        low, high = score_limits(centre, n, width)
        return min(float(low), value), max(float(high), value)

    low, high = limits(1.0)
    enough = min(with_positives, with_negatives) >= FEWEST
    return Spread(value, ((high - low) / 2) ** 2, max(1.0, freedom), limits, enough=enough)


def _without_own(hits: np.ndarray, alarms: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> float:
    """The average precision whose hits leave out those of the positive's own patient.

    Args:
        hits: (p,) positives that score at least as high as each positive.
        alarms: (p,) negatives that do.
        scores: (p,) scores of the positives.
        clusters: (p,) their patients.
    """
    count = len(hits)
    rank = np.searchsorted(np.sort(scores), scores)
    keys = clusters.astype(np.int64) * (count + 1) + rank
    order = np.sort(keys)
    first, last = (np.searchsorted(order, (clusters + more) * (count + 1)) for more in (0, 1))
    mine, rest = last - np.searchsorted(order, keys), count - (last - first)
    others = (hits - mine) * count / np.maximum(rest, 1)
    return float(np.mean(np.where(alarms > 0, others / np.maximum(others + alarms, 1e-9), 1.0)))
