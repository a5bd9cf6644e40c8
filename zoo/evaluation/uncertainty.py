"""The interval of every number of an evaluation: which one belongs to which measure, alone, averaged and compared.

See docs/concepts/intervals.md for the reasons; tests/benchmarks/coverage.py simulates how often each holds the true
value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.evaluation.measures import Values
from zoo.evaluation.metrics import log_losses
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import at_least
from zoo.evaluation.statistics.delong import auc_spread, difference_spread
from zoo.evaluation.statistics.influences import (
    auc_influence,
    by_patient,
    error_influence,
    precision_influence,
    share_influence,
)
from zoo.evaluation.statistics.inputs import distinct
from zoo.evaluation.statistics.miscalibration import error_spread
from zoo.evaluation.statistics.precision import precision_spread
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.spreads import Scale, Spread, combined, correlation_of

#: Spreads of one finding (or of all labels pooled): of labels, predictions and patients, each (n,).
_ONE: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Spread]] = {
    "auc": auc_spread,
    "average_precision": precision_spread,
    "brier": lambda y, p, clusters: mean_spread((p - y) ** 2, clusters, _rarer(y, clusters), "log"),
    "log_loss": lambda y, p, clusters: mean_spread(log_losses(y, p), clusters, _rarer(y, clusters), "log"),
    "ece": error_spread,
}

#: What each row contributes to the measure: of labels and predictions, each (n,).
_CONTRIBUTIONS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "auc": auc_influence,
    "average_precision": precision_influence,
    "brier": lambda y, p: _of_mean((p - y) ** 2),
    "log_loss": lambda y, p: _of_mean(log_losses(y, p)),
    "ece": error_influence,
    "excess": lambda y, p: _of_mean(y - p),  # observed minus predicted frequency
}

#: Measures that only depend on the ranking within a finding, which scores of unknown scale have too.
_RANKING = ("auc", "average_precision")


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The uncertainty of one model's numbers, or of the differences of two models.

    Attributes:
        patients: Number of patients.
        spreads: (average, measure) -> the spreads of the k findings, or of "micro" alone.
        correlations: Measure -> (k, k) correlation of the errors of the findings.
    """

    patients: int
    spreads: dict[tuple[str, str], list[Spread]] = field(default_factory=dict)
    correlations: dict[str, np.ndarray] = field(default_factory=dict)

    def mean(self, measure: str, weights: np.ndarray, level: float) -> tuple[float, float]:
        """The interval of the weighted mean of a measure over findings (see `mean_interval`); NaN of one patient."""
        if self.patients < 2:
            return np.nan, np.nan
        return mean_interval(self.spreads["finding", measure], self.correlations[measure], weights, level)


def uncertainty_of(
    scores: Scores,
    values: Values,
    probabilities: np.ndarray | None = None,
    points: Mapping[str, Sequence[float | None]] | None = None,
) -> Uncertainty:
    """The uncertainty of one model's numbers, for each finding and pooled over all labels ("micro").

    Args:
        scores: The model's scores and labels.
        values: Its numbers, from `measures`.
        probabilities: (n, k) calibrated; None for scores of unknown scale.
        points: Operating point -> threshold of each finding.
    """
    clusters, labels = scores.clusters, scores.labels
    found = Uncertainty(distinct(clusters))
    for over, measure in values:
        if measure not in _ONE or over not in ("finding", "micro"):
            continue
        if over == "finding":
            given = _predictions(scores, probabilities, measure)
            columns = zip(labels.T, given.T, strict=True)
            found.spreads[over, measure] = [_ONE[measure](y, x, clusters) for y, x in columns]
            found.correlations[measure] = correlation_of(contributions(measure, labels, given, clusters))
        elif probabilities is not None:
            pooled = labels.T.reshape(-1), probabilities.T.reshape(-1), np.tile(clusters, labels.shape[1])
            found.spreads[over, measure] = [_ONE[measure](*pooled)]
    if probabilities is None:
        return found
    for point, thresholds in (points or {}).items():
        for measure, (part, whole) in share_sums(labels, probabilities, clusters, thresholds).items():
            name = f"{measure}@{point}"
            defined = whole * ~np.isnan(values["finding", name])  # an F1 needs positives
            found.spreads["finding", name] = [share_spread(a, b) for a, b in zip(part.T, defined.T, strict=True)]
            found.spreads["micro", name] = [share_spread(part.sum(axis=1), whole.sum(axis=1))]
            found.correlations[name] = correlation_of(share_influence(part, defined))
    return found


