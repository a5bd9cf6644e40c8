"""Differences between two ways to train a model, over several seeds of training and the patients of one test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result.numbers import finite
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.evaluation.statistics.students import quantile


@dataclass(frozen=True)
class SeedDifference:
    """The mean over seeds of a difference in mean AUC.

    Attributes:
        value: Mean over seeds of the first way's mean AUC over findings minus the second's; None if no finding has both
            a positive and a negative label.
        low: Lower limit of its confidence interval; None with a single patient or seed.
        high: Upper limit.
        seeds: Number of seeds.
        patients: Number of patients.
        each: The difference at each seed.

    >>> SeedDifference(0.01, 0.002, 0.018, 3, 145, (0.01, 0.01, 0.01)).excludes_zero
    True
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int
    patients: int
    each: tuple[float | None, ...]

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and it leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def auc_difference(
    first: Sequence[Scores], second: Sequence[Scores], *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> SeedDifference:
    """Compares two ways to train by their mean AUC over findings, paired by seed and by patient.

    Seeds and patients are crossed: each seed's model scores the same patients. The variance of the mean difference is
    that between resamples of patients, with the seeds as they are, plus that between seeds divided by their number. The
    limits are Student's, with the degrees of freedom of Satterthwaite (1946).

    Args:
        first: Scores of the first way, one for each seed, all on the same rows.
        second: Scores of the second way with the same seeds.
        level: Confidence level.
        resamples: Number of resamples of patients.
        seed: Seed of the resamples.

    Raises:
        EvaluationError: No seeds, as many scores of one way as not of the other, or other rows.

    >>> labels = np.array([[1], [0]] * 20)
    >>> good = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> chance = Scores(np.zeros((40, 1)), labels, ("Edema",), "test")
    >>> auc_difference([good, good], [chance, chance], resamples=50).value
    0.5
    """
    if not first or len(first) != len(second):
        raise EvaluationError(f"as many seeds of both ways, and one or more, got {len(first)} and {len(second)}")
    labels, clusters = first[0].labels, first[0].clusters
    if any(not np.array_equal(scores.labels, labels, equal_nan=True) for scores in (*first, *second)):
        raise EvaluationError("the scores to compare are not on the same rows: their labels differ")
    pairs = [(a.logits, b.logits) for a, b in zip(first, second, strict=True)]
    each = np.array([mean_over_findings(roc_auc(labels, a) - roc_auc(labels, b))[0] for a, b in pairs])

    def differences(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = [roc_auc(labels, a, weights) - roc_auc(labels, b, weights) for a, b in pairs]
        return {"auc": np.mean([mean_over_findings(one)[0] for one in found], axis=0)}

    samples = bootstrap(differences, clusters, resamples=resamples, seed=seed)["auc"]
    patients, seeds = int(clusters.max()) + 1, len(pairs)
    value, low, high = float(each.mean()), np.nan, np.nan
    if patients > 1 and seeds > 1:
        parts = np.array([np.nanvar(samples, ddof=1), np.var(each, ddof=1) / seeds])
        freedom = np.array([patients - 1, seeds - 1])
        total = parts.sum()
        if total > 0:
            spread = quantile(level, float(total**2 / np.sum(parts**2 / freedom))) * float(np.sqrt(total))
            low, high = value - spread, value + spread
        else:
            low = high = value
    return SeedDifference(finite(value), finite(low), finite(high), seeds, patients, tuple(finite(one) for one in each))
