"""The parts of a result beside the plain numbers: models compared, readers, coherence, leakage, guarantees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.evaluation.result.numbers import Estimate, Estimates, Resampling


@dataclass(frozen=True)
class Pair:
    """Two models: AUC of the first less that of the second.

    Attributes:
        a: The first model.
        b: The second model.
        findings: Finding -> differences `auc` (bootstrap) and `auc_delong`.
        macro: Difference of the mean: `auc`, and `auc_joint`, whose interval allows for the number of pairs.
        identical: Findings that both predict alike.
    """

    a: str
    b: str
    findings: Mapping[str, Estimates]
    macro: Estimates
    identical: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Each two models compared on the same images.

    Attributes:
        interval: How the intervals were found.
        joint_level: Confidence level of a single joint interval (Bonferroni).
        pairs: Each two models.
        told_apart: (better, worse) where the joint interval excludes 0.
        notes: Sentences for a reader.
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
    """How the readers lie to one model's ROC curve of one finding.

    Attributes:
        under: Readers under the curve.
        on: Readers on it.
        over: Readers over it.
        of: Readers in all.
        shown_under: Readers under it whose margin's interval excludes 0.
        shown_over: Readers over it, likewise.
        margins: Reader -> how far the curve passes above the reader, in sensitivity.
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
    """Readers beside the models.

    Attributes:
        interval: How the margins' intervals were found.
        readers: Reader -> finding -> point; None without both classes among the images read.
        models: Model -> finding -> how the readers lie to its curve.
    """

    interval: Resampling
    readers: Mapping[str, Mapping[str, ReaderPoint | None]]
    models: Mapping[str, Mapping[str, Side]]


@dataclass(frozen=True)
class Contradiction:
    """Share of images that contradict a rule.

    Attributes:
        probability: In their probabilities.
        calls: In their calls.
    """

    probability: Estimate
    calls: Estimate


@dataclass(frozen=True)
class _Below:
    parent: str


@dataclass(frozen=True)
class ChildContradiction(Contradiction, _Below):
    """A finding that is more probable than its parent.

    Attributes:
        parent: The nearest finding above it that is there.
    """


@dataclass(frozen=True)
class Coherence:
    """How often findings contradict each other.

    Attributes:
        children: Finding -> against its parent.
        normal: Finding -> against the finding that says there is no other.
        any: Images with at least one contradiction.
        skipped: Rules that need a finding which is not there, in words.
    """

    children: Mapping[str, ChildContradiction]
    normal: Mapping[str, Contradiction]
    any: Contradiction
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Reordering:
    """What making the probabilities coherent did to one finding; `positives` counts the images that changed.

    Attributes:
        reordered: Share of the pairs of images that changed places.
        mean_change: Mean change of the probability; None without images.
        largest_change: Largest change of the probability, likewise.
    """

    reordered: Estimate
    mean_change: Estimate | None = None
    largest_change: Estimate | None = None


@dataclass(frozen=True)
class Coverage:
    """What abstaining between two guaranteed thresholds comes to, for one finding.

    Attributes:
        decided: Share of the images that are decided.
        sensitivity: Share of the positives that are not called negative.
        specificity: Share of the negatives that are not called positive.
    """

    decided: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class TargetPrevalence:
    """The prevalence that probabilities and thresholds of one finding were adjusted to.

    Attributes:
        calibrated_at: Prevalence of the validation part; None where it is not known.
        moved_to: Target prevalence.
    """

    calibrated_at: float | None
    moved_to: float


@dataclass(frozen=True)
class SharedNames:
    """Patients or file names that the evaluated images share with training.

    Attributes:
        shared: Share of the different names.
        rows: Share of the images concerned.
        unknown: Images without a name, which can be neither shared nor cleared.
        names: The first shared names.
    """

    shared: Estimate
    rows: Estimate
    unknown: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class SamePair:
    """An evaluated image that is a training image too, and which hash found it."""

    evaluated: str
    train: str
    by: str


@dataclass(frozen=True)
class SameImages:
    """Images that occur twice.

    Attributes:
        with_train: Share of the evaluated images that are in training too; None where training was not compared.
        within: Share that repeat another evaluated image.
        not_compared: Images without a hash.
        pairs: The first of `with_train`.
        groups: The first groups of equal images.
    """

    with_train: Estimate | None = field(metadata={"none": "omit"})
    within: Estimate
    not_compared: int
    pairs: tuple[SamePair, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ErrorFacts:
    """One of the most confident errors, without its picture."""

    image: str
    finding: str
    label: int
    probability: float
