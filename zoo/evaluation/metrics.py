"""Metrics over (images, findings) arrays: exact, NaN-masked, one value a finding.

Every metric takes labels (n, k) of 1, 0 and NaN (unknown: left out) and returns float64 (k,), NaN where it is
undefined. With `weights` (n, r), one column of row weights a bootstrap resample, it returns (r, k): a row of weight 2
counts as two rows. A 1-D input is one finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.evaluation.statistics.ranking import rank

Thresholds = float | Sequence[float | None] | np.ndarray
Average = Literal["macro", "micro", "weighted"]


def roc_auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve: how often a positive outranks a negative, ties counting half (Hanley & McNeil 1982).

    Exact over all pairs, where `keras.metrics.AUC` bins the scores into 200 thresholds and takes NaN for a label.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        scores: (n, k) finite, on any scale; only their order counts.
        weights: None, or (n, r) non-negative row weights.

    Returns:
        float64 (k,) or (r, k); NaN where a finding has no positive or no negative.

    Raises:
        ValueError: Shapes differ, a label is not 0/1/NaN, or a score is not finite.
    """
    return _areas(labels, scores, weights)[0]


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Precision averaged over the positives, without interpolation; equal scores are one cut. Arguments as `roc_auc`.

    A ranking by chance reaches the prevalence. NaN where a finding has no positive or no negative.
    """
    return _areas(labels, scores, weights)[1]


def brier(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean squared difference of probability and label (Brier 1950); NaN where nothing is known."""
    labels, p = _pair(labels, check_probabilities(probabilities))
    return _mean((p - labels) ** 2, weights)


def log_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean negative log likelihood in nats; probabilities are kept one float64 epsilon from 0 and 1."""
    labels, p = _pair(labels, check_probabilities(probabilities))
    eps = np.finfo(np.float64).eps
    p = np.clip(p, eps, 1 - eps)
    return _mean(-np.where(labels == 1, np.log(p), np.log1p(-p)) + 0 * labels, weights)


def binary_accuracy(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, weights: np.ndarray | None = None
) -> np.ndarray:
    """Share of known labels that the thresholded probabilities (not logits: those are refused) get right."""
    return confusion(labels, probabilities, thresholds, weights).accuracy


def f1(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, average: Average | None = None
) -> np.ndarray:
    """F1 at the thresholds: (k,), or its macro, micro or support-weighted average as a scalar array."""
    counts = confusion(labels, probabilities, thresholds)
    return counts.f1 if average is None else counts.f1_average(average)


@dataclass(frozen=True)
class Confusion:
    """Counts of true and false positives and negatives, float64 (k,) or (r, k); NaN for a finding without threshold.

    Each ratio is NaN where its denominator is 0; F1 is NaN where there are no positives and 0 where none is found.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def sensitivity(self) -> np.ndarray:
        """Share of the positives that are called positive (recall)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> np.ndarray:
        """Share of the negatives that are called negative."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def ppv(self) -> np.ndarray:
        """Share of the positive calls that are right (precision); depends on the prevalence."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def npv(self) -> np.ndarray:
        """Share of the negative calls that are right; depends on the prevalence."""
        return _ratio(self.tn, self.tn + self.fn)

    @property
    def accuracy(self) -> np.ndarray:
        """Share of all calls that are right."""
        return _ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of sensitivity and PPV."""
        value = _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)
        return np.where(self.tp + self.fn > 0, value, np.nan)

    def f1_average(self, average: Average) -> np.ndarray:
        """F1 over all findings: `macro` (mean), `weighted` (by positives), `micro` (of the summed counts)."""
        if average == "macro":
            return mean_over_findings(self.f1)[0]
        if average == "weighted":
            support = np.where(np.isnan(self.f1), 0, self.tp + self.fn)
            return _ratio(np.nansum(support * self.f1, axis=-1), support.sum(axis=-1))
        if average == "micro":
            tp, errors = np.nansum(self.tp, axis=-1), np.nansum(self.fp + self.fn, axis=-1)
            return _ratio(2 * tp, 2 * tp + errors)
        raise ValueError(f"average must be 'macro', 'micro' or 'weighted', got {average!r}")


def confusion(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Thresholds = 0.5, weights: np.ndarray | None = None
) -> Confusion:
    """Counts at `thresholds`: one number, or one a finding (None or NaN: the finding's counts are NaN).

    Raises:
        ValueError: Shapes differ, a label is not 0/1/NaN, or a probability lies outside 0..1 (logits, most often).
    """
    labels, p = _pair(labels, check_probabilities(probabilities))
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), labels.shape[1:])
    called = at_least(p, limits)
    cells = [(labels == truth) & (called == call) for truth, call in ((1, True), (0, True), (1, False), (0, False))]
    counts = [np.where(np.isnan(limits), np.nan, _total(cell, weights)) for cell in cells]
    return Confusion(*counts)


def at_least(probabilities: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    """Which probabilities reach their threshold, both taken as float32.

    Models emit float32 and files hold decimals; compared as float64, a stored 0.35 would miss a threshold of 0.35.
    """
    return np.asarray(probabilities).astype(np.float32) >= np.asarray(thresholds, np.float32)


def mean_over_findings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis leaving NaN out, and how many findings it is the mean of (NaN where none)."""
    count = np.sum(~np.isnan(values), axis=-1)
    return _ratio(np.nansum(values, axis=-1), count), count


def known_counts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Known labels and positives of each finding: two int64 (k,)."""
    return np.sum(~np.isnan(labels), axis=0), np.sum(labels == 1, axis=0)


def check_probabilities(values: np.ndarray, findings: Sequence[str] | None = None) -> np.ndarray:
    """Returns `values` when all lie in 0..1; the error names the first row and finding that does not."""
    values = np.asarray(values)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        what = f" ({findings[where[1]]})" if findings is not None else ""
        place, value = f"row {', column '.join(map(str, where))}{what}", values[tuple(where)]
        if np.isnan(value):
            raise ValueError(f"probability at {place} is NaN: leave the row out, or fill it in")
        raise ValueError(f"probability {value:.6g} at {place} is outside 0..1: are these logits?")
    return values


def _areas(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision of each finding: two (k,), or (r, k) under weights (n, r)."""
    labels, scores = _pair(labels, scores)
    rows = np.ones((1, len(labels))) if weights is None else np.ascontiguousarray(weights.T, np.float64)
    found = [rank(y, s).areas(rows) for y, s in zip(labels.T, scores.T, strict=True)]
    auc, precision = (np.stack(values, axis=1) for values in zip(*found, strict=True))
    return (auc[0], precision[0]) if weights is None else (auc, precision)


def _pair(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, values = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    if labels.shape != values.shape or labels.ndim not in (1, 2):
        raise ValueError(f"labels and predictions must have one shape (n, k), got {labels.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"prediction at {np.argwhere(~np.isfinite(values))[0].tolist()} is not finite")
    if not ((labels == 0) | (labels == 1) | np.isnan(labels)).all():
        raise ValueError("labels must be 0, 1 or NaN (unknown)")
    return (labels[:, None], values[:, None]) if labels.ndim == 1 else (labels, values)


def _total(cells: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return cells.sum(axis=0, dtype=np.float64) if weights is None else (weights.T @ cells).astype(np.float64)


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    known = ~np.isnan(values)
    return _ratio(_total(np.where(known, values, 0.0), weights), _total(known, weights))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
