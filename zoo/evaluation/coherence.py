"""Findings that contradict each other: a child finding without its parent, or a finding together with "No Finding".

`contradictions` counts such images. `project` changes probabilities as little as possible so that no contradiction is
left, and `reordering` measures what that does to the rankings. The rules are data: `labels.hierarchy`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.decision import Decision, positives
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import ChildContradiction, Coherence, Contradiction, Reordering
from zoo.evaluation.statistics.inputs import check_probabilities
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.proportions import proportion
from zoo.labels.hierarchy import CHEXPERT_RULES, Rules


def contradictions(
    probabilities: np.ndarray,
    findings: Sequence[str],
    decision: Decision | None = None,
    point: str | None = None,
    *,
    margin: float = 1e-6,
    patients: np.ndarray | None = None,
    rules: Rules = CHEXPERT_RULES,
    level: float = 0.95,
) -> Coherence:
    """Counts the rows whose probabilities, or whose calls at an operating point, contradict each other.

    Args:
        probabilities: (n, k) calibrated; NaN is unknown, and contradicts nothing.
        findings: The k names.
        decision: Its thresholds make the calls; without a decision they are 0.5. A finding without a threshold is not
            called.
        point: Name of the operating point; the decision's default if None.
        margin: A contradiction counts if it exceeds this much in probability; the default only ignores rounding.
        patients: (n,) each row's patient, for the intervals.
        rules: The rules between the findings.
        level: Confidence level of the intervals.

    Returns:
        Shares of the images that contradict a rule, among those that could: for each child (more probable than its
        parent; called positive where the parent is negative), for each finding that the normal one excludes (the two
        probabilities add up to more than 1; both called positive), and for all rules together.

    Raises:
        ValueError: Probabilities outside 0..1 or of another shape, or a decision for other findings.

    >>> found = contradictions(np.array([[0.2, 0.6], [0.6, 0.2]]), ["Lung Opacity", "Edema"])
    >>> found.children["Edema"].probability.value  # in one of two images, Edema is more probable than its parent
    0.5
    """
    names, p = tuple(findings), _checked(probabilities, findings)
    calls = _calls(p, names, decision, point)
    clusters = None if patients is None else np.unique(np.asarray(patients).astype(str), return_inverse=True)[1]
    found: dict[str, list[np.ndarray]] = {"probability": [], "calls": []}

    def rates(lower: str, upper: str, excluded: bool = False) -> Contradiction:
        pair = [names.index(lower), names.index(upper)]
        (own, other), (own_call, other_call) = p[:, pair].T, calls[:, pair].T
        limit, wrong = (1 - other, 1) if excluded else (other, 0)
        hits = {
            "probability": _known(own > limit + margin, p[:, pair]),
            "calls": _known((own_call == 1) & (other_call == wrong), calls[:, pair]),
        }
        for kind, values in hits.items():
            found[kind].append(values)
        return Contradiction(*(share(values) for values in hits.values()))

    def share(hits: np.ndarray) -> Estimate:
        return Estimate.from_interval(proportion(hits, clusters, level))

    return Coherence(
        {
            child: ChildContradiction(parent=parent, **vars(rates(child, parent)))
            for child, parent in _next_above(rules, names).items()
        },
        {other: rates(other, rules.normal, excluded=True) for other in rules.excluded(names)},
        Contradiction(*(share(_any(values, len(p))) for values in found.values())),
        tuple(rules.skipped(names)),
    )


def project(probabilities: np.ndarray, findings: Sequence[str], rules: Rules = CHEXPERT_RULES) -> np.ndarray:
    """Finds the coherent probabilities nearest to the given ones, row by row.

    The rules form a tree: each parent bounds its children from above, and 1 - P(No Finding) bounds all findings that
    No Finding excludes. The nearest point in least squares is then the isotonic regression on a tree, found by pooling
    adjacent violators from the leaves up (Pardalos and Xue 1999): a parent and the children that exceed it are set to
    their mean. The result is also nearest in Kullback-Leibler divergence (Barlow and Brunk 1972).

    A coherent row is returned unchanged, and projecting twice equals projecting once. Two rows may change their order
    (see `reordering`). If all labels of a row are known and coherent, its squared error, summed over the findings,
    never grows. Project after calibration; thresholds fitted on unprojected probabilities are not valid for projected
    ones.

    Args:
        probabilities: (n, k) calibrated. NaN stays NaN; the children of such a finding are bounded by its nearest
            known ancestor.
        findings: The k names. Rules that need other findings are left out (`Rules.skipped` names them).
        rules: The rules between the findings.

    Returns:
        (n, k) of the input's dtype (float64 if the input was not floating-point); the input is not changed.

    Raises:
        ValueError: Probabilities outside 0..1, or an array of another shape.

    >>> project(np.array([[0.2, 0.6]]), ["Lung Opacity", "Edema"]).round(3).tolist()
    [[0.4, 0.4]]
    """
    names, given = tuple(findings), _checked(probabilities, findings)
    dtype = np.asarray(probabilities).dtype
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    result = given.copy()
    patterns, pattern_of = np.unique(np.isnan(given), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(pattern_of.reshape(-1) == number)
        present = [name for name, missing in zip(names, pattern, strict=True) if not missing]
        where = np.ix_(rows, np.flatnonzero(~pattern))
        result[where] = _pool(given[where], present, rules, dtype)
    return result.astype(dtype)


def reordering(before: np.ndarray, after: np.ndarray, findings: Sequence[str]) -> dict[str, Reordering]:
    """Measures what a projection did to each finding.

    Args:
        before: (n, k) probabilities; for each finding, rows with NaN are left out.
        after: (n, k) projected probabilities.
        findings: The k names.

    Returns:
        Finding -> the share of the pairs of rows whose order was reversed (among pairs that were not tied before), and
        the mean and largest change of a probability. These numbers have no intervals; their `n` counts the rows and
        their `positives` the rows that changed.

    Raises:
        ValueError: The two arrays differ in shape, or a probability lies outside 0..1.

    >>> before = np.array([[0.2, 0.6], [0.5, 0.4]])
    >>> after = project(before, ["Lung Opacity", "Edema"])
    >>> reordering(before, after, ["Lung Opacity", "Edema"])["Lung Opacity"].largest_change.value
    0.2
    """
    old, new = _checked(before, findings), _checked(after, findings)
    if old.shape != new.shape:
        raise EvaluationError(f"before and after must have one shape, got {old.shape} and {new.shape}")
    result = {}
    for j, finding in enumerate(findings):
        known = ~np.isnan(old[:, j] + new[:, j])
        a, b = old[known, j], new[known, j]
        moved = np.abs(b - a)
        changed = int(np.sum(moved > 0))
        measured = [_reordered(a, b), *([float(moved.mean()), float(moved.max())] if len(a) else [])]
        result[finding] = Reordering(
            *(Estimate.from_interval(Interval(value, np.nan, np.nan, len(a), changed)) for value in measured)
        )
    return result


def _pool(p: np.ndarray, names: list[str], rules: Rules, dtype: np.dtype) -> np.ndarray:
    """`project` for rows where all of `names` are known."""
    values = p.copy()
    excluded = rules.excluded(names)
    normal = names.index(rules.normal) if excluded else -1
    parents = [name for name in rules.children if name in names]
    below = {names.index(top): [j for j, name in enumerate(names) if top in rules.above(name)] for top in parents}
    if excluded:
        values[:, normal] = 1 - p[:, normal]
        below[normal] = [names.index(name) for name in excluded]
    # Fewest below first, so that a tree is coherent before it is hung under its parent.
    for top in sorted(below, key=lambda top: len(below[top])):
        others = below[top]
        # Less than the dtype can hold is no violation: else rounding would be mended for ever.
        wrong = values[:, others].max(axis=1, initial=0.0) > values[:, top] + np.finfo(dtype).eps
        values[wrong] = _hang(values[wrong], top, others)
    if excluded:
        untouched = values[:, normal] == 1 - p[:, normal]
        values[:, normal] = np.where(untouched, p[:, normal], 1 - values[:, normal])
    return values


def _hang(values: np.ndarray, top: int, below: list[int]) -> np.ndarray:
    """Pools one parent with its descendants, which are already coherent among themselves.

    The parent becomes the highest of the means of itself and its m highest descendants; descendants above that value
    are lowered to it.
    """
    falling = -np.sort(-values[:, below], axis=1)
    means = (values[:, [top]] + np.cumsum(falling, axis=1)) / np.arange(2, len(below) + 2)
    pooled = values.copy()
    pooled[:, top] = means.max(axis=1)
    pooled[:, below] = np.minimum(values[:, below], pooled[:, [top]])
    return pooled


def _next_above(rules: Rules, names: Sequence[str]) -> dict[str, str]:
    """Child -> its nearest ancestor among `names`."""
    above = {name: [upper for upper in rules.above(name) if upper in names] for name in names}
    return {name: uppers[0] for name, uppers in above.items() if uppers}


def _calls(p: np.ndarray, names: tuple[str, ...], decision: Decision | None, point: str | None) -> np.ndarray:
    decision = decision or Decision(names)
    if decision.findings != names:
        raise EvaluationError(f"the decision is for {decision.findings}, the probabilities are for {names}")
    return positives(p, decision, point)


def _known(flags: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(n,) flags as 1 and 0, and NaN where any of the inputs (n, 2 or more) is NaN."""
    return np.where(np.isnan(inputs).any(axis=1), np.nan, flags)


