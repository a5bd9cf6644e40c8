"""The interval of every number of an evaluation: which one belongs to which measure, alone, averaged and compared.

See docs/concepts/intervals.md for the reasons; tests/benchmarks/coverage.py simulates how often each holds the true
value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from zoo.evaluation.measures import Values
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import at_least
from zoo.evaluation.statistics.delong import auc_spread, difference_spread
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.spreads import Scale, Spread, combined, correlations

#: (average, measure) -> the spreads of the findings, or of "micro" alone.
Spreads = dict[tuple[str, str], list[Spread]]

#: Difference of a resample from the value up to which it is rounding.
_STILL = 1e-6

#: Scales on which numbers have symmetric intervals.
SCALES: Mapping[str, Scale] = {
    "average_precision": "logit",
    "brier": "positive",
    "log_loss": "positive",
    "ece": "positive",
}


def spreads_of(
    scores: Scores,
    values: Values,
    samples: Values,
    probabilities: np.ndarray | None = None,
    points: Mapping[str, Sequence[float | None]] | None = None,
) -> Spreads:
    """The uncertainty of one model's numbers, for each finding and pooled over all labels ("micro").

    Args:
        scores: The model's scores and labels.
        values: Its numbers, from `Measures`.
        samples: Their bootstrap samples.
        probabilities: (n, k) calibrated; None for scores of unknown scale.
        points: Operating point -> threshold of each finding.
    """
    found = resampled(scores, values, samples, SCALES)
    clusters, labels = scores.clusters, scores.labels
    found["finding", "auc"] = [
        auc_spread(*columns, clusters) for columns in zip(labels.T, scores.logits.T, strict=True)
    ]
    if probabilities is None:
        return found
    if ("micro", "auc") in values:
        repeated = np.tile(clusters, labels.shape[1])
        found["micro", "auc"] = [auc_spread(labels.T.reshape(-1), probabilities.T.reshape(-1), repeated)]
    for point, thresholds in (points or {}).items():
        for measure, (part, whole) in _shares(labels, probabilities, clusters, thresholds).items():
            defined = whole * (~np.isnan(values["finding", f"{measure}@{point}"]))  # an F1 needs positives
            found["finding", f"{measure}@{point}"] = [
                share_spread(a, b) for a, b in zip(part.T, defined.T, strict=True)
            ]
            found["micro", f"{measure}@{point}"] = [share_spread(part.sum(axis=1), whole.sum(axis=1))]
    return found


def resampled(
    scores: Scores, values: Values, samples: Values, scales: Mapping[str, Scale] = MappingProxyType({})
) -> Spreads:
    """Spreads from the bootstrap's standard errors, with a degree of freedom for each patient of the rarer class."""
    freedoms = [freedom_of(column, scores.clusters) for column in scores.labels.T]
    return {
        key: [
            Spread.resampled(float(value), sample, freedom, scales.get(key[1], "plain"))
            for value, sample, freedom in zip(
                np.atleast_1d(values[key]),
                samples[key].reshape(len(samples[key]), -1).T,
                freedoms if key[0] == "finding" else [max(freedoms, default=0.0)],
                strict=True,
            )
        ]
        for key in values
        if key[0] in ("finding", "micro")
    }


def differences_of(first: Scores, other: Scores, values: Values, samples: Values) -> Spreads:
    """Spreads of the first model's numbers minus the second's, on the same rows."""
    found = resampled(first, values, samples)
    found["finding", "auc"] = [
        difference_spread(*columns, first.clusters)
        for columns in zip(first.labels.T, first.logits.T, other.logits.T, strict=True)
    ]
    return found


def mean_interval(
    parts: Sequence[Spread], samples: np.ndarray, weights: np.ndarray, level: float
) -> tuple[float, float]:
    """The interval of the weighted mean of numbers over findings, left out where undefined.

    Args:
        parts: The k spreads.
        samples: (r, k) bootstrap samples of the numbers, for their correlation.
        weights: (k,) weights of the findings.
        level: Confidence level.

    Returns:
        Lower and upper limit; NaN if nothing varies.
    """
    used = [j for j, part in enumerate(parts) if not np.isnan(part.value) and weights[j] > 0]
    moved = np.nan_to_num(samples[:, used] - np.array([parts[j].value for j in used]))
    if not used or not np.abs(moved).max() > _STILL:
        return np.nan, np.nan
    share = weights[used] / weights[used].sum()
    low, high = combined([parts[j] for j in used], share, correlations(samples[:, used]), level)
    return (low, high) if high > low else (np.nan, np.nan)


def freedom_of(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Patients of the rarer class that there is, less one."""
    patients = [len(np.unique(clusters[labels == truth])) for truth in (0, 1) if (labels == truth).any()]
    return max(1.0, min(patients, default=0) - 1.0)


def share_spreads(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray, thresholds: Sequence[float | None]
) -> dict[str, list[Spread]]:
    """The uncertainty of sensitivity, specificity and other proportions at thresholds: measure -> k spreads."""
    sums = _shares(labels, probabilities, clusters, thresholds)
    return {
        name: [share_spread(a, b) for a, b in zip(part.T, whole.T, strict=True)] for name, (part, whole) in sums.items()
    }


def _shares(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray, thresholds: Sequence[float | None]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Measure -> numerator and denominator of each patient, (c, k) each; zeros without a threshold."""
    called = at_least(probabilities, np.array([np.nan if t is None else t for t in thresholds]))
    labels = np.where([t is None for t in thresholds], np.nan, labels)
    count = int(clusters.max()) + 1

    def summed(rows: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(clusters, column, count) for column in rows.T.astype(np.float64)], axis=1)

    tp, fp = summed((labels == 1) & called), summed((labels == 0) & called)
    fn, tn = summed((labels == 1) & ~called), summed((labels == 0) & ~called)
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "f1": (2 * tp, 2 * tp + fp + fn),
    }
