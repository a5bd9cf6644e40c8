"""The result of an evaluation: everything that `metrics.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.evaluation.decision import Origin
from zoo.evaluation.result.checks import (
    Coherence,
    Comparison,
    Coverage,
    ErrorFacts,
    Readers,
    Reordering,
    SameImages,
    SharedNames,
    TargetPrevalence,
)
from zoo.evaluation.result.curves import Cooccurrence, Curves
from zoo.evaluation.result.groups import Subgroups
from zoo.evaluation.result.numbers import HALF, Estimate, Estimates, Measure, Resampling


@dataclass(frozen=True)
class ModelNumbers:
    """The numbers of one model, or of the difference of two.

    Attributes:
        findings: Finding -> its numbers.
        micro: All labels pooled; empty for scores of unknown scale.
        macro: Means over findings.
        weighted: Means weighted by positives.
    """

    findings: Mapping[str, Estimates]
    micro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    macro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    weighted: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})


@dataclass(frozen=True)
class Point:
    """An operating point.

    Attributes:
        thresholds: Finding -> threshold on calibrated probabilities, or None where none could be fitted.
        prevalence: Finding -> prevalence that PPV and F1 hold for; empty where it is not known.
        origin: What the thresholds were fitted on.
    """

    thresholds: Mapping[str, float | None]
    prevalence: Mapping[str, float | None]
    origin: Origin


@dataclass(frozen=True)
class Change:
    """A measure before and after calibration, and the paired difference (after less before)."""

    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Calibration:
    """What calibration changed.

    Attributes:
        method: How it was fitted.
        split: The part it was fitted on.
        notes: Notes of the fit.
        shifted: Whether probabilities were then adjusted to a target prevalence.
        findings: Finding -> log_loss, brier and ece -> change.
        micro: All labels pooled.
        macro: Means over findings.
        weighted: Means weighted by positives.
    """

    method: str
    split: str
    notes: tuple[str, ...]
    shifted: bool
    findings: Mapping[str, Mapping[Measure, Change]]
    micro: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})
    macro: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})
    weighted: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})


@dataclass(frozen=True)
class EnsembleOf:
    """The models that an evaluated mean was made of.

    Attributes:
        how: What was averaged: "logits", "probabilities" or "ranks".
        members: Names of the models.
    """

    how: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """One model evaluated on one part of a split, others beside it. A block that was not evaluated is None.

    Attributes:
        model: The model under report.
        split: The part.
        split_hash: Hash of the split's manifest; "" where it has none.
        n: Images.
        patients: Patients they are of.
        patients_known: False where each image counts as a patient of its own.
        interval: How the intervals were found.
        temperature: Temperature of the probabilities, one or one a finding.
        default_point: Default operating point; None without a decision.
        points: Operating points by name.
        findings: Finding -> numbers of the model under report.
        micro: All labels pooled; empty for scores of unknown scale.
        macro: Means over findings.
        weighted: Means weighted by positives.
        models: The other models.
        differences: Other model -> the model under report less that one, paired.
        calibration: What calibration changed.
        curves: Curves for drawing.
        cooccurrence: Findings that occur together.
        kinds: Model -> what its predictions are; files of predictions alone have it.
        ensemble: What the model under report is the mean of.
        comparison: Each two models compared.
        readers: Readers beside the models.
        projection: Finding -> what making the probabilities coherent did.
        notes: Sentences on what was left out or joined; None for a model that was evaluated on images.
        subgroups: Numbers by subgroup.
        coherence: Findings that contradict each other.
        abstention: Finding -> what abstaining between guaranteed thresholds comes to.
        prevalence: Finding -> target prevalence.
        leakage: What was compared -> what the evaluated images share with training.
        mistakes: The most confident errors.
    """

    model: str
    split: str
    split_hash: str
    n: int
    patients: int
    patients_known: bool
    interval: Resampling
    temperature: tuple[float, ...]
    default_point: str | None
    points: Mapping[str, Point]
    findings: Mapping[str, Estimates]
    micro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    macro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    weighted: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    models: Mapping[str, ModelNumbers] = field(default_factory=dict)
    differences: Mapping[str, ModelNumbers] = field(default_factory=dict)
    calibration: Calibration | None = None
    curves: Curves | None = None
    cooccurrence: Cooccurrence | None = None
    kinds: Mapping[str, str] | None = None
    ensemble: EnsembleOf | None = None
    comparison: Comparison | None = None
    readers: Readers | None = None
    projection: Mapping[str, Reordering] | None = None
    notes: tuple[str, ...] | None = None
    subgroups: Subgroups | None = None
    coherence: Coherence | None = None
    abstention: Mapping[str, Coverage] | None = None
    prevalence: Mapping[str, TargetPrevalence] | None = None
    leakage: Mapping[str, SharedNames | SameImages] | None = None
    mistakes: tuple[ErrorFacts, ...] | None = None

    @property
    def numbers(self) -> ModelNumbers:
        """The numbers of the model under report, in the form of the others'."""
        return ModelNumbers(self.findings, self.micro, self.macro, self.weighted)

    @property
    def point(self) -> str:
        """The default operating point; "half" (0.5) without a decision."""
        return self.default_point or HALF

    @property
    def thresholds(self) -> Mapping[str, float | None]:
        """Finding -> threshold of the default operating point."""
        if self.point in self.points:
            return self.points[self.point].thresholds
        return dict.fromkeys(self.findings, 0.5)