def _any(hits: list[np.ndarray], rows: int) -> np.ndarray:
    """(n,) 1 where any flag is 1, NaN where all flags are unknown, 0 otherwise."""
    stacked = np.stack(hits) if hits else np.full((1, rows), np.nan)
    return np.where(np.isnan(stacked).all(axis=0), np.nan, (stacked == 1).any(axis=0))


def _reordered(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the pairs that were ordered before and have the opposite order afterwards."""
    ranks, ties = np.unique(before, return_inverse=True, return_counts=True)[1:]
    new_ranks = np.unique(after, return_inverse=True)[1]
    pairs = len(before) * (len(before) - 1) // 2 - int(np.sum(ties * (ties - 1) // 2))
    # Values tied before are sorted by their order afterwards, so that no inversion is counted for them.
    return _inversions(new_ranks[np.lexsort((new_ranks, ranks))]) / pairs if pairs else np.nan


def _inversions(ranks: np.ndarray) -> int:
    """Counts the pairs in falling order, each at the highest bit in which its two ranks differ."""
    count = 0
    for bit in range(int(ranks.max(initial=0)).bit_length()):
        order = np.argsort(ranks >> (bit + 1), kind="stable")
        group, ones = (ranks >> (bit + 1))[order], (ranks[order] >> bit) & 1
        before = np.cumsum(ones) - ones
        in_group = before - before[np.searchsorted(group, group, side="left")]
        count += int(np.sum((1 - ones) * in_group))
    return count


def _checked(values: np.ndarray, findings: Sequence[str]) -> np.ndarray:
    """(n, k) float64, NaN allowed."""
    given = np.asarray(values, np.float64)
    if given.ndim != 2 or given.shape[1] != len(findings):
        raise EvaluationError(f"probabilities must be (rows, {len(findings)}), one column a finding, got {given.shape}")
    check_probabilities(np.nan_to_num(given), tuple(findings))
    return given
