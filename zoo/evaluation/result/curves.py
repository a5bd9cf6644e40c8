"""Curves of a result, thinned for drawing; None means an undefined value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

#: One coordinate of the points of a curve.
Points: TypeAlias = tuple[float | None, ...]

#: k x k counts of images.
Matrix: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Roc:
    """ROC curve: sensitivity against the false positive rate."""

    fpr: Points
    tpr: Points


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision-recall curve: PPV against sensitivity, as a step function."""

    recall: Points
    precision: Points


@dataclass(frozen=True)
class OverThresholds:
    """Measures as functions of the threshold on calibrated probabilities."""

    threshold: Points
    f1: Points
    sensitivity: Points
    specificity: Points
    ppv: Points


@dataclass(frozen=True)
class ReliabilityCurve:
    """Reliability curve: mean probability, frequency with its interval, and number of labels in each bin."""

    predicted: Points
    observed: Points
    low: Points
    high: Points
    n: tuple[int, ...]


@dataclass(frozen=True)
class FindingCurves:
    """Curves of one finding; only the counts if one of the two classes is missing.

    Attributes:
        n: Number of known labels.
        positives: Number of positive labels.
        roc: ROC curve.
        pr: Precision-recall curve.
        thresholds: Measures as functions of the threshold; None for scores of unknown scale.
        reliability: "before" and, if there is a decision, "after" calibration -> reliability curve.
    """

    n: int
    positives: int
    roc: Roc | None = None
    pr: PrecisionRecall | None = None
    thresholds: OverThresholds | None = None
    reliability: Mapping[str, ReliabilityCurve] = field(default_factory=dict, metadata={"empty": "omit"})


@dataclass(frozen=True)
class PooledCurves:
    """Reliability curves of the labels of all findings pooled."""

    reliability: Mapping[str, ReliabilityCurve]


@dataclass(frozen=True)
class Curves:
    """All curves of a result.

    Attributes:
        findings: Finding -> its curves.
        pooled: Curves of the pooled labels; None for scores of unknown scale.
    """

    findings: Mapping[str, FindingCurves]
    pooled: PooledCurves | None = None


@dataclass(frozen=True)
class Counts:
    """Counts of images for each ordered pair of findings, k x k.

    Attributes:
        known: Images in which both findings are known.
        first: Images counted in `known` in which the finding of the row is positive.
        both: Images in which both findings are positive.
    """

    known: Matrix
    first: Matrix
    both: Matrix


@dataclass(frozen=True)
class CallCounts(Counts):
    """Counts of images by the model's calls at an operating point, for each ordered pair of findings.

    Attributes:
        point: Name of the operating point.
    """

    point: str


@dataclass(frozen=True)
class Cooccurrence:
    """Co-occurrence of findings.

    Attributes:
        findings: Names of the k findings.
        labels: Counts by label.
        calls: Counts by the model's calls.
    """

    findings: tuple[str, ...]
    labels: Counts
    calls: CallCounts
