"""What is evaluated or fitted on: one model's predictions with their labels, split and patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from zoo.core.errors import EvaluationError, SplitError, UnknownNameError
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.inputs import check_probabilities
from zoo.labels.parts import PARTS


@dataclass(frozen=True, eq=False)
class Scores:
    """One model's predictions on one part of a split.

    Attributes:
        logits: (n, k) finite numbers, kept as float64. Other people's probabilities enter by `from_probabilities`.
        labels: (n, k) of 1, 0 and NaN (unknown), kept as float32.
        findings: The k column names.
        split: "train", "validation" or "test". Temperature and thresholds are fitted on "validation" alone.
        split_hash: Hash of the split's manifest, kept with what is fitted.
        patients: (n,) identifiers, kept as strings, whose rows are resampled together, or None (each row by itself).
        kind: "scores" for numbers of unknown scale, which rank but are no logits: AUC, but neither probabilities
            nor thresholds.

    Raises:
        ValueError: Shapes that do not fit, a NaN prediction or a label other than 0/1/NaN (naming row and finding).
    """

    logits: np.ndarray
    labels: np.ndarray
    findings: tuple[str, ...]
    split: str
    split_hash: str = ""
    patients: np.ndarray | None = None
    kind: Literal["logits", "scores"] = "logits"

    def __post_init__(self) -> None:
        object.__setattr__(self, "logits", np.asarray(self.logits, np.float64))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.float32))
        object.__setattr__(self, "findings", tuple(self.findings))
        if self.patients is not None:
            object.__setattr__(self, "patients", np.asarray(self.patients).astype(str))
        self._check_names()
        self._check_arrays()

    @classmethod
    def from_probabilities(cls, values: np.ndarray, labels: np.ndarray, findings: Sequence[str], **rest: Any) -> Scores:
        """Scores from probabilities (n, k): their log-odds are the logits, 0 and 1 taken as the nearest float64.

        Raises:
            ValueError: A value outside 0..1 (are these logits?), named by row and finding.
        """
        given = np.asarray(values, np.float64)
        _check_matrix(given, tuple(findings))
        _check_finite(given, tuple(findings))
        check_probabilities(given, findings)
        p = np.clip(given, np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0))
        return cls(np.log(p) - np.log1p(-p), labels, tuple(findings), **rest)

    @property
    def probabilities(self) -> np.ndarray:
        """(n, k) float64 in 0..1, uncalibrated."""
        return self.calibrated(None)

    def calibrated(self, decision: Decision | None) -> np.ndarray:
        """(n, k) float64 probabilities under a decision's temperature.

        Raises:
            ValueError: These are scores of unknown scale, or the decision is for other findings.
        """
        if self.kind == "scores":
            raise EvaluationError(
                "scores of unknown scale rank, but are no probabilities: give logits or probabilities"
            )
        if decision is not None and decision.findings != self.findings:
            raise EvaluationError(f"the decision is for {decision.findings}, the scores are for {self.findings}")
        return probabilities(self.logits, decision)

    @property
    def clusters(self) -> np.ndarray:
        """(n,) int64 number of each row's patient, from 0; each row its own where patients are not known."""
        if self.patients is None:
            return np.arange(len(self.logits))
        return np.unique(self.patients, return_inverse=True)[1].reshape(-1)

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Known labels and positives of each finding: two int64 (k,)."""
        return known_counts(self.labels)

    def subset(self, rows: np.ndarray | slice | None = None, findings: Sequence[str] | None = None) -> Scores:
        """The given rows (positions or mask) and findings (by name, in that order); all of them by default."""
        rows = slice(None) if rows is None else rows
        names = self.findings if findings is None else tuple(findings)
        for name in names:
            if name not in self.findings:
                raise UnknownNameError("finding", name, self.findings)
        columns = [self.findings.index(name) for name in names]
        patients = None if self.patients is None else self.patients[rows]
        logits, labels = self.logits[rows][:, columns], self.labels[rows][:, columns]
        return replace(self, logits=logits, labels=labels, findings=names, patients=patients)

    def patients_share(self, share: float, seed: int = 0) -> np.ndarray:
        """Bool (n,): the rows of a random share of the patients, all of a patient's or none; rounded to one or more.

        Raises:
            ValueError: The share is not between 0 and 1, or there is one patient alone.
        """
        clusters = self.clusters
        count = int(clusters.max()) + 1
        if not 0 < share < 1 or count < 2:
            raise EvaluationError(f"a share of patients lies between 0 and 1 and leaves others, got {share} of {count}")
        drawn = min(max(round(share * count), 1), count - 1)
        return np.isin(clusters, np.random.default_rng(seed).permutation(count)[:drawn])

    def check_fittable(self, what: str) -> None:
        """Raises unless `what` may be fitted on these.

        Raises:
            SplitError: They are not of the validation part.
            ValueError: They are scores of unknown scale.
        """
        if self.split != "validation":
            raise SplitError(
                f"{what} must be fitted on the validation part of a split, these scores are of {self.split!r}"
            )
        if self.kind == "scores":
            raise EvaluationError(f"{what} cannot be fitted on scores of unknown scale: give logits or probabilities")

    def _check_names(self) -> None:
        if self.split not in PARTS:
            raise SplitError(f"split must be one of {', '.join(PARTS)}, got {self.split!r}")
        if self.kind not in ("logits", "scores"):
            raise EvaluationError(
                f"kind must be 'logits' or 'scores', got {self.kind!r}; for probabilities use Scores.from_probabilities"
            )
        if len(set(self.findings)) != len(self.findings):
            raise EvaluationError(f"findings must be different names, got {self.findings}")

    def _check_arrays(self) -> None:
        _check_matrix(self.logits, self.findings)
        if self.labels.shape != self.logits.shape:
            raise EvaluationError(f"labels {self.labels.shape} and predictions {self.logits.shape} must have one shape")
        if self.patients is not None and self.patients.shape != (len(self.logits),):
            raise EvaluationError(f"patients must be ({len(self.logits)},), one a row, got {self.patients.shape}")
        _check_finite(self.logits, self.findings)
        wrong = ~((self.labels == 0) | (self.labels == 1) | np.isnan(self.labels))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = self.labels[row, column]
            raise EvaluationError(
                f"label {value:g} in row {row} of {self.findings[column]!r} must be 0, 1 or NaN (unknown)"
            )


def _check_matrix(values: np.ndarray, findings: tuple[str, ...]) -> None:
    if values.ndim != 2 or values.shape[1] != len(findings) or not values.size:
        raise EvaluationError(f"predictions must be (rows, {len(findings)}) with at least one row, got {values.shape}")


def _check_finite(values: np.ndarray, findings: tuple[str, ...]) -> None:
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise EvaluationError(f"prediction {values[row, column]} in row {row} of {findings[column]!r} is not finite")
