"""Performance in subgroups, by sex, age band, view, source or any other grouping, and the largest gaps between groups.

A finding with too few images in a group has no number there. The means of two groups are compared over the same
findings, since a finding that one group lacks would change its mean by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.decision import Decision
from zoo.evaluation.group_numbers import GroupNumbers, interval_of
from zoo.evaluation.result import Measure
from zoo.evaluation.result.groups import Gap, Gaps, Grouping, LargestGap, MeanGap, Subgroups, Within
from zoo.evaluation.result.numbers import Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.ratios import mean_over_findings, weighted_mean
from zoo.evaluation.statistics.spreads import FEWEST, Spread
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
    found = {key: GroupNumbers.of(scores, p, thresholds, own, smallest, metrics, level) for key, own in rows.items()}
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


def _grouping(groups: Mapping[str, GroupNumbers], everybody: GroupNumbers, unknown: int) -> Grouping:
    return Grouping(
        {name: group.result() for name, group in groups.items()},
        {Measure.parse(name): _gaps(groups, m, everybody) for m, name in enumerate(everybody.metrics)},
        _within(list(groups.values()), everybody),
        unknown,
    )


def _gaps(groups: Mapping[str, GroupNumbers], metric: int, everybody: GroupNumbers) -> Gaps:
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
    groups: Mapping[str, GroupNumbers], metric: int, pairs: Mapping[tuple[str, str], np.ndarray]
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
    gap = interval_of([(higher, metric, used, 1.0), (lower, metric, used, -1.0)], n, positives, level)
    values = {name: groups[name].number(metric, used) for name in names}
    return Gap(**vars(gap), higher=names[0], lower=names[1], values=values, pairs=len(pairs), level=level), used


def _within(groups: Sequence[GroupNumbers], everybody: GroupNumbers) -> Within | None:
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
    inside = GroupNumbers(
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
    between = interval_of([(everybody, 0, used, 1.0), (inside, 0, used, -1.0)], n, positives, level)
    found = inside.result()
    return Within(found.findings, found.macro, everybody.number(0, used), between)


def _fewest(parts: Sequence[Spread]) -> int:
    """Enough patients for an interval, if one of the groups has enough."""
    return FEWEST if any(part.usable and part.enough for part in parts) else 0


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
