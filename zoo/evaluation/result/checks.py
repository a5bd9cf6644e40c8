"""Blocks of a result: comparison of models, readers, coherence, abstention, leakage and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.evaluation.result.numbers import Estimate, Estimates, Resampling


@dataclass(frozen=True)
class Pair:
    """AUC of one model minus AUC of another.

    Attributes:
        a: The first model.
        b: The second model.
        findings: Finding -> differences `auc`.
        macro: Difference of the mean AUC: `auc`, and `auc_joint`, whose interval is adjusted for the number of pairs.
        identical: Findings for which both models give the same predictions.
    """

    a: str
    b: str
    findings: Mapping[str, Estimates]
    macro: Estimates
    identical: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Pairwise comparison of models on the same images.

    Attributes:
        interval: How the intervals were found.
        joint_level: Confidence level of a single joint interval (Bonferroni).
        pairs: One entry per pair of models.
        told_apart: (better, worse) model names of the pairs whose joint interval excludes 0.
        notes: Sentences for the reader of the report.
    """

    interval: Resampling
    joint_level: float
    pairs: tuple[Pair, ...]
    told_apart: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReaderPoint:
    """A reader's point in the ROC plane, for one finding."""

    false_positive_rate: Estimate
    sensitivity: Estimate


@dataclass(frozen=True)
class Side:
    """Positions of the readers relative to the ROC curve of one model and finding.

    Attributes:
        under: Number of readers below the curve.
        on: Number of readers on the curve.
        over: Number of readers above the curve.
        of: Number of readers.
        shown_under: Number of readers below the curve whose margin has an interval that excludes 0.
        shown_over: Number of readers above the curve whose margin has an interval that excludes 0.
        margins: Reader -> sensitivity of the curve minus sensitivity of the reader at the reader's false positive rate.
    """

    under: int
    on: int
    over: int
    of: int
    shown_under: int
    shown_over: int
    margins: Mapping[str, Estimate]


@dataclass(frozen=True)
class Readers:
    """Readers compared with the models.

    Attributes:
        interval: How the margins' intervals were found.
        readers: Reader -> finding -> point in the ROC plane; None unless the images read include both classes.
        models: Model -> finding -> positions of the readers relative to the ROC curve.
    """

    interval: Resampling
    readers: Mapping[str, Mapping[str, ReaderPoint | None]]
    models: Mapping[str, Mapping[str, Side]]


@dataclass(frozen=True)
class Contradiction:
    """Share of images whose predictions contradict a rule.

    Attributes:
        probability: Share by probabilities.
        calls: Share by calls at the operating point.
    """

    probability: Estimate
    calls: Estimate


@dataclass(frozen=True)
class _Below:
    parent: str


@dataclass(frozen=True)
class ChildContradiction(Contradiction, _Below):
    """Share of images in which a finding is more probable than its parent.

    Attributes:
        parent: Nearest ancestor of the finding that the model predicts.
    """


@dataclass(frozen=True)
class Coherence:
    """Frequency of contradictions between findings.

    Attributes:
        children: Finding -> contradictions with its parent.
        normal: Finding -> contradictions with the finding that means "no other finding".
        any: Share of images with at least one contradiction.
        skipped: Rules that were not checked because a finding is missing, in words.
    """

    children: Mapping[str, ChildContradiction]
    normal: Mapping[str, Contradiction]
    any: Contradiction
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Reordering:
    """Effect of making the probabilities of one finding coherent; `positives` counts the changed images.

    Attributes:
        reordered: Share of the pairs of images whose order changed.
        mean_change: Mean change of the probability; None without images.
        largest_change: Largest change of the probability; None without images.
    """

    reordered: Estimate
    mean_change: Estimate | None = None
    largest_change: Estimate | None = None


@dataclass(frozen=True)
class Coverage:
    """Effect of abstaining between two guaranteed thresholds, for one finding.

    Attributes:
        decided: Share of the images with a decision.
        sensitivity: Share of the positives that are not called negative.
        specificity: Share of the negatives that are not called positive.
    """

    decided: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class TargetPrevalence:
    """Prevalence that the probabilities and thresholds of one finding were adjusted to.

    Attributes:
        calibrated_at: Prevalence in the validation part; None if unknown.
        moved_to: Target prevalence.
    """

    calibrated_at: float | None
    moved_to: float


@dataclass(frozen=True)
class SharedNames:
    """Patients or file names that the evaluated images share with training.

    Attributes:
        shared: Share of the distinct names that are shared.
        rows: Share of the images with a shared name.
        unknown: Number of images without a name, for which sharing cannot be determined.
        names: First shared names.
    """

    shared: Estimate
    rows: Estimate
    unknown: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class SamePair:
    """An evaluated image that is also a training image, with the hash that matched."""

    evaluated: str
    train: str
    by: str


@dataclass(frozen=True)
class SameImages:
    """Images that occur twice.

    Attributes:
        with_train: Share of the evaluated images that are also in training; None if training was not compared.
        within: Share of the evaluated images that repeat another evaluated image.
        not_compared: Number of images without a hash.
        pairs: First pairs of an evaluated image and an equal training image.
        groups: First groups of equal evaluated images.
    """

    with_train: Estimate | None = field(metadata={"none": "omit"})
    within: Estimate
    not_compared: int
    pairs: tuple[SamePair, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class SeenImages:
    """Evaluated images that the model was trained on, found by the digests of files that its release records.

    A copy that was resized or saved anew, even without loss, is another file and is not found.

    Attributes:
        training: Share of the compared images that are in the training part of the model.
        validation: Share of the compared images that are in its validation part only.
        not_compared: Number of images that could not be read.
    """

    training: Estimate
    validation: Estimate
    not_compared: int


@dataclass(frozen=True)
class Unusable:
    """An image of the table that was left out, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """Images of the table that were left out, since there is no file or it cannot be read.

    Attributes:
        images: Share of the table's images.
        first: The first of them, unreadable ones before missing ones.
    """

    images: Estimate
    first: tuple[Unusable, ...]


@dataclass(frozen=True)
class ErrorFacts:
    """Facts about one of the most confident errors, without the image."""

    image: str
    finding: str
    label: int
    probability: float
