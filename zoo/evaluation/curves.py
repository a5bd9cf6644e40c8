"""The curves of a report, thinned for drawing, and the co-occurrence of findings."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zoo.evaluation.decision import Decision, positives
from zoo.evaluation.result.curves import (
    CallCounts,
    Cooccurrence,
    Counts,
    Curves,
    FindingCurves,
    OverThresholds,
    Points,
    PooledCurves,
    PrecisionRecall,
    ReliabilityCurve,
    Roc,
)
from zoo.evaluation.result.numbers import HALF
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import Confusion, running_counts
from zoo.evaluation.statistics.proportions import shares
from zoo.evaluation.statistics.ratios import ratio
from zoo.evaluation.statistics.reliability import BINS, bins_of

#: Largest number of points of a curve.
POINTS = 200

#: A point closer than this to the line through the kept points is left out: half a pixel in a plot of 250 pixels.
TOLERANCE = 2e-3


def of(scores: Scores, decision: Decision | None = None) -> tuple[Curves, Cooccurrence | None]:
    """Computes the curves and the co-occurrence of findings that a report draws for one model.

    Curves are thinned to at most `POINTS` points. Straight lines through the kept points deviate from the full curve by
    at most `TOLERANCE` if `POINTS` points suffice for that; the areas under the thinned ROC and precision-recall curves
    stay within 0.001 of AUC and average precision.

    Args:
        scores: The evaluated part. Scores of unknown scale only have ROC and precision-recall curves.
        decision: Calibration and operating points; without a decision, temperature 1 and thresholds of 0.5.

    Returns:
        The curves, and the co-occurrence of findings in the labels and in the calls at the default operating point (at
        0.5 without a decision). The co-occurrence is None for scores of unknown scale.

    >>> scores = Scores(np.array([[2.0], [1.0], [-1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> curves, together = of(scores)
    >>> curves.findings["Edema"].roc.tpr[-1], together.labels.both
    (1.0, ((1,),))
    """
    stages: dict[str, np.ndarray] = {}
    if scores.kind == "logits":
        stages = {"before": scores.probabilities} | ({"after": scores.calibrated(decision)} if decision else {})
    found = {}
    for j, finding in enumerate(scores.findings):
        own = {stage: p[:, j] for stage, p in stages.items()}
        found[finding] = _of_finding(scores.labels[:, j], scores.logits[:, j], own, scores.clusters)
    if not stages:
        return Curves(found), None
    pooled = scores.labels.reshape(-1), np.repeat(scores.clusters, len(scores.findings))
    together = {stage: reliability_curve(pooled[0], p.reshape(-1), pooled[1]) for stage, p in stages.items()}
    calls = positives([*stages.values()][-1], decision or Decision(scores.findings))
    counts = cooccurrence(calls)
    return Curves(found, PooledCurves(together)), Cooccurrence(
        scores.findings,
        cooccurrence(scores.labels),
        CallCounts(counts.known, counts.first, counts.both, decision.default if decision else HALF),
    )


def _of_finding(
    labels: np.ndarray, scores: np.ndarray, stages: Mapping[str, np.ndarray], clusters: np.ndarray
) -> FindingCurves:
    """The curves of one finding, or only its counts if a class is missing."""
    found = FindingCurves(int(np.sum(~np.isnan(labels))), int(np.sum(labels == 1)))
    if not 0 < found.positives < found.n:
        return found
    roc, pr = ranking_curves(labels, scores)
    found = replace(found, roc=roc, pr=pr)
    if not stages:
        return found
    return replace(
        found,
        thresholds=threshold_curve(labels, [*stages.values()][-1]),
        reliability={stage: reliability_curve(labels, p, clusters) for stage, p in stages.items()},
    )


def ranking_curves(labels: np.ndarray, scores: np.ndarray) -> tuple[Roc, PrecisionRecall]:
    """The ROC and the precision-recall curve of one finding, thinned.

    Args:
        labels: (n,) with both classes.
        scores: (n,) on any scale.
    """
    tp, fp = (np.append(0, count) for count in running_counts(labels, scores)[1:])
    fpr, tpr = fp / fp[-1], tp / tp[-1]
    gains = np.flatnonzero(np.diff(tp)) + 1  # cuts that find a positive: the others only add false alarms
    precision = tp[gains] / (tp[gains] + fp[gains])
    # Steps, with both corners of each: the area under them is the average precision, which has no interpolation.
    recall, precision = np.repeat(np.append(0.0, tpr[gains]), 2)[1:-1], np.repeat(precision, 2)
    roc, pr = thin(fpr, tpr), thin(recall, precision)
    return (
        Roc(_rounded(fpr[roc]), _rounded(tpr[roc])),
        PrecisionRecall(_rounded(recall[pr]), _rounded(precision[pr])),
    )


def threshold_curve(labels: np.ndarray, probabilities: np.ndarray) -> OverThresholds:
    """F1, sensitivity, specificity and PPV of one finding over thresholds; None where nothing is called (PPV).

    At thresholds of two kinds, even ones and quantiles of both classes, so that neither their distance nor the steps
    between them can be seen. Each number is exact at its threshold.

    Args:
        labels: (n,) with both classes.
        probabilities: (n,) calibrated.
    """
    own, others = (np.sort(probabilities[labels == truth].astype(np.float32)) for truth in (1, 0))
    shares = np.linspace(0, 1, 21)
    grid = np.concatenate([np.linspace(0, 1, 41), np.quantile(own, shares), np.quantile(others, shares)])
    thresholds = np.array(sorted({float(f"{t:.4g}") for t in grid}))
    # Compared as float32, as `at_least` does when it makes the calls.
    tp, fp = (len(p) - np.searchsorted(p, thresholds.astype(np.float32), "left") for p in (own, others))
    counts = Confusion(tp, fp, len(own) - tp, len(others) - fp)
    measures = {name: _rounded(getattr(counts, name)) for name in ("f1", "sensitivity", "specificity", "ppv")}
    return OverThresholds(threshold=tuple(thresholds.tolist()), **measures)


def reliability_curve(labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray) -> ReliabilityCurve:
    """Mean probability and observed frequency in bins of equal mass, with 95 % intervals clustered by patient.

    Args:
        labels: (n,) of 1, 0 and NaN (left out).
        probabilities: (n,) in 0..1.
        clusters: (n,) int, each row's patient, numbered from 0.

    >>> curve = reliability_curve(np.array([0.0, 1.0]), np.array([0.2, 0.9]), np.array([0, 1]))
    >>> curve.predicted, curve.observed
    ((0.2, 0.9), (0.0, 1.0))
    """
    known = ~np.isnan(labels)
    y, p = labels[known].astype(np.float64), probabilities[known]
    of, shape = clusters[known] * BINS + bins_of(p), (int(clusters.max(initial=0)) + 1, BINS)
    part, whole, predicted = (np.bincount(of, v, shape[0] * BINS).reshape(shape) for v in (y, np.ones_like(y), p))
    n, numbers = whole.sum(axis=0), shares(part, whole)
    used = n > 0
    mean, observed, low, high = (_rounded(values[used]) for values in (ratio(predicted.sum(axis=0), n), *numbers))
    return ReliabilityCurve(mean, observed, low, high, tuple(n[used].astype(int).tolist()))


def cooccurrence(values: np.ndarray) -> Counts:
    """Counts the images with each pair of findings.

    Args:
        values: (n, k) labels or calls of 1, 0 and NaN (unknown).

    >>> cooccurrence(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, np.nan]])).both
    ((2, 1), (1, 1))
    """
    known, one = (~np.isnan(values)).astype(np.float64), (values == 1).astype(np.float64)
    pairs = (known.T @ known, one.T @ known, one.T @ one)
    return Counts(*(tuple(map(tuple, counts.astype(np.int64).tolist())) for counts in pairs))


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS, tolerance: float = TOLERANCE) -> np.ndarray:
    """Selects the points of a curve that suffice to draw it (Ramer 1972; Douglas and Peucker 1973).

    The point farthest from the line through its kept neighbours is added until none is farther away than `tolerance`,
    or until `most` points are kept.

    Returns:
        Increasing positions of the kept points.

    >>> thin(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 2, 0])).tolist()
    [0, 2, 3]
    """
    kept = [0, len(x) - 1]
    segments: list[tuple[float, int, int, int]] = []

    def split(first: int, last: int) -> None:
        if last - first < 2:
            return
        dx, dy = x[last] - x[first], y[last] - y[first]
        px, py = x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]
        length = float(np.hypot(dx, dy))
        distance = np.abs(px * dy - py * dx) / length if length > 0 else np.hypot(px, py)
        worst = int(np.argmax(distance))
        heapq.heappush(segments, (-float(distance[worst]), first, first + 1 + worst, last))

    split(*kept)
    while segments and len(kept) < most:
        distance, first, middle, last = heapq.heappop(segments)
        if -distance <= tolerance:
            break
        kept.append(middle)
        split(first, middle)
        split(middle, last)
    return np.unique(kept)


def _rounded(values: np.ndarray) -> Points:
    """Rounds to four decimals; NaN becomes None."""
    return tuple(None if np.isnan(v) else round(float(v), 4) for v in values)
