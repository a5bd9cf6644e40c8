"""Sensitivity, specificity, PPV, F1 and Youden's index of thresholds on a set of images, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from zoo.evaluation.decision import Reached
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import at_least
from zoo.evaluation.statistics.intervals import clustered_error
from zoo.evaluation.statistics.proportions import shares as shares_of

#: Measure -> value, lower limit, upper limit and n, each of shape (points,).
_Numbers = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def reached(
    scores: Scores, probabilities: np.ndarray, thresholds: Sequence[Sequence[float | None]], level: float = 0.95
) -> list[dict[str, Reached]]:
    """Measures the thresholds of several operating points.

    The intervals are clustered by patient: Wilson's interval for proportions, including F1 = 2 TP / (2 TP + FP + FN),
    and a normal interval for Youden's index.

    Args:
        scores: Labels and patients.
        probabilities: (n, k) calibrated.
        thresholds: For each point, the threshold of each finding, or None.
        level: Confidence level.

    Returns:
        For each point its measures: "sensitivity", "specificity", "ppv", "f1", "youden".

    >>> scores = Scores(np.array([[2.0], [-2.0], [1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> (point,) = reached(scores, scores.probabilities, [[0.5]])
    >>> point["sensitivity"].value, point["specificity"].value
    ((1.0,), (0.5,))
    """
    limits = np.array([[np.nan if t is None else t for t in own] for own in thresholds])
    clusters = scores.clusters
    found = [
        _of_finding(scores.labels[:, j], probabilities[:, j], clusters, limits[:, j], level)
        for j in range(len(scores.findings))
    ]
    return [
        {measure: _numbers([own[measure] for own in found], point) for measure in found[0]}
        for point in range(len(limits))
    ]


def _of_finding(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray, limits: np.ndarray, level: float
) -> _Numbers:
    count = int(clusters.max()) + 1
    sums = []
    for truth in (1, 0):
        rows = np.flatnonzero(labels == truth)
        called = [at_least(probabilities[rows], limit) for limit in limits]
        sums.append([np.bincount(clusters[rows], c, count) for c in (*called, np.ones(len(rows)))])
    (*tps, positive), (*fps, negative) = sums
    tp, fp = np.stack(tps, axis=1), np.stack(fps, axis=1)
    own, others = (np.repeat(c[:, None], len(limits), axis=1) for c in (positive, negative))
    known = own + others
    shares = {
        "sensitivity": (tp, own, own),
        "specificity": (others - fp, others, others),
        "ppv": (tp, tp + fp, tp + fp),
        "f1": (2 * tp, tp + fp + own, known),
    }
    numbers = {measure: (*shares_of(part, whole, level), n.sum(axis=0)) for measure, (part, whole, n) in shares.items()}
    youden = numbers["sensitivity"][0] + numbers["specificity"][0] - 1
    residuals = sum(
        (part - numbers[measure][0] * whole) / np.maximum(whole.sum(axis=0), 1)
        for measure, (part, whole, _) in list(shares.items())[:2]
    )
    error = clustered_error(residuals, max(2, int(np.sum(known[:, 0] > 0))))
    spread = NormalDist().inv_cdf((1 + level) / 2) * error
    limits_of = np.maximum(-1.0, youden - spread), np.minimum(1.0, youden + spread)
    numbers["youden"] = (youden, *limits_of, known.sum(axis=0))
    undecided = np.isnan(limits)  # without a threshold there are no calls to measure
    for measure, (value, low, high, n) in numbers.items():
        value, low, high = (np.where(undecided, np.nan, number) for number in (value, low, high))
        numbers[measure] = (value, low, high, np.where(undecided, 0, n))
    return numbers


def _numbers(found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], point: int) -> Reached:
    value, low, high = (
        tuple(None if np.isnan(own[i][point]) else float(own[i][point]) for own in found) for i in range(3)
    )
    return Reached(value, low, high, tuple(int(own[3][point]) for own in found))