def uncertainty_of_difference(
    first: tuple[Scores, np.ndarray | None], other: tuple[Scores, np.ndarray | None], keys: Sequence[tuple[str, str]]
) -> Uncertainty:
    """The uncertainty of the first model's numbers minus the second's, on the same rows.

    Args:
        first: Scores and calibrated probabilities (None if of unknown scale) of the first model.
        other: Those of the second.
        keys: (average, measure) of the numbers; measures that need no threshold.
    """
    labels, clusters = first[0].labels, first[0].clusters
    found = Uncertainty(distinct(clusters))
    for over, measure in keys:
        if over == "finding":
            given = [_predictions(*side, measure) for side in (first, other)]
            truth, of = labels, clusters
        elif over == "micro":
            given = [p.T.reshape(-1, 1) for _, p in (first, other) if p is not None]
            truth, of = labels.T.reshape(-1, 1), np.tile(clusters, labels.shape[1])
        else:
            continue
        a, b = (contributions(measure, truth, x, of) for x in given)
        columns = zip(truth.T, given[0].T, given[1].T, a.T, b.T, strict=True)
        found.spreads[over, measure] = [_difference(measure, y, x, z, u, v, of) for y, x, z, u, v in columns]
        if over == "finding":
            found.correlations[measure] = correlation_of(a - b)
    return found


def _difference(
    measure: str, y: np.ndarray, x: np.ndarray, z: np.ndarray, a: np.ndarray, b: np.ndarray, clusters: np.ndarray
) -> Spread:
    """The difference of one measure of one finding, of predictions x minus z, with contributions a and b by patient."""
    if measure in ("brier", "log_loss"):  # the mean of the rows' differences
        losses = [(p - y) ** 2 if measure == "brier" else log_losses(y, p) for p in (x, z)]
        return mean_spread(losses[0] - losses[1], clusters, _rarer(y, clusters), "plain")
    shared = float(correlation_of(np.stack([a, b], axis=1))[0, 1])
    if measure == "auc":
        return difference_spread(y, x, z, clusters)
    freedom = freedom_of(y, clusters)
    return Spread.less(_ONE[measure](y, x, clusters), _ONE[measure](y, z, clusters), shared, freedom)


def contributions(measure: str, labels: np.ndarray, predictions: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """What each patient contributes to a measure without threshold: (n, k) labels to float64 (patients, k)."""
    rows = [_CONTRIBUTIONS[measure](y, x) for y, x in zip(labels.T, predictions.T, strict=True)]
    patients = int(clusters.max()) + 1 if len(clusters) else 0
    return by_patient(np.stack(rows, axis=1) if rows else np.empty((len(labels), 0)), clusters, patients)


def mean_spread(values: np.ndarray, clusters: np.ndarray, patients: int, scale: Scale = "plain") -> Spread:
    """The mean of (n,) values, NaN left out, with limits that are symmetric on a scale.

    Args:
        values: (n,), such as the log loss of each row.
        clusters: (n,) int, each row's patient.
        patients: Number of patients of the rarer class.
        scale: "log" for means above 0.

    >>> spread = mean_spread(np.array([1.0, 3.0, np.nan]), np.array([0, 1, 1]), 2)
    >>> spread.value, spread.variance
    (2.0, 1.0)
    """
    known = ~np.isnan(values)
    value = float(values[known].mean()) if known.any() else np.nan
    # Only patients with a known label are a sample of the mean.
    own = clusters[known]
    sums = np.bincount(own, values[known] - value)[np.bincount(own) > 0]
    return Spread.linear(value, sums / max(1, len(own)), patients, scale)


def mean_interval(
    parts: Sequence[Spread], correlation: np.ndarray, weights: np.ndarray, level: float
) -> tuple[float, float]:
    """The interval of the weighted mean of numbers over findings, left out where undefined.

    Args:
        parts: The k spreads.
        correlation: (k, k) correlation of their errors.
        weights: (k,) weights of the findings.
        level: Confidence level.

    Returns:
        Lower and upper limit; NaN if the data suffice for none of the findings.
    """
    used = [j for j, part in enumerate(parts) if not np.isnan(part.value) and weights[j] > 0]
    if not any(parts[j].enough for j in used):
        return np.nan, np.nan
    share = weights[used] / weights[used].sum()
    low, high = combined([parts[j] for j in used], share, correlation[np.ix_(used, used)], level)
    return (low, high) if high > low else (np.nan, np.nan)


def share_sums(
    labels: np.ndarray, probabilities: np.ndarray, clusters: np.ndarray, thresholds: Sequence[float | None]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sums of sensitivity and other proportions: measure -> numerator and denominator of each patient, (c, k) each.

    Both are 0 without a threshold.
    """
    called = at_least(probabilities, np.array([np.nan if t is None else t for t in thresholds]))
    labels = np.where([t is None for t in thresholds], np.nan, labels)
    count = int(clusters.max()) + 1

    def summed(rows: np.ndarray) -> np.ndarray:
        return by_patient(rows.astype(np.float64), clusters, count)

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


def _predictions(scores: Scores, probabilities: np.ndarray | None, measure: str) -> np.ndarray:
    return scores.logits if measure in _RANKING or probabilities is None else probabilities


def _of_mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return share_influence(np.where(known, values, 0.0), known.astype(np.float64))


def _rarer(labels: np.ndarray, clusters: np.ndarray) -> int:
    """The number of patients of the rarer class that there is."""
    return min((distinct(clusters[labels == truth]) for truth in (0, 1) if (labels == truth).any()), default=0)


def freedom_of(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Patients of the rarer class that there is, less one."""
    return max(1.0, _rarer(labels, clusters) - 1.0)
