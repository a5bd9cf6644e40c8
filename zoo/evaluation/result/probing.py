"""The block of a result that tells how heads on frozen features were fitted, and what more images would bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zoo.evaluation.result.numbers import Count, Estimate


@dataclass(frozen=True)
class CrossValidation:
    """Cross-validation by patient over all images of the table, also those of the test part.

    The AUC compares images of the same fold only, since the logits of different models are not on one scale (Forman and
    Scholz 2010). In each fold the strength of the penalty was chosen without the fold.

    Attributes:
        folds: Number of folds.
        n: Number of images.
        patients: Number of patients.
        findings: Finding -> AUC with its interval over patients.
        mean: Mean AUC over findings.
    """

    folds: int
    n: int
    patients: int
    findings: Mapping[str, Estimate]
    mean: Estimate


@dataclass(frozen=True)
class LearningPoint:
    """Mean AUC over findings of heads that were fitted on a number of patients.

    Attributes:
        patients: Number of patients in training.
        auc: Mean AUC on images of other patients, averaged over random subsets.
    """

    patients: int
    auc: Estimate


@dataclass(frozen=True)
class Gain:
    """How many more patients a gain in mean AUC needs, by the fitted power law; None if beyond the horizon.

    Attributes:
        gain: Gain in mean AUC.
        patients: Additional patients.
        low: Lower limit of the interval.
        high: Upper limit of the interval.
    """

    gain: float
    patients: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True)
class LearningCurve:
    """How the mean AUC grows with the number of patients, from cross-validation on random subsets of patients.

    The power law is 1 - AUC = floor + scale * patients ** -exponent, with the exponent between 0.1 and 1.

    Attributes:
        findings: The findings that are averaged: those with both classes in every subset.
        folds: Number of folds.
        repeats: Number of random subsets of each size, in each fold.
        points: The curve, by increasing number of patients.
        floor: Error that no number of patients would undercut.
        scale: See above.
        exponent: See above.
        doubling: Gain in mean AUC if there were twice as many patients.
        gains: Additional patients for some gains.
        horizon: Largest number of patients that the power law is used for: four times as many as there are.
    """

    findings: tuple[str, ...]
    folds: int
    repeats: int
    points: tuple[LearningPoint, ...]
    floor: float
    scale: float
    exponent: float
    doubling: Estimate
    gains: tuple[Gain, ...]
    horizon: int


@dataclass(frozen=True)
class ClassCounts:
    """Images with a known label of one finding in the training part.

    Attributes:
        positives: Number of positive labels.
        negatives: Number of negative labels.
    """

    positives: int
    negatives: int


@dataclass(frozen=True)
class OwnHeads:
    """How well the probed model does with the heads that it was released with, by the evaluation in its release.

    Attributes:
        name: Name of the model.
        data: Name of the data set; "" if none is stated.
        split: Part of the split.
        images: Number of images.
        patients: Number of patients.
        patients_known: False if each image counts as a separate patient.
        fine_tuned: Whether the weights below the heads were trained too; False if the heads are those of a probe.
        same_images: Whether these are the images of the probe's test part: the split has the same hash.
        findings: Finding -> AUC; findings without an AUC are left out.
        mean: Mean AUC over these findings.
    """

    name: str
    data: str
    split: str
    images: Count
    patients: Count
    patients_known: bool
    fine_tuned: bool
    same_images: bool
    findings: Mapping[str, Estimate]
    mean: Estimate


@dataclass(frozen=True)
class Probe:
    """How the heads were fitted.

    Attributes:
        features: Name of the model whose frozen features were used.
        members: Member -> inverse strength C of the L2 penalty, chosen by cross-validation within the training part.
        folds: Number of folds.
        balanced: Whether both classes of a finding had the same total weight.
        training: Finding -> labels in the training part.
        untrained: Finding -> reason why no head was fitted.
        cross_validation: Result over all images; None if it was not asked for.
        learning_curve: None if there are too few patients for one.
        notes: Sentences for the reader of the report.
        own: Evaluation of the model's own heads; None if its release has none.
    """

    features: str
    members: Mapping[str, float]
    folds: int
    balanced: bool
    training: Mapping[str, ClassCounts]
    untrained: Mapping[str, str]
    cross_validation: CrossValidation | None = None
    learning_curve: LearningCurve | None = None
    notes: tuple[str, ...] = ()
    own: OwnHeads | None = None
