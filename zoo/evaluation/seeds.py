"""Differences between two ways to train a model, over several seeds of training and the patients of one test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result.numbers import finite
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.evaluation.statistics.spreads import freedom_by, variance_by
from zoo.evaluation.statistics.students import quantile
from zoo.evaluation.uncertainty import contributions

#: Fewest seeds for an interval: of two, the variance tells so little that no limits hold what they say.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class SeedDifference:
    """The mean over seeds of a difference in mean AUC.

    Attributes:
        value: Mean over seeds of the first way's mean AUC over findings minus the second's; None if no finding has both
            a positive and a negative label.
        low: Lower limit of its confidence interval; None with a single patient or fewer than three seeds.
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


def auc_difference(first: Sequence[Scores], second: Sequence[Scores], *, level: float = 0.95) -> SeedDifference:
    """Compares two ways to train by their mean AUC over findings, paired by seed and by patient.

    Seeds and patients are crossed: each seed's model scores the same patients. The variance of the mean difference is
    that of what patients contribute at all seeds alike (see `statistics.influences`), plus that between seeds divided
    by their number, in which is what they contribute at one seed alone. The limits are Student's, with the degrees of
    freedom of Satterthwaite (1946).

    Args:
        first: Scores of the first way, one for each seed, all on the same rows.
        second: Scores of the second way with the same seeds.
        level: Confidence level.

    Raises:
        EvaluationError: No seeds, as many scores of one way as not of the other, or other rows.

    >>> labels = np.array([[1], [0]] * 20)
    >>> good = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> chance = Scores(np.zeros((40, 1)), labels, ("Edema",), "test")
    >>> auc_difference([good, good], [chance, chance]).value
    0.5
    """
    if not first or len(first) != len(second):
        raise EvaluationError(f"as many seeds of both ways, and one or more, got {len(first)} and {len(second)}")
    labels, clusters = first[0].labels, first[0].clusters
    if any(not np.array_equal(scores.labels, labels, equal_nan=True) for scores in (*first, *second)):
        raise EvaluationError("the scores to compare are not on the same rows: their labels differ")
    defined = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    auc = [
        (
            roc_auc(labels, a.logits) - roc_auc(labels, b.logits),
            contributions("auc", labels, a.logits, clusters) - contributions("auc", labels, b.logits, clusters),
        )
        for a, b in zip(first, second, strict=True)
    ]
    each = np.array([mean_over_findings(value)[0] for value, _ in auc])
    shared = np.stack([own[:, defined].sum(axis=1) / max(1, defined.sum()) for _, own in auc], axis=1)
    value, low, high = float(each.mean()), np.nan, np.nan
    patients, seeds = shared.shape
    if patients > 1 and seeds >= FEWEST_SEEDS:
        parts, freedom = _variances(each, shared)
        total = float(parts.sum())
        width = quantile(level, total**2 / float(np.sum(parts**2 / freedom))) * np.sqrt(total) if total > 0 else 0.0
        low, high = value - width, value + width
    return SeedDifference(finite(value), finite(low), finite(high), seeds, patients, tuple(finite(one) for one in each))


def _variances(each: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variance of the mean by patients and by seeds, and the degrees of freedom of both.

    Args:
        each: (s,) difference at each seed.
        shared: (c, s) contributions of the patients.
    """
    seeds = len(each)
    mean = shared.mean(axis=1)
    by_patients, alone = variance_by(mean), float(np.mean([variance_by(own) for own in shared.T]))
    # What is the patients' own at each seed is in the variance between seeds already.
    common = max(0.0, by_patients - max(0.0, alone - by_patients) / (seeds - 1))
    return np.array([common, np.var(each, ddof=1) / seeds]), np.array([freedom_by(mean), seeds - 1.0])
