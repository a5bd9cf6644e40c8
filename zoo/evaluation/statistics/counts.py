"""Counts at thresholds: which probabilities are called positive, and true and false calls at every cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.statistics.ratios import mean_over_findings, ratio, weighted_mean

Average = Literal["macro", "micro", "weighted"]


def at_least(probabilities: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    """Whether probabilities reach their threshold, both compared as float32.

    Models return float32 and files hold decimals; as float64, a stored 0.35 would not reach a threshold of 0.35.

    >>> at_least(np.array([0.3, 0.35], np.float32), 0.35).tolist()
    [False, True]
    """
    return np.asarray(probabilities).astype(np.float32) >= np.asarray(thresholds, np.float32)


def known_counts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of known labels and of positives of each finding.

    Args:
        labels: (n, k) of 1, 0 and NaN (unknown).

    Returns:
        Two int64 arrays (k,).

    >>> [count.tolist() for count in known_counts(np.array([[1, 0], [0, np.nan]]))]
    [[2, 1], [1, 0]]
    """
    return np.sum(~np.isnan(labels), axis=0), np.sum(labels == 1, axis=0)


@dataclass(frozen=True)
class Confusion:
    """Counts of true and false positives and negatives, float64 (k,) or (r, k); NaN for a finding without threshold.

    Each ratio is NaN if its denominator is 0. F1 is NaN without positives, and 0 if no positive is found.

    >>> counts = Confusion(*(np.array([float(n)]) for n in (3, 1, 1, 5)))
    >>> counts.sensitivity.tolist(), counts.ppv.tolist(), counts.accuracy.tolist()
    ([0.75], [0.75], [0.8])
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def sensitivity(self) -> np.ndarray:
        """Share of the positives that are called positive (recall)."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> np.ndarray:
        """Share of the negatives that are called negative."""
        return ratio(self.tn, self.tn + self.fp)

    @property
    def ppv(self) -> np.ndarray:
        """Share of the positive calls that are right (precision); depends on the prevalence."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def npv(self) -> np.ndarray:
        """Share of the negative calls that are right; depends on the prevalence."""
        return ratio(self.tn, self.tn + self.fn)

    @property
    def accuracy(self) -> np.ndarray:
        """Share of all calls that are right."""
        return ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of sensitivity and PPV."""
        value = ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)
        return np.where(self.tp + self.fn > 0, value, np.nan)

    def f1_average(self, average: Average) -> np.ndarray:
        """F1 over all findings: `macro` (mean), `weighted` (by positives), `micro` (of the summed counts)."""
        if average == "macro":
            return mean_over_findings(self.f1)[0]
        if average == "weighted":
            return weighted_mean(self.f1, self.tp + self.fn)
        if average == "micro":
            tp, errors = np.nansum(self.tp, axis=-1), np.nansum(self.fp + self.fn, axis=-1)
            return ratio(2 * tp, 2 * tp + errors)
        raise EvaluationError(f"average must be 'macro', 'micro' or 'weighted', got {average!r}")


@dataclass(frozen=True)
class Cuts:
    """All distinct cuts of one finding's probabilities, the strictest first.

    Attributes:
        values: (c,) float32 distinct probabilities, decreasing; a cut calls this probability and all above it positive.
        tp: (c,) true positives at each cut.
        fp: (c,) false positives at each cut.
        positives: Number of positives.
        negatives: Number of negatives.

    >>> found = cuts(np.array([1, 0]), np.array([0.75, 0.25]))
    >>> found.threshold(0), found.tp.tolist(), found.fp.tolist()
    (0.5, [1, 1], [0, 1])
    """

    values: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    positives: int
    negatives: int

    @property
    def counts(self) -> Confusion:
        """The counts at each cut; along the cuts sensitivity never decreases and specificity never increases."""
        return Confusion(self.tp, self.fp, self.positives - self.tp, self.negatives - self.fp)

    def threshold(self, cut: int) -> float:
        """The threshold of a cut, halfway to the next lower probability, so that rounding does not change a call."""
        upper = self.values[cut]
        lower = self.values[cut + 1] if cut + 1 < len(self.values) else upper
        middle = (upper + lower) / np.float32(2)
        # The middle of neighbouring float32 numbers rounds to one of them, and must not be the lower one.
        chosen = middle if middle > lower else upper
        return float(str(chosen))  # the shortest decimal that reads back as the same float32


def cuts(labels: np.ndarray, probabilities: np.ndarray) -> Cuts:
    """All cuts of one finding.

    Args:
        labels: (n,) of 1, 0 and NaN (left out), with both classes.
        probabilities: (n,), compared as float32.

    >>> cuts(np.array([1, 0, 0]), np.array([0.5, 0.5, 0.25])).fp.tolist()
    [1, 2]
    """
    values, tp, fp = running_counts(labels, probabilities.astype(np.float32))
    return Cuts(values, tp, fp, int(tp[-1]), int(fp[-1]))


def running_counts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts the positives and negatives that score at least as high as each distinct score.

    Args:
        labels: (n,) of 1, 0 and NaN (left out).
        scores: (n,) finite.

    Returns:
        The c distinct scores, decreasing, and two int64 arrays (c,).

    >>> values, positives, negatives = running_counts(np.array([1, 0, 1, 0]), np.array([0.9, 0.4, 0.4, 0.1]))
    >>> values.tolist(), positives.tolist(), negatives.tolist()
    ([0.9, 0.4, 0.1], [1, 2, 2], [0, 1, 2])
    """
    known = ~np.isnan(labels)
    order = np.argsort(scores[known])[::-1]  # the order of equals changes no count
    values, truth = scores[known][order], labels[known][order] == 1
    last_of_equals = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)])
    tp = np.cumsum(truth)[last_of_equals]
    return values[last_of_equals], tp, last_of_equals + 1 - tp
