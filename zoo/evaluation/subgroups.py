"""Performance in subgroups, by sex, age band, view, source or any other grouping, and the largest gaps between groups.

A finding with too few images in a group has no number there. The means of two groups are compared over the same
findings, since a finding that one group lacks would change its mean by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.decision import Decision
from zoo.evaluation.measures import IN_A_GROUP, group_measures
from zoo.evaluation.result import Estimate, Estimates, Mean, Measure
from zoo.evaluation.result.groups import Gap, Gaps, Group, Grouping, LargestGap, MeanGap, Refused, Subgroups, Within
from zoo.evaluation.result.numbers import Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.delong import auc_spread
from zoo.evaluation.statistics.influences import share_influence
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.miscalibration import error_spread
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.ratios import mean_over_findings, weighted_mean
from zoo.evaluation.statistics.spreads import FEWEST, Spread, combined, correlation_of
from zoo.evaluation.uncertainty import contributions, freedom_of, mean_spread, share_sums
from zoo.labels.facts import is_unknown

#: Largest number of groups; a grouping with more is usually a number that was not divided into bands.
MAX_GROUPS = 20

#: First age of each band, and its name.
AGE_BANDS = {0: "0-17", 18: "18-39", 40: "40-59", 60: "60-79", 80: "80+"}


def age_bands(ages: np.ndarray | Sequence[float]) -> np.ndarray:
    """The band of each age in years: "0-17", "18-39", "40-59", "60-79", "80+", or "" for an unknown age (NaN).

    Raises:
        ValueError: An age below 0.

    >>> age_bands([17, 18, 93, np.nan]).tolist()
    ['0-17', '18-39', '80+', '']
    """
    years = np.asarray(ages, np.float64)
    if (years < 0).any():
        raise EvaluationError(f"age {years[years < 0][0]:g} is below 0: give NaN for an unknown age")
    band = np.searchsorted(list(AGE_BANDS), np.nan_to_num(years), side="right") - 1
    return np.where(np.isnan(years), "", np.array(list(AGE_BANDS.values()))[band])


def subgroups(
    scores: Scores,
    groups: Mapping[str, np.ndarray],
    decision: Decision | None = None,
    *,
    point: str | None = None,
    min_positives: int = 10,
    min_negatives: int = 10,
    level: float = 0.95,
) -> Subgroups:
    """Measures AUC, sensitivity, specificity and calibration of one model in each group, and the largest gaps.

    The gap between groups that share patients is paired.
    The intervals are those of the report (docs/concepts/intervals.md).

    Args:
        scores: The predictions and labels; scores of unknown scale only have an AUC.
        groups: Grouping, such as "sex" -> (n,) group of each row; rows with "" or NaN are unknown and only counted.
        decision: Calibration and thresholds; without a decision, temperature 1 and 0.5 (the point "half").
        point: Name of the operating point; the decision's default if None.
        min_positives: A finding with fewer positive labels in a group is not evaluated there; at least 1.
        min_negatives: The same for negative labels.
        level: Confidence level.

    Returns:
        The numbers of all images, those of each group, and the two groups that are furthest apart in each measure. The
        `level` of a gap corrects for choosing this pair among all pairs (Bonferroni), but not for choosing the finding.
        The measures are auc, sensitivity and specificity at the operating point, ece, and calibration_in_the_large
        (observed minus predicted frequency).

    Raises:
        ValueError: A grouping of another length than the scores or with more than `MAX_GROUPS` groups, or a decision
            for other findings.
        UnknownNameError: There is no such operating point.

    >>> labels = np.array([[1], [0]] * 40)
    >>> scores = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> found = subgroups(scores, {"sex": np.repeat(["F", "M"], 40)})
    >>> found.groupings["sex"].groups["F"].macro.auc.value
    1.0
    """
    names = {grouping: _names(grouping, values, len(scores.labels)) for grouping, values in groups.items()}
    rows = {("", ""): np.arange(len(scores.labels))}
    for grouping, name_of in names.items():
        rows |= {(grouping, str(name)): np.flatnonzero(name_of == name) for name in np.unique(name_of) if name}
    decision = decision or Decision(scores.findings)
    point, thresholds = point or decision.default, decision.point(point).thresholds
    smallest = (max(1, min_positives), max(1, min_negatives))
    metrics: tuple[str, ...] = ("auc",)
    p = scores.calibrated(decision) if scores.kind == "logits" else None
    if p is not None:
        metrics += (f"sensitivity@{point}", f"specificity@{point}", "ece", "calibration_in_the_large")
    found = {}
    for key, own in rows.items():
        counts = np.stack(known_counts(scores.labels[own]))
        value = group_measures(scores, p, thresholds, own, smallest)
        patients, shared, spreads = _uncertainty(scores, p, thresholds, own, value)
        found[key] = _Group(scores.findings, len(own), counts, metrics, value, patients, shared, spreads, level)
    everybody = found["", ""]
    return Subgroups(
        point,
        *smallest,
        Resampling(resamples=0, level=level),
        everybody.result(),
        {
            grouping: _grouping(
                {name: g for (of, name), g in found.items() if of == grouping}, everybody, int(np.sum(name_of == ""))
            )
            for grouping, name_of in names.items()
        },
    )


@dataclass(frozen=True, eq=False)
class _Group:
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
        return _interval([(self, metric, over, 1.0)], n, positives, self.level)

    def mean(self, metric: int, over: Sequence[int] | np.ndarray) -> float:
        """The mean of a metric over findings."""
        return float(mean_over_findings(self.values[metric, over])[0])


def _grouping(groups: Mapping[str, _Group], everybody: _Group, unknown: int) -> Grouping:
    return Grouping(
        {name: group.result() for name, group in groups.items()},
        {Measure.parse(name): _gaps(groups, m, everybody) for m, name in enumerate(everybody.metrics)},
        _within(list(groups.values()), everybody),
        unknown,
    )


def _gaps(groups: Mapping[str, _Group], metric: int, everybody: _Group) -> Gaps:
    shared = {(a, b): np.flatnonzero(groups[a].has(metric) & groups[b].has(metric)) for a, b in combinations(groups, 2)}
    shared = {pair: over for pair, over in shared.items() if len(over)}
    if not shared:
        return Gaps({}, None, None)
    findings = {}
    for j, finding in enumerate(everybody.findings):
        pairs = {pair: np.array([j]) for pair, over in shared.items() if j in over}
        if pairs:
            findings[finding] = _widest(groups, metric, pairs)[0]
    mean, used = _widest(groups, metric, shared)
    left_out = tuple(finding for j, finding in enumerate(everybody.findings) if j not in used)
    largest = max(findings, key=lambda finding: findings[finding].value or 0.0)
    return Gaps(
        findings,
        MeanGap(**vars(mean), findings=len(used), of=len(everybody.findings), left_out=left_out),
        LargestGap(finding=largest, **vars(findings[largest])),
    )


def _widest(
    groups: Mapping[str, _Group], metric: int, pairs: Mapping[tuple[str, str], np.ndarray]
) -> tuple[Gap, np.ndarray]:
    """The widest gap among pairs of groups, each pair compared over its own findings; and the findings of that pair."""

    def gap_of(pair: tuple[str, str]) -> float:
        higher, lower = (mean_over_findings(groups[name].values[metric, pairs[pair]])[0] for name in pair)
        return float(higher - lower)

    chosen = max(pairs, key=lambda pair: abs(gap_of(pair)))
    used, names = pairs[chosen], chosen if gap_of(chosen) >= 0 else chosen[::-1]
    higher, lower = (groups[name] for name in names)
    n, positives = (higher.counts + lower.counts)[:, used].sum(axis=1)
    level = 1 - (1 - higher.level) / len(pairs)
    gap = _interval([(higher, metric, used, 1.0), (lower, metric, used, -1.0)], n, positives, level)
    values = {name: groups[name].number(metric, used) for name in names}
    return Gap(**vars(gap), higher=names[0], lower=names[1], values=values, pairs=len(pairs), level=level), used


def _within(groups: Sequence[_Group], everybody: _Group) -> Within | None:
    """AUC within the groups, weighted by their numbers of positive-negative pairs, and the AUC over all images."""
    counts = np.stack([np.where(group.has(0), group.counts, 0) for group in groups]) if groups else np.zeros((1, 2, 1))
    pairs = (counts[:, 1] * (counts[:, 0] - counts[:, 1])).astype(np.float64)
    if not pairs.any():
        return None
    level = everybody.level
    values = weighted_mean(np.stack([group.values[0] for group in groups]), pairs, axis=0)
    patients = np.unique(np.concatenate([group.patients for group in groups]))
    shared = np.zeros((len(patients), len(pairs.T)))
    for group, weights in zip(groups, pairs / np.maximum(pairs.sum(axis=0), 1.0), strict=True):
        shared[np.searchsorted(patients, group.patients)] += weights * group.shared[0]
    spreads = [
        Spread.linear(float(value), own, _fewest([group.spreads[0][j] for group in groups]))
        for j, (value, own) in enumerate(zip(values, shared.T, strict=True))
    ]
    inside = _Group(
        everybody.findings,
        sum(group.size for group in groups),
        counts.sum(axis=0),
        ("auc",),
        values[None],
        patients,
        [shared],
        [spreads],
        level,
    )
    used = np.flatnonzero(inside.has(0) & everybody.has(0))
    n, positives = everybody.counts[:, used].sum(axis=1)
    between = _interval([(everybody, 0, used, 1.0), (inside, 0, used, -1.0)], n, positives, level)
    found = inside.result()
    return Within(found.findings, found.macro, everybody.number(0, used), between)


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


def _fewest(parts: Sequence[Spread]) -> int:
    """Enough patients for an interval, if one of the groups has enough."""
    return FEWEST if any(part.usable and part.enough for part in parts) else 0


def _interval(
    terms: Sequence[tuple[_Group, int, Sequence[int] | np.ndarray, float]], n: int, positives: int, level: float
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


def _correlation(terms: Sequence[tuple[_Group, int, Sequence[int] | np.ndarray, float]]) -> np.ndarray:
    """The correlation of the terms' numbers, of patients that several groups may share."""
    patients = np.unique(np.concatenate([group.patients for group, *_ in terms]))
    columns = []
    for group, metric, over, _ in terms:
        own = np.zeros((len(patients), len(over)))
        own[np.searchsorted(patients, group.patients)] = group.shared[metric][:, over]
        columns.append(own)
    return correlation_of(np.concatenate(columns, axis=1))


def _names(grouping: str, values: np.ndarray, rows: int) -> np.ndarray:
    """(n,) str, "" where the group is unknown."""
    given = np.asarray(values, object)
    if given.shape != (rows,):
        raise EvaluationError(
            f"grouping {grouping!r} must have one group for each of {rows} rows, got shape {given.shape}"
        )
    # Arrays that come from tables hold NaN, None or NaT where a group is unknown.
    texts = np.array(["" if is_unknown(str(value)) else str(value).strip() for value in given], str)
    count = len(np.unique(texts[texts != ""]))
    if count > MAX_GROUPS:
        raise EvaluationError(
            f"grouping {grouping!r} has {count} groups, at most {MAX_GROUPS} can be compared: put numbers into bands"
        )
    return texts
