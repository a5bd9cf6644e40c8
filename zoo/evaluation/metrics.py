"""Metrics of (images, findings) arrays: exact, masked where a label is unknown, with one value for each finding.

Every metric takes labels (n, k) of 1, 0 and NaN (unknown: left out) and returns float64 (k,), NaN where it is
undefined. With `weights` (n, r), one column of row weights for each bootstrap resample, it returns (r, k); a row of
weight 2 counts as two rows. A 1-D input is one finding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.evaluation.statistics.counts import Average, Confusion, at_least
from zoo.evaluation.statistics.inputs import check_pair, check_probabilities, check_weights
from zoo.evaluation.statistics.ranking import Area, Ranked
from zoo.evaluation.statistics.ratios import ratio

Thresholds = float | Sequence[float | None] | np.ndarray


def roc_auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve: how often a positive outranks a negative, ties counting half (Hanley & McNeil 1982).

    The value is exact over all pairs, whereas `keras.metrics.AUC` uses 200 thresholds and does not mask NaN labels.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        scores: (n, k) finite, on any scale; only their order counts.
        weights: None, or (n, r) non-negative row weights.

    Returns:
        float64 (k,) or (r, k); NaN where a finding has no positive or no negative.

    Raises:
        EvaluationError: Shapes differ, a label is not 0/1/NaN, a score is not finite, or a weight is negative.

    >>> roc_auc(np.array([1, 0, 1, np.nan]), np.array([0.9, 0.6, 0.6, 0.1])).tolist()
    [0.75]
    """
    return _areas(labels, scores, weights, "auc")


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Precision averaged over the positives, without interpolation; arguments as `roc_auc`.

    Equal scores are one cut. A random ranking reaches the prevalence. NaN where a finding has no positive or no
    negative.

    >>> average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.5, 0.1])).round(4).tolist()
    [0.8333]
    """
    return _areas(labels, scores, weights, "average_precision")


def brier(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean squared difference of probability and label (Brier 1950); NaN where no label is known.

    >>> brier(np.array([1, 0]), np.array([0.5, 0.0])).tolist()
    [0.125]
    """
    labels, p = check_pair(labels, check_probabilities(probabilities))
    return _mean((p - labels) ** 2, weights)


def log_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean negative log likelihood in nats; probabilities are clipped to one float64 epsilon from 0 and 1.

    >>> log_loss(np.array([1, 0, np.nan]), np.array([0.5, 0.5, 0.1])).round(4).tolist()
    [0.6931]
    """
    labels, p = check_pair(labels, check_probabilities(probabilities))
    return _mean(log_losses(labels, p), weights)


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log loss in nats of each label, which `log_loss` averages; NaN where the label is unknown.

    >>> log_losses(np.array([1.0, np.nan]), np.array([0.5, 0.1])).round(4).tolist()
    [0.6931, nan]
    """
    eps = np.finfo(np.float64).eps
    p = np.clip(probabilities, eps, 1 - eps)
    return -np.where(labels == 1, np.log(p), np.log1p(-p)) + 0 * labels


def binary_accuracy(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, weights: np.ndarray | None = None
) -> np.ndarray:
    """Share of the known labels that equal the call at the threshold; takes probabilities and refuses logits.

    >>> binary_accuracy(np.array([1, 0, 1]), np.array([0.9, 0.2, 0.4])).round(4).tolist()
    [0.6667]
    """
    return confusion(labels, probabilities, thresholds, weights).accuracy


def f1(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, average: Average | None = None
) -> np.ndarray:
    """F1 at the thresholds: (k,), or its macro, micro or positive-weighted average as a scalar array.

    >>> f1(np.array([1, 0, 1]), np.array([0.9, 0.2, 0.4])).round(4).tolist()
    [0.6667]
    """
    counts = confusion(labels, probabilities, thresholds)
    return counts.f1 if average is None else counts.f1_average(average)


def confusion(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, weights: np.ndarray | None = None
) -> Confusion:
    """Counts true and false positives and negatives at thresholds.

    `thresholds` is one number, or one for each finding; None or NaN makes the counts of that finding NaN.

    Raises:
        ValueError: Shapes differ, a label is not 0/1/NaN, or a probability lies outside 0..1 (logits, most often).

    >>> counts = confusion(np.array([1, 0, 1, 0]), np.array([0.9, 0.7, 0.4, 0.1]))
    >>> counts.tp.tolist(), counts.fp.tolist(), counts.sensitivity.tolist()
    ([1.0], [1.0], [0.5])
    """
    labels, p = check_pair(labels, check_probabilities(probabilities))
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), labels.shape[1:])
    called = at_least(p, limits)
    cells = [(labels == truth) & (called == call) for truth, call in ((1, True), (0, True), (1, False), (0, False))]
    counts = [np.where(np.isnan(limits), np.nan, _total(cell, weights)) for cell in cells]
    return Confusion(*counts)


def _areas(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, of: Area) -> np.ndarray:
    labels, scores = check_pair(labels, scores)
    rows = np.ones((len(labels), 1)) if weights is None else check_weights(weights, len(labels))
    found = [Ranked.of(y, s).areas(rows, (of,))[of] for y, s in zip(labels.T, scores.T, strict=True)]
    values = np.stack(found, axis=1) if found else np.empty((rows.shape[1], 0))
    return values[0] if weights is None else values


def _total(cells: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return cells.sum(axis=0, dtype=np.float64) if weights is None else check_weights(weights, len(cells)).T @ cells


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    known = ~np.isnan(values)
    return ratio(_total(np.where(known, values, 0.0), weights), _total(known, weights))
