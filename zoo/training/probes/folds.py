"""Cross-validation by patient: the folds, the strength of the penalty for all findings, predictions out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import TrainingError
from zoo.core.progress import Progress
from zoo.data.stratify import stratify_patients
from zoo.evaluation.statistics.ranking import Ranked
from zoo.training.probes.linear import Linear, Prepared

#: Inverse strengths of the penalty (C of scikit-learn) that are compared, on standardised features.
STRENGTHS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0)


def make_folds(labels: np.ndarray, patients: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assigns whole patients to folds, so that positives and negatives of every finding spread over all of them.

    Args:
        labels: (n, findings) of 1, 0 and NaN.
        patients: (n,) patient of each row.
        folds: Number of folds.
        seed: Seed of the assignment.

    Returns:
        int64 (n,): fold of each row.

    Raises:
        TrainingError: There are fewer patients than folds.

    >>> fold = make_folds(np.array([[1], [0]] * 6), np.repeat(np.arange(6), 2), 3, seed=0)
    >>> np.bincount(fold).tolist()
    [4, 4, 4]
    """
    names, group = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    if folds < 2 or len(names) < folds:
        raise TrainingError(
            f"{folds} folds need at least 2 folds and {counted(folds, 'patient')}, got {counted(len(names), 'patient')}"
        )
    return stratify_patients(labels, group, (1 / folds,) * folds, seed)


def not_fittable(labels: np.ndarray, patients: np.ndarray, folds: int, findings: Sequence[str]) -> dict[str, str]:
    """Returns finding -> the reason why no head can be fitted, for the findings with too few patients of a class.

    Each fold needs a patient of either class, or the findings could not be compared over all folds.

    >>> labels = np.array([[1, np.nan], [0, 0], [1, 0], [0, 0]])
    >>> not_fittable(labels, np.arange(4), 2, ["Edema", "Fracture"])
    {'Fracture': 'no positive label'}
    """
    group = np.unique(np.asarray(patients).astype(str), return_inverse=True)[1]
    reasons = {}
    for finding, column in zip(findings, labels.T, strict=True):
        for truth, word in ((1, "positive"), (0, "negative")):
            have = len(np.unique(group[column == truth]))
            if have < folds and finding not in reasons:
                few = f"{counted(have, 'patient')} with a {word} label, {folds} folds need {folds}"
                reasons[finding] = few if have else f"no {word} label"
    return reasons


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Logits of every row by models that were fitted without the row's fold.

    Attributes:
        logits: float64 (strengths, n, findings).
        strengths: The inverse strengths of the penalty.
        labels: (n, findings) of 1, 0 and NaN.
        fold: int (n,), fold of each row.
    """

    logits: np.ndarray
    strengths: tuple[float, ...]
    labels: np.ndarray
    fold: np.ndarray

    def best(self, rows: np.ndarray | None = None) -> int:
        """Returns the index of the strength with the highest mean AUC over findings on some rows (all by default).

        Of equally good ones, the strongest penalty is taken.
        """
        rows = np.ones(len(self.labels), bool) if rows is None else rows
        return int(np.argmax([mean_auc(self.labels[rows], logits[rows]) for logits in self.logits]))

    def nested(self) -> tuple[np.ndarray, tuple[float, ...]]:
        """Returns float64 logits (n, findings) and the strength for each fold, chosen without that fold's rows."""
        numbers = np.unique(self.fold)
        chosen = [self.best(self.fold != number) for number in numbers]
        logits = np.empty(self.logits.shape[1:])
        for number, best in zip(numbers, chosen, strict=True):
            logits[self.fold == number] = self.logits[best][self.fold == number]
        return logits, tuple(self.strengths[best] for best in chosen)


def cross_fit(
    features: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    progress: Progress,
    strengths: Sequence[float] = STRENGTHS,
    *,
    balanced: bool = False,
    what: str = "cross-validating",
) -> CrossFit:
    """Fits the heads without each fold in turn, at every strength, and predicts the fold.

    Args:
        features: float (n, features).
        labels: (n, findings) of 1, 0 and NaN.
        fold: int (n,), fold of each row.
        progress: Receives the progress after each fold.
        strengths: Inverse strengths of the penalty, smallest first.
        balanced: Whether both classes get the same total weight.
        what: Name of the task.
    """
    numbers = np.unique(fold)
    logits = np.empty((len(strengths), *labels.shape))
    with progress.task(what, len(numbers)) as advance:
        for number in numbers:
            held = fold == number
            fitted = Prepared(features[~held]).fit(labels[~held], strengths, balanced=balanced)
            for i, linear in enumerate(fitted):
                logits[i, held] = linear.logits(features[held])
            advance()
    return CrossFit(logits, tuple(strengths), labels, fold)


def mean_auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """Returns the mean AUC over the findings that have both classes; NaN if there is none.

    >>> mean_auc(np.array([[1, 1], [0, np.nan]]), np.array([[0.2, 0.0], [0.1, 0.0]]))
    1.0
    """
    ones = np.ones((len(labels), 1), np.float32)
    found = [
        float(Ranked.of(truth, score).areas(ones, ("auc",))["auc"][0])
        for truth, score in zip(labels.T, logits.T, strict=True)
        if (truth == 1).any() and (truth == 0).any()
    ]
    return float(np.mean(found)) if found else float("nan")


def fit_heads(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    fold: np.ndarray,
    progress: Progress,
    *,
    balanced: bool = False,
) -> tuple[dict[str, Linear], dict[str, float]]:
    """Fits the heads of each member on all rows, with the strength that cross-validation over the folds chooses.

    Args:
        features: Member -> float (n, features).
        labels: (n, findings) of 1, 0 and NaN.
        fold: int (n,), fold of each row.
        progress: Receives the progress.
        balanced: Whether both classes get the same total weight.

    Returns:
        Member -> its heads, and member -> the strength.
    """
    heads, strengths = {}, {}
    for member, own in features.items():
        crossed = cross_fit(own, labels, fold, progress, balanced=balanced, what=f"choosing the penalty of {member}")
        strengths[member] = crossed.strengths[crossed.best()]
        heads[member] = Prepared(own).fit(labels, [strengths[member]], balanced=balanced)[0]
    return heads, strengths
