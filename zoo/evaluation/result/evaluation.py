"""The result of an evaluation: the contents of `metrics.json`, whose schema is generated from these types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS, Positive
from zoo.evaluation.decision import Origin
from zoo.evaluation.result.checks import (
    Coherence,
    Comparison,
    Coverage,
    ErrorFacts,
    LeftOut,
    Readers,
    Reordering,
    SameImages,
    SeenImages,
    SharedNames,
    TargetPrevalence,
)
from zoo.evaluation.result.curves import Cooccurrence, Curves
from zoo.evaluation.result.groups import Subgroups
from zoo.evaluation.result.members import Members
from zoo.evaluation.result.numbers import HALF, Estimate, Estimates, Measure, Resampling
from zoo.evaluation.result.probing import Probe
from zoo.labels.parts import PARTS, WHOLE, spoken_part

_Images = Annotated[int, Keywords(minimum=1)]
_Row = Annotated[Estimates, Keywords(required=["auc"])]
_ByFinding = Annotated[Mapping[str, _Row], Keywords(minProperties=1, maxProperties=MAX_FINDINGS)]


@dataclass(frozen=True)
class ModelNumbers:
    """Numbers of one model, or of the difference between two.

    Attributes:
        findings: Finding -> its numbers.
        micro: Numbers of the labels of all findings pooled; empty for scores of unknown scale.
        macro: Means over findings.
        weighted: Means over findings, weighted by positives.
    """

    # Empty where only the means are kept, as in the facts of a card.
    findings: Annotated[Mapping[str, _Row], Keywords(maxProperties=MAX_FINDINGS)]
    micro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    macro: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})
    weighted: Estimates = field(default=Estimates({}), metadata={"empty": "omit"})


@dataclass(frozen=True)
class Point:
    """An operating point.

    Attributes:
        thresholds: Finding -> threshold on calibrated probabilities; None if none could be fitted.
        prevalence: Finding -> prevalence for which PPV and F1 are valid; empty if unknown.
        origin: Data that the thresholds were fitted on.
    """

    thresholds: Mapping[str, Annotated[float | None, Keywords(minimum=0, maximum=1)]]
    prevalence: Mapping[str, float | None]
    origin: Origin


@dataclass(frozen=True)
class Change:
    """A measure before and after calibration, and the paired difference (after minus before)."""

    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Calibration:
    """Effect of calibration.

    Attributes:
        method: Method of the fit.
        split: Part of the split used for the fit.
        notes: Notes on the fit.
        shifted: Whether probabilities were then adjusted to a target prevalence.
        findings: Finding -> log_loss, brier and ece -> change.
        micro: Changes for the labels of all findings pooled.
        macro: Changes of the means over findings.
        weighted: Changes of the means weighted by positives.
    """

    method: str
    split: str
    notes: tuple[str, ...]
    shifted: bool
    findings: Mapping[str, Mapping[Measure, Change]]
    micro: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})
    macro: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})
    weighted: Mapping[Measure, Change] = field(default_factory=dict, metadata={"empty": "omit"})

    @property
    def how(self) -> str:
        """How the calibration was chosen or fitted, in one sentence."""
        if self.method != "none":
            return f"Method: {self.method}, fitted on the {spoken_part(self.split)}."
        if few := next((note for note in self.notes if note.startswith("none, without a choice")), ""):
            return f"Calibration: {few}."
        return f"Calibration: none; in cross-validation on the {spoken_part(self.split)} no method was better."


@dataclass(frozen=True)
class EnsembleOf:
    """Models whose average was evaluated.

    Attributes:
        how: What was averaged: "logits", "probabilities" or "ranks".
        members: Names of the models.
    """

    how: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """metrics.json: every number of an evaluation.

    Evaluation of one model on one part of a split, with other models for comparison; a missing block is None, and the
    file an empty object if nothing was evaluated. A measure at an operating point is called <measure>@<point>, as in
    f1@max_f1; at a threshold of 0.5 it is <measure>@half.

    Attributes:
        model: Name of the reported model.
        split: Part of the split; "all" for a table that was evaluated as a whole. Older files call the validation part
            "tune".
        split_hash: Hash of the split's manifest; "" if there is none.
        n: Number of images.
        patients: Number of patients.
        patients_known: False if each image counts as a separate patient.
        interval: Method of the confidence intervals.
        temperature: Temperature of the probabilities: one number, or one per finding.
        default_point: Name of the default operating point; None without a decision.
        points: Operating points by name.
        findings: Finding -> numbers of the reported model.
        micro: Numbers of the labels of all findings pooled; empty for scores of unknown scale.
        macro: Means over findings.
        weighted: Means over findings, weighted by positives.
        models: Other model -> its numbers.
        differences: Other model -> reported model minus other model, paired.
        calibration: Effect of calibration.
        curves: Curves for drawing.
        cooccurrence: Co-occurrence of findings.
        kinds: Model -> kind of its predictions; only for an evaluation of prediction files.
        ensemble: Models whose average is the reported model.
        comparison: Pairwise comparison of models.
        readers: Readers compared with the models.
        projection: Finding -> effect of making the probabilities coherent.
        notes: Sentences on omitted and joined rows; None for a model that was evaluated on images.
        subgroups: Numbers by subgroup.
        coherence: Contradictions between findings.
        abstention: Finding -> effect of abstaining between guaranteed thresholds.
        prevalence: Finding -> target prevalence.
        leakage: Data compared, such as patients -> overlap of the evaluated images with training.
        trained_on: Images that the model was trained on; None if its release does not record them.
        left_out: Images of the table that could not be evaluated; None if there were none.
        mistakes: Most confident errors.
        probe: How heads on frozen features were fitted; None for a model that was trained as a whole.
        members: The members of a trained ensemble, and what other weights would give.
    """

    model: str
    split: Annotated[str, Keywords(enum=[*PARTS, WHOLE, "tune"])]
    split_hash: str
    n: _Images
    patients: _Images
    patients_known: bool
    interval: Resampling
    temperature: Annotated[tuple[Positive, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)]
    default_point: str | None
    points: Mapping[str, Point]
    findings: _ByFinding
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
    trained_on: SeenImages | None = None
    left_out: LeftOut | None = None
    mistakes: tuple[ErrorFacts, ...] | None = None
    probe: Probe | None = None
    members: Members | None = None

    @property
    def numbers(self) -> ModelNumbers:
        """Returns the numbers of the reported model in the form used for the other models."""
        return ModelNumbers(self.findings, self.micro, self.macro, self.weighted)

    @property
    def point(self) -> str:
        """Name of the default operating point; "half" (threshold 0.5) without a decision."""
        return self.default_point or HALF

    @property
    def thresholds(self) -> Mapping[str, float | None]:
        """Finding -> threshold at the default operating point."""
        if self.point in self.points:
            return self.points[self.point].thresholds
        return dict.fromkeys(self.findings, 0.5)
