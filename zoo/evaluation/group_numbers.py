"""The numbers of one group of images, and the intervals of their means and differences over groups and findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.evaluation.measures import IN_A_GROUP, group_measures
from zoo.evaluation.result import Estimate, Estimates, Mean, Measure
from zoo.evaluation.result.groups import Group, Refused
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.delong import auc_spread
from zoo.evaluation.statistics.influences import share_influence
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.miscalibration import error_spread
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.evaluation.statistics.spreads import Spread, combined, correlation_of
from zoo.evaluation.uncertainty import contributions, freedom_of, mean_spread, share_sums


@dataclass(frozen=True, eq=False)
class GroupNumbers:
    """One group's numbers: counts (2, k) of known labels and positives, and values (metrics, k).

    `spreads` are the uncertainty of the values, for each metric and finding, and `shared` what each of the group's
    `patients` (c,) contributes to them: (c, k) for each metric. A value is NaN where the group is too small or the
    metric is undefined.
    """

    findings: tuple[str, ...]
    size: int
    counts: np.ndarray
    metrics: tuple[str, ...]
    values: np.ndarray
    patients: np.ndarray
    shared: Sequence[np.ndarray]
    spreads: Sequence[Sequence[Spread]]
    level: float

    @classmethod
    def of(
        cls,
        scores: Scores,
        probabilities: np.ndarray | None,
        thresholds: Sequence[float | None],
        own: np.ndarray,
        smallest: tuple[int, int],
        metrics: tuple[str, ...],
        level: float,
    ) -> GroupNumbers:
        """Measures the rows `own`; a finding with fewer than `smallest` positives and negatives has no numbers."""
        counts = np.stack(known_counts(scores.labels[own]))
        values = group_measures(scores, probabilities, thresholds, own, smallest)
        patients, shared, spreads = _uncertainty(scores, probabilities, thresholds, own, values)
        return cls(scores.findings, len(own), counts, metrics, values, patients, shared, spreads, level)

    def result(self) -> Group:
        """The group's numbers."""
        findings, refused = {}, {}
        for j, finding in enumerate(self.findings):
            if self.has(0)[j]:  # a finding that is not refused has both classes and therefore an AUC
                findings[finding] = Estimates(
                    {Measure.parse(name): self.number(m, [j]) for m, name in enumerate(self.metrics)}
                )
            else:
                refused[finding] = Refused(int(self.counts[0, j]), int(self.counts[1, j]))
        macro: dict[Measure, Estimate] = {}
        for m, name in enumerate(self.metrics):
            used = np.flatnonzero(self.has(m))
            macro[Measure.parse(name)] = Mean.over(self.number(m, used), len(used), len(self.findings))
        return Group(self.size, findings, Estimates(macro), refused)

    def has(self, metric: int) -> np.ndarray:
        """(k,) bool: the findings for which a metric is defined."""
        return ~np.isnan(self.values[metric])

    def number(self, metric: int, over: Sequence[int] | np.ndarray) -> Estimate:
        """The mean of a metric over the findings at the given positions, with its interval."""
        n, positives = self.counts[:, over].sum(axis=1)
        return interval_of([(self, metric, over, 1.0)], n, positives, self.level)

    def mean(self, metric: int, over: Sequence[int] | np.ndarray) -> float:
        """The mean of a metric over findings."""
        return float(mean_over_findings(self.values[metric, over])[0])


def interval_of(
    terms: Sequence[tuple[GroupNumbers, int, Sequence[int] | np.ndarray, float]], n: int, positives: int, level: float
) -> Estimate:
    """The sum of signed means over findings, each of a group and a metric, with its interval."""
    value = sum(sign * group.mean(metric, over) for group, metric, over, sign in terms)
    parts = [group.spreads[metric][j] for group, metric, over, _ in terms for j in over]
    if len(parts) == 1:
        return Estimate.from_interval(Interval(value, *parts[0].interval(level), n, positives))
    weights = np.concatenate([np.full(len(over), sign / max(1, len(over))) for _, _, over, sign in terms])
    enough = len(terms) == 1 or len(parts) > len(terms) or all(part.enough for part in parts)
    low, high = combined(parts, weights, _correlation(terms), level) if enough else (np.nan, np.nan)
    low, high = (low, high) if high > low else (np.nan, np.nan)
    return Estimate.from_interval(Interval(value, low, high, n, positives))


def _correlation(terms: Sequence[tuple[GroupNumbers, int, Sequence[int] | np.ndarray, float]]) -> np.ndarray:
    """The correlation of the terms' numbers, of patients that several groups may share."""
    patients = np.unique(np.concatenate([group.patients for group, *_ in terms]))
    columns = []
    for group, metric, over, _ in terms:
        own = np.zeros((len(patients), len(over)))
        own[np.searchsorted(patients, group.patients)] = group.shared[metric][:, over]
        columns.append(own)
    return correlation_of(np.concatenate(columns, axis=1))


def _uncertainty(
    scores: Scores,
    probabilities: np.ndarray | None,
    thresholds: Sequence[float | None],
    own: np.ndarray,
    values: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray], list[list[Spread]]]:
    """A group's patients, what each contributes to the values, and the spreads of each metric and finding."""
    labels, logits = scores.labels[own], scores.logits[own]
    patients, clusters = np.unique(scores.clusters[own], return_inverse=True)
    clusters = clusters.reshape(-1)
    shared = [contributions("auc", labels, logits, clusters)]
    spreads = [[auc_spread(y, x, clusters) for y, x in zip(labels.T, logits.T, strict=True)]]
    if probabilities is not None:
        p = probabilities[own]
        sums = share_sums(labels, p, clusters, thresholds)
        for metric in IN_A_GROUP[1:3]:
            part, whole = sums[metric]
            shared.append(share_influence(part, whole))
            spreads.append([share_spread(a, b) for a, b in zip(part.T, whole.T, strict=True)])
        shared.append(contributions("ece", labels, p, clusters))
        spreads.append([error_spread(y, x, clusters) for y, x in zip(labels.T, p.T, strict=True)])
        shared.append(contributions("excess", labels, p, clusters))
        fewest = [int(freedom_of(y, clusters)) + 1 for y in labels.T]
        spreads.append([mean_spread(y, clusters, n) for y, n in zip((labels - p).T, fewest, strict=True)])
    none = Spread.normal(np.nan, np.nan, 0)
    has = ~np.isnan(values)
    return (
        patients,
        shared,
        [[s if h else none for s, h in zip(*row, strict=True)] for row in zip(spreads, has, strict=True)],
    )
