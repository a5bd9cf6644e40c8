"""Several models on the same rows: their ensemble, and which differences between them the data support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from zoo.core.errors import EvaluationError, UnknownNameError
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result import Estimate, Estimates, Mean, Measure
from zoo.evaluation.result.checks import Comparison, Pair
from zoo.evaluation.result.numbers import Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.ranking import mean_ranks
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.evaluation.uncertainty import Uncertainty, uncertainty_of_difference

How: TypeAlias = Literal["logits", "probabilities", "ranks"]
HOW: tuple[How, ...] = ("logits", "probabilities", "ranks")


def ensemble(members: Sequence[Scores], how: How = "logits") -> Scores:
    """Averages several models with equal weights.

    Args:
        members: Scores on the same rows, labels and findings.
        how: What is averaged: "logits", "probabilities", or "ranks" (each member's mid-ranks among these rows, finding
            by finding, as a share of the rows). Ranks can be taken of numbers on any scale; their mean only ranks
            these rows.

    Returns:
        Scores of the same rows; of kind "scores" if ranks were averaged.

    Raises:
        UnknownNameError: `how` is none of these.
        ValueError: No members, members on different rows, or scores of unknown scale where logits or probabilities are
            averaged.

    >>> labels = np.array([[1], [0]])
    >>> a = Scores(np.array([[2.0], [-1.0]]), labels, ("Edema",), "test")
    >>> b = Scores(np.array([[4.0], [-3.0]]), labels, ("Edema",), "test")
    >>> ensemble([a, b]).logits.ravel().tolist()
    [3.0, -2.0]
    """
    if how not in HOW:
        raise UnknownNameError("ensemble", how, HOW)
    _check_alike({f"member {i}": scores for i, scores in enumerate(members, 1)})
    if how == "ranks":
        return replace(members[0], logits=np.mean([mean_ranks(m.logits) for m in members], axis=0), kind="scores")
    for i, member in enumerate(members, 1):
        if member.kind == "scores":
            raise EvaluationError(
                f"member {i} of {len(members)} has scores of unknown scale, which have no mean of {how}: "
                "average the ranks, or give logits or probabilities"
            )
    if how == "logits":
        return replace(members[0], logits=np.mean([m.logits for m in members], axis=0))
    first, mean = members[0], np.mean([m.probabilities for m in members], axis=0)
    return Scores.from_probabilities(
        mean, first.labels, first.findings, split=first.split, split_hash=first.split_hash, patients=first.patients
    )


def compare(scores_by_model: Mapping[str, Scores], *, level: float = 0.95) -> Comparison:
    """Compares the AUC of each pair of models on the same rows.

    Args:
        scores_by_model: Name -> scores, on the same rows, labels and findings.
        level: Confidence level.

    Returns:
        For each pair of models, the difference of each finding and of the mean over findings. The joint intervals of
        the mean hold for all pairs simultaneously at this level (Bonferroni).

    Raises:
        ValueError: Fewer than two models, or models on different rows, labels or findings.

    >>> labels = np.array([[1], [0]] * 20)
    >>> good = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> chance = Scores(np.zeros((40, 1)), labels, ("Edema",), "test")
    >>> compare({"good": good, "chance": chance}).pairs[0].macro.auc.value
    0.5
    """
    _check_alike(scores_by_model)
    if len(scores_by_model) < 2:
        raise EvaluationError(f"a comparison needs two models or more, got {len(scores_by_model)}")
    both = list(combinations(scores_by_model, 2))
    pairs = [_pair((a, b), (scores_by_model[a], scores_by_model[b]), level, len(both)) for a, b in both]
    told_apart = tuple(
        (pair.a, pair.b) if (pair.macro.auc.value or 0) > 0 else (pair.b, pair.a)
        for pair in pairs
        if pair.macro.get("auc_joint").excludes(0)
    )
    return Comparison(
        Resampling(resamples=0, level=level),
        1 - (1 - level) / len(pairs),
        tuple(pairs),
        told_apart,
        tuple(_notes(pairs, told_apart, level)),
    )


def _pair(names: tuple[str, str], scores: tuple[Scores, Scores], level: float, pairs: int) -> Pair:
    a, b = scores
    values = roc_auc(a.labels, a.logits) - roc_auc(b.labels, b.logits)
    uncertainty = uncertainty_of_difference((a, None), (b, None), [("finding", "auc")])
    spreads = uncertainty.spreads["finding", "auc"]
    n, positives = a.counts
    intervals = [
        Interval(*numbers)
        for numbers in zip(values, *np.transpose([s.interval(level) for s in spreads]), n, positives, strict=True)
    ]
    findings = {
        finding: Estimates({Measure("auc"): Estimate.from_interval(interval)})
        for finding, interval in zip(a.findings, intervals, strict=True)
    }
    same = tuple(f for j, f in enumerate(a.findings) if np.array_equal(a.logits[:, j], b.logits[:, j]))
    macro = _macro(uncertainty, values, (int(n.sum()), int(positives.sum())), level, pairs)
    return Pair(*names, findings, macro, same)


def _macro(
    uncertainty: Uncertainty, values: np.ndarray, counts: tuple[int, int], level: float, pairs: int
) -> Estimates:
    """The mean over findings, with its own interval and with the one adjusted for the number of pairs."""
    value, used = (a.item() for a in mean_over_findings(values))
    intervals = {
        name: uncertainty.mean("auc", np.ones(len(values)), at)
        for name, at in (("auc", level), ("auc_joint", 1 - (1 - level) / pairs))
    }
    return Estimates(
        {
            Measure(name): Mean.over(Estimate.from_interval(Interval(value, *limits, *counts)), int(used), len(values))
            for name, limits in intervals.items()
        }
    )


def _notes(pairs: Sequence[Pair], told_apart: Sequence[Sequence[str]], level: float) -> list[str]:
    k = len(pairs[0].findings)
    apart = ", ".join(f"{better} above {worse}" for better, worse in told_apart)
    notes = [
        f"In mean AUC the data tell apart: {apart}." if apart else "In mean AUC the data tell no two models apart.",
    ]
    if len(pairs) * k > 1:
        count = len(pairs) * k
        notes.append(
            f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of models times {k} findings make {count} "
            f"intervals at {level:.0%}: if all models were alike, {count * (1 - level):.1f} of these would be expected "
            "to leave out 0. Only the joint interval of the mean allows for the number of pairs."
        )
    notes += [
        f"{pair.a} and {pair.b} have the same predictions of {', '.join(pair.identical)}."
        for pair in pairs
        if pair.identical
    ]
    return notes


def _check_alike(scores_by_model: Mapping[str, Scores]) -> None:
    if not scores_by_model:
        raise EvaluationError("expected the scores of at least one model, got none")
    (main, first), *others = scores_by_model.items()
    for name, other in others:
        if other.findings != first.findings:
            raise EvaluationError(f"{name} has other findings than {main}: {other.findings}, not {first.findings}")
        if not np.array_equal(other.labels, first.labels, equal_nan=True):
            raise EvaluationError(f"{name} and {main} are not on the same rows: their labels differ")
