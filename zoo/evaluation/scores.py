"""One model's predictions with their labels, split and patients: the input of evaluation and fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from zoo.config.tta import TtaSpec
from zoo.core.counting import counted
from zoo.core.errors import EvaluationError, SplitError, UnknownNameError
from zoo.core.seeds import check_seed
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.inputs import check_probabilities
from zoo.labels.parts import FITTABLE, OUT_OF_FOLD, PARTS


@dataclass(frozen=True, eq=False)
class Scores:
    """One model's predictions on one part of a split.

    Attributes:
        logits: (n, k) finite numbers, stored as float64. Use `from_probabilities` for probabilities.
        labels: (n, k) of 1, 0 and NaN (unknown), stored as float32.
        findings: The k column names.
        split: "train", "validation", "test" or "out-of-fold": predictions of images by a model that was trained without
            their patients. Calibration and thresholds are only fitted on "validation" and "out-of-fold".
        split_hash: Hash of the split's manifest, stored with everything that is fitted.
        patients: (n,) patient identifiers, stored as text; rows of one patient are resampled together. None treats each
            row as a patient of its own.
        kind: "scores" for numbers of unknown scale. They rank images, so they have an AUC, but no probabilities and no
            thresholds.
        tta: The views that the logits were averaged over, or None; a decision that is fitted on them requires it.

    Raises:
        ValueError: Shapes that do not match, a prediction that is not finite, or a label other than 0, 1 and NaN; the
            message names row and finding.

    >>> scores = Scores(np.array([[0.0], [3.0]]), np.array([[0], [1]]), ("Edema",), "test")
    >>> scores.probabilities.round(2).tolist(), scores.subset(slice(1)).logits.tolist()
    ([[0.5], [0.95]], [[0.0]])
    """

    logits: np.ndarray
    labels: np.ndarray
    findings: tuple[str, ...]
    split: str
    split_hash: str = ""
    patients: np.ndarray | None = None
    kind: Literal["logits", "scores"] = "logits"
    tta: TtaSpec | None = None

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
        """Makes scores from probabilities; their log-odds become the logits.

        Args:
            values: (n, k) in 0..1; exactly 0 and 1 are replaced by the nearest float64 that has finite log-odds.
            labels: (n, k) of 1, 0 and NaN (unknown).
            findings: The k column names.
            **rest: The other fields, such as `split`.

        Raises:
            ValueError: A value outside 0..1 (a logit, perhaps); the message names row and finding.

        >>> Scores.from_probabilities([[0.5]], [[1]], ["Edema"], split="test").logits.tolist()
        [[0.0]]
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
        """(n, k) float64 probabilities, calibrated by a decision (uncalibrated for None).

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
        """(n,) int64 number of each row's patient, from 0; the row number if patients are unknown."""
        if self.patients is None:
            return np.arange(len(self.logits))
        return np.unique(self.patients, return_inverse=True)[1].reshape(-1)

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of known labels and of positives of each finding: two int64 arrays (k,)."""
        return known_counts(self.labels)

    def subset(self, rows: np.ndarray | slice | None = None, findings: Sequence[str] | None = None) -> Scores:
        """Selects rows (by position or mask) and findings (by name, in the given order); all of them by default."""
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
        """Selects a random share of the patients: bool (n,), True for all rows of a selected patient.

        At least one patient is selected, and at least one is not.

        Raises:
            ValueError: The share is not between 0 and 1, or there is only one patient.
        """
        clusters = self.clusters
        count = int(clusters.max()) + 1
        if not 0 < share < 1 or count < 2:
            raise EvaluationError(
                f"a share of the patients is more than 0 and less than 1, and leaves some for either part; got {share} "
                f"of {counted(count, 'patient')}"
            )
        drawn = min(max(round(share * count), 1), count - 1)
        return np.isin(clusters, np.random.default_rng(check_seed(seed)).permutation(count)[:drawn])

    def check_fittable(self, what: str) -> None:
        """Refuses scores on which `what` must not be fitted.

        Raises:
            SplitError: The scores are neither of the validation part nor out-of-fold.
            ValueError: They are of unknown scale.
        """
        if self.split not in FITTABLE:
            raise SplitError(
                f"{what} must be fitted on the validation part of a split or on out-of-fold predictions, these scores "
                f"are of {self.split!r}"
            )
        if self.kind == "scores":
            raise EvaluationError(f"{what} cannot be fitted on scores of unknown scale: give logits or probabilities")

    def _check_names(self) -> None:
        if self.split not in (*PARTS, OUT_OF_FOLD):
            raise SplitError(f"split must be one of {', '.join((*PARTS, OUT_OF_FOLD))}, got {self.split!r}")
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
