"""All metrics of one model, on the original images and on each resample; rows are sorted once, then only summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from zoo.evaluation import metrics
from zoo.evaluation.decision import Decision
from zoo.evaluation.result.numbers import AT_A_POINT
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.columns import Column
from zoo.evaluation.statistics.counts import Confusion
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.evaluation.statistics.ratios import mean_over_findings, ratio, weighted_mean
from zoo.evaluation.statistics.reliability import error_of_square

#: (average, metric) -> values: "finding" with shape (..., k), or "macro", "micro" and "weighted" with shape (...). The
#: leading axis is the resamples, if there are any.
Values = dict[tuple[str, str], np.ndarray]

_PROPER = ("brier", "log_loss")


class Measures:
    """One model's predictions, prepared for computing all metrics under patient weights.

    Metrics are computed for each finding and pooled over all labels ("micro"; for logits only, since scores of unknown
    scale cannot be compared between findings). "macro" is the mean over findings, and "weighted" the mean weighted by
    the number of positives; both leave out NaN.

    Args:
        scores: The predictions and labels.
        decision: The calibration, or None.
        points: Operating point -> threshold of each finding.
        ranking: False leaves out AUC and average precision.

    >>> scores = Scores(np.array([[2.0], [-2.0], [1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> found = Measures(scores, None, {"half": (0.5,)}).values()
    >>> found["finding", "auc"].tolist(), found["finding", "specificity@half"].tolist()
    ([1.0], [0.5])
    """

    def __init__(
        self,
        scores: Scores,
        decision: Decision | None,
        points: Mapping[str, Sequence[float | None]],
        *,
        ranking: bool = True,
    ) -> None:
        self._clusters, self._ranking = scores.clusters, ranking
        self._logits = scores.kind == "logits"
        self._points = dict(points) if self._logits else {}
        labels, p = scores.labels, scores.calibrated(decision) if self._logits else None
        self._columns = []
        for j in range(len(scores.findings)):
            limits = [thresholds[j] for thresholds in self._points.values()]
            own = None if p is None else p[:, j]
            proper = [] if own is None else [(own - labels[:, j]) ** 2, metrics.log_losses(labels[:, j], own)]
            self._columns.append(Column.of(labels[:, j], scores.logits[:, j], own, limits, summed=proper))
        self._pooled: Column | None = None
        if p is not None:
            everything, rows = p.T.reshape(-1), np.tile(np.arange(len(labels)), len(scores.findings))
            self._pooled = Column.of(labels.T.reshape(-1), everything, everything, rows=rows)

    def values(self) -> Values:
        """Every metric on the original images: shape (k,) for "finding", () for the averages."""
        return {key: values[0] for key, values in _finish(self._plain).items()}

    def resampled(self, resamples: int, seed: int) -> Values:
        """Every metric for each bootstrap resample of the patients, on a leading axis.

        Resampling increases the expected square of a calibration error; this bias is subtracted.
        """
        samples = bootstrap(self._under, self._clusters, resamples=resamples, seed=seed)
        for key in [key for key in samples if key[1] == "ece"]:
            added = mean_over_findings(samples[key].T)[0] - self._plain[key][0]
            samples[key] = samples[key] - np.nan_to_num(added)
        return _finish(samples)

    @cached_property
    def _plain(self) -> Values:
        return self._under(np.ones((len(self._clusters), 1)))

    def _under(self, weights: np.ndarray) -> Values:
        """Metrics for each finding and pooled, under (n, r) weights; "ece" holds the squared calibration error."""
        sums = [column.sums(weights) for column in self._columns]
        positives, negatives = (np.stack([getattr(s, c) for s in sums], axis=1) for c in ("positives", "negatives"))
        found: Values = {("finding", "positives"): positives}
        if self._ranking:
            areas = [column.areas(weights) for column in self._columns]
            found |= {("finding", area): np.stack([a[area] for a in areas], axis=1) for area in areas[0]}
        if self._pooled is None:
            return found
        if self._ranking:
            found |= {("micro", area): values for area, values in self._pooled.areas(weights).items()}
        known, rest = positives + negatives, np.stack([s.rest for s in sums], axis=2)
        for metric, values in zip(_PROPER, rest, strict=True):
            found["finding", metric] = ratio(values, known)
            found["micro", metric] = ratio(values.sum(axis=1), known.sum(axis=1))
        calls = np.stack([np.stack(s.calls()) for s in sums], axis=3)  # (true or false, points, r, k)
        for name, (tp, fp) in zip(self._points, calls.swapaxes(0, 1), strict=True):
            found |= _at_a_point(name, Confusion(tp, fp, positives - tp, negatives - fp))
        found["finding", "ece"] = np.stack([s.squared_error() for s in sums], axis=1)
        found["micro", "ece"] = self._pooled.sums(weights).squared_error()
        return found


def _at_a_point(name: str, counts: Confusion) -> Values:
    """The measures of an operating point from its counts (r, k); for "micro" the counts of all findings are added."""
    pooled = Confusion(*(np.nansum(cell, axis=1) for cell in (counts.tp, counts.fp, counts.fn, counts.tn)))
    found = {("finding", f"{metric}@{name}"): getattr(counts, metric) for metric in AT_A_POINT}
    return found | {("micro", f"{metric}@{name}"): getattr(pooled, metric) for metric in AT_A_POINT}


def _finish(found: Values) -> Values:
    """Converts squared calibration errors to calibration errors, and adds the averages over findings."""
    done = {key: error_of_square(v) if key[1] == "ece" else v for key, v in found.items() if key[1] != "positives"}
    for over, metric in [key for key in done if key[0] == "finding"]:
        values = done[over, metric]
        done["macro", metric] = mean_over_findings(values)[0]
        done["weighted", metric] = weighted_mean(values, found["finding", "positives"])
    return done


#: The metrics that `measure_group` computes of calibrated probabilities; of scores of unknown scale only the first.
IN_A_GROUP = ("auc", "sensitivity", "specificity", "ece", "calibration_in_the_large")


def group_columns(
    scores: Scores,
    probabilities: np.ndarray | None,
    thresholds: Sequence[float | None],
    members: np.ndarray,
    smallest: tuple[int, int] = (1, 1),
) -> list[Column | None]:
    """Prepares the findings of one group of rows for `measure_group`.

    Args:
        scores: All rows.
        probabilities: (n, k) calibrated; None for scores of unknown scale.
        thresholds: Threshold of each finding, or None.
        members: Row numbers of the group.
        smallest: Minimum numbers of positives and of negatives; a finding with fewer gets None.
    """
    columns: list[Column | None] = []
    for j, threshold in enumerate(thresholds):
        labels, p = scores.labels[members, j], None if probabilities is None else probabilities[members, j]
        enough = np.sum(labels == 1) >= smallest[0] and np.sum(labels == 0) >= smallest[1]
        column = Column.of(labels, scores.logits[members, j], p, [threshold], rows=members) if enough else None
        columns.append(column)
    return columns


def measure_group(columns: Sequence[Column | None], weights: np.ndarray, metrics: int) -> np.ndarray:
    """Computes the metrics of a group under row weights.

    Args:
        columns: The findings of the group, from `group_columns`.
        weights: (n, r) weights of all rows.
        metrics: 1 for the AUC only, or the length of `IN_A_GROUP` for all of them.

    Returns:
        float64 (r, metrics, k); NaN for a finding whose column is None.

    >>> scores = Scores(np.array([[2.0], [-2.0], [1.0]]), np.array([[1], [0], [0]]), ("Edema",), "test")
    >>> columns = group_columns(scores, None, (None,), np.array([0, 1]))
    >>> measure_group(columns, np.ones((3, 1)), 1).tolist()
    [[[1.0]]]
    """
    result = np.full((weights.shape[1], metrics, len(columns)), np.nan)
    for j, column in enumerate(columns):
        if column is None:
            continue
        result[:, 0, j] = column.areas(weights, ("auc",))["auc"]
        if metrics > 1:
            sums = column.sums(weights)
            (tp,), (fp,) = sums.calls()
            sensitivity, specificity = ratio(tp, sums.positives), ratio(sums.negatives - fp, sums.negatives)
            error = error_of_square(sums.squared_error())
            result[:, 1:, j] = np.stack([sensitivity, specificity, error, sums.excess()], axis=1)
    return result
