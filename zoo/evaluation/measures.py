"""All metrics of one model: of each finding, pooled over all labels, and averaged over findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zoo.evaluation import metrics
from zoo.evaluation.result.numbers import AT_A_POINT
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import Confusion, known_counts
from zoo.evaluation.statistics.ratios import mean_over_findings, ratio, weighted_mean
from zoo.evaluation.statistics.reliability import calibration_error

#: (average, metric) -> values: "finding" with shape (k,), or "macro", "micro" and "weighted" with shape ().
Values = dict[tuple[str, str], np.ndarray]


def measures(
    scores: Scores,
    probabilities: np.ndarray | None = None,
    points: Mapping[str, Sequence[float | None]] | None = None,
    *,
    ranking: bool = True,
) -> Values:
    """Computes every metric for each finding and its averages.

    "micro" pools all labels (with probabilities only, since scores of unknown scale cannot be compared between
    findings), "macro" is the mean over findings, and "weighted" the mean weighted by the number of positives; both
    leave out NaN.

    Args:
        scores: The predictions and labels.
        probabilities: (n, k) calibrated; None for scores of unknown scale, which are only ranked.
        points: Operating point -> threshold of each finding.
        ranking: False leaves out AUC and average precision.

    >>> scores = Scores(np.array([[2.0], [-2.0], [1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> found = measures(scores, scores.probabilities, {"half": (0.5,)})
    >>> found["finding", "auc"].tolist(), found["finding", "specificity@half"].tolist()
    ([1.0], [0.5])
    """
    labels = scores.labels
    found: Values = _ranked("finding", labels, scores.logits) if ranking else {}
    if probabilities is not None:
        clusters, pooled, p = scores.clusters, labels.T.reshape(-1, 1), probabilities.T.reshape(-1, 1)
        repeated = np.tile(clusters, labels.shape[1])
        if ranking:
            found |= {key: value[0] for key, value in _ranked("micro", pooled, p).items()}
        found |= _proper("finding", labels, probabilities)
        found |= {key: value[0] for key, value in _proper("micro", pooled, p).items()}
        for name, thresholds in (points or {}).items():
            limits = np.array([np.nan if limit is None else limit for limit in thresholds])
            found |= _at_a_point(name, metrics.confusion(labels, probabilities, limits))
        found["finding", "ece"] = calibration_error(labels, probabilities, clusters)
        found["micro", "ece"] = calibration_error(pooled, p, repeated)[0]
    positives = known_counts(labels)[1]
    for metric in [metric for over, metric in found if over == "finding"]:
        found["macro", metric] = mean_over_findings(found["finding", metric])[0]
        found["weighted", metric] = weighted_mean(found["finding", metric], positives)
    return found


def _ranked(over: str, labels: np.ndarray, scores: np.ndarray) -> Values:
    return {
        (over, "auc"): metrics.roc_auc(labels, scores),
        (over, "average_precision"): metrics.average_precision(labels, scores),
    }


def _proper(over: str, labels: np.ndarray, probabilities: np.ndarray) -> Values:
    return {
        (over, "brier"): metrics.brier(labels, probabilities),
        (over, "log_loss"): metrics.log_loss(labels, probabilities),
    }


def _at_a_point(name: str, counts: Confusion) -> Values:
    """The measures of an operating point from its counts (k,); for "micro" the counts of all findings are added."""
    pooled = Confusion(*(np.nansum(cell) for cell in (counts.tp, counts.fp, counts.fn, counts.tn)))
    found = {("finding", f"{metric}@{name}"): getattr(counts, metric) for metric in AT_A_POINT}
    return found | {("micro", f"{metric}@{name}"): getattr(pooled, metric) for metric in AT_A_POINT}


#: The metrics that `group_measures` computes of calibrated probabilities; of scores of unknown scale only the first.
IN_A_GROUP = ("auc", "sensitivity", "specificity", "ece", "calibration_in_the_large")


def group_measures(
    scores: Scores,
    probabilities: np.ndarray | None,
    thresholds: Sequence[float | None],
    members: np.ndarray,
    smallest: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Computes the metrics of one group of rows.

    Args:
        scores: All rows.
        probabilities: (n, k) calibrated; None for scores of unknown scale.
        thresholds: Threshold of each finding, or None.
        members: Row numbers of the group.
        smallest: Minimum numbers of positives and of negatives; a finding with fewer has NaN.

    Returns:
        float64 (metrics, k), in the order of `IN_A_GROUP`; the AUC alone without probabilities.

    >>> scores = Scores(np.array([[2.0], [-2.0], [1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> group_measures(scores, None, (None,), np.array([0, 1])).tolist()
    [[1.0]]
    """
    labels = scores.labels[members]
    found = [metrics.roc_auc(labels, scores.logits[members])]
    if probabilities is not None:
        p = probabilities[members]
        counts = metrics.confusion(labels, p, [np.nan if limit is None else limit for limit in thresholds])
        known = ~np.isnan(labels)
        excess = ratio(np.where(known, labels - p, 0.0).sum(axis=0), known.sum(axis=0))
        error = calibration_error(labels, p, scores.clusters[members])
        found += [counts.sensitivity, counts.specificity, error, excess]
    enough = (np.sum(labels == 1, axis=0) >= smallest[0]) & (np.sum(labels == 0, axis=0) >= smallest[1])
    return np.where(enough, np.stack(found), np.nan)
