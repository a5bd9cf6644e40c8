"""The curves of a result, thinned for drawing; None stands for an undefined value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

#: One coordinate of a curve's points.
Points: TypeAlias = tuple[float | None, ...]

#: k x k counts.
Matrix: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Roc:
    """Sensitivity over the false positive rate."""

    fpr: Points
    tpr: Points


@dataclass(frozen=True)
class PrecisionRecall:
    """PPV over sensitivity, in steps."""

    recall: Points
    precision: Points


@dataclass(frozen=True)
class OverThresholds:
    """Measures over the threshold on calibrated probabilities."""

    threshold: Points
    f1: Points
    sensitivity: Points
    specificity: Points
    ppv: Points


@dataclass(frozen=True)
class ReliabilityCurve:
    """One entry a bin: mean probability, frequency with its interval, and labels in the bin."""

    predicted: Points
    observed: Points
    low: Points
    high: Points
    n: tuple[int, ...]


@dataclass(frozen=True)
class FindingCurves:
    """The curves of one finding; without both classes its counts alone.

    Attributes:
        n: Known labels.
        positives: Positives among them.
        roc: ROC curve.
        pr: Precision-recall curve.
        thresholds: Measures over the threshold; None for scores of unknown scale.
        reliability: "before" and, with a decision, "after" calibration -> reliability curve.
    """

    n: int
    positives: int
    roc: Roc | None = None
    pr: PrecisionRecall | None = None
    thresholds: OverThresholds | None = None
    reliability: Mapping[str, ReliabilityCurve] = field(default_factory=dict, metadata={"empty": "omit"})


@dataclass(frozen=True)
class PooledCurves:
    """The reliability curves of all labels together."""

    reliability: Mapping[str, ReliabilityCurve]


@dataclass(frozen=True)
class Curves:
    """All curves.

    Attributes:
        findings: Finding -> its curves.
        pooled: All labels together; None for scores of unknown scale.
    """

    findings: Mapping[str, FindingCurves]
    pooled: PooledCurves | None = None


@dataclass(frozen=True)
class Counts:
    """k x k counts of images for each two findings.

    Attributes:
        known: Both findings are known.
        first: The row's finding is positive as well.
        both: Both are positive.
    """

    known: Matrix
    first: Matrix
    both: Matrix


@dataclass(frozen=True)
class CallCounts(Counts):
    """The same for calls at an operating point.

    Attributes:
        point: The operating point.
    """

    point: str


@dataclass(frozen=True)
class Cooccurrence:
    """Which findings occur together.

    Attributes:
        findings: The k names.
        labels: In the labels.
        calls: In the model's calls.
    """

    findings: tuple[str, ...]
    labels: Counts
    calls: CallCounts
