"""Fits a calibration: temperature (Guo et al. 2017), Platt scaling or isotonic regression, and chooses among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import EvaluationError
from zoo.evaluation import metrics
from zoo.evaluation.calibration import fits, hierarchical
from zoo.evaluation.calibration.calibrators import Calibrator, Steps
from zoo.evaluation.decision import Decision, Origin
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import cluster_folds, clustered_mean
from zoo.evaluation.statistics.reliability import calibration_error
from zoo.labels.parts import spoken_part

#: With fewer positives or negatives, a finding gets no Platt scaling and no isotonic steps of its own.
MIN_CLASS = 10

Method = Literal["none", "temperature", "temperature_per_finding", "platt", "isotonic"]

#: Folds of the cross-validation that chooses a method.
FOLDS = 5

#: The methods that fit something, the simpler ones first.
METHODS: tuple[Method, ...] = ("temperature", "temperature_per_finding", "platt", "isotonic")

#: The methods to choose from, including "none" for logits that are already calibrated.
CANDIDATES: tuple[Method, ...] = ("none", *METHODS)

#: The methods whose result every export can hold.
TEMPERATURES: tuple[Method, ...] = ("none", "temperature", "temperature_per_finding")

#: Method -> its name in an `Origin`, where that differs.
_RECIPES = {
    "temperature": "temperature, global",
    "temperature_per_finding": "temperature, per finding, shrunk towards the global one",
}


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration and its effect on the part it was fitted on.

    Attributes:
        method: The method.
        temperature: One number, or one for each finding.
        calibrator: Applied after the temperature, for "platt" and "isotonic"; otherwise None.
        nll: Mean negative log likelihood in nats over the known labels, before and after calibration.
        brier: Mean squared difference of probability and label over the known labels, before and after.
        ece: Mean over findings of `calibration_error`, before and after.
        notes: Findings without a fit of their own, parameters at a bound, and the reason of the choice; one sentence
            each.

    >>> Calibration("none", (1.0,), None, (0.4, 0.4), (0.1, 0.1), (0.02, 0.02)).temperature
    (1.0,)
    """

    method: str
    temperature: tuple[float, ...]
    calibrator: Calibrator | None
    nll: tuple[float, float]
    brier: tuple[float, float]
    ece: tuple[float, float]
    notes: tuple[str, ...] = ()


def fit_calibration(scores: Scores, method: Method | Literal["auto"] | Sequence[Method] = "temperature") -> Calibration:
    """Fits one calibration method on the validation part.

    Each fit is the exact minimum of the log loss over known labels; one temperature per finding is shrunk towards the
    global one (`hierarchical`). With fewer than `MIN_CLASS` positives or negatives, a finding gets the global
    temperature in place of Platt scaling or isotonic steps. No method reverses the order of two images with respect to
    a finding, so the AUC does not change, except slightly for isotonic steps, which make ties.

    Args:
        scores: Logits and labels of the validation part.
        method: "none", "temperature" (one for all findings), "temperature_per_finding", "platt", "isotonic", "auto"
            for the method that `choose` selects, which may be "none", or the methods among which `choose` selects. It
            is "none", with a note, if there are too few patients or labels to choose.

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or there is no such method.

    >>> labels = np.tile([1, 1, 1, 0, 0, 0, 0, 1], 20)[:, None]  # three of four are right: log-odds of log 3
    >>> logits = np.tile([3.0, 3, 3, -3, -3, -3, 3, -3], 20)[:, None]
    >>> fitted = fit_calibration(Scores(logits, labels, ("Edema",), "validation"))
    >>> round(float(fitted.temperature[0] * np.log(3)), 6)
    3.0
    """
    scores.check_fittable("calibration")
    methods: Sequence[Method]
    if method == "auto":
        methods = CANDIDATES
    elif not isinstance(method, str):
        methods = method
    else:
        if method not in CANDIDATES:
            raise EvaluationError(f"calibration must be 'auto', {', '.join(map(repr, CANDIDATES))}, got {method!r}")
        return _assessed(scores, method, [])
    if few := _too_few_to_choose(scores):
        return _assessed(scores, "none", [f"none, without a choice: {few}"])
    choice = choose(scores, methods)
    return _assessed(scores, choice.method, [choice.note])


def calibration_origin(calibration: Calibration, scores: Scores, date: str) -> Origin:
    """The origin of a calibration, as stored in a `Decision`.

    >>> fitted = Calibration("temperature", (1.5,), None, (0.4, 0.3), (0.1, 0.1), (0.05, 0.02))
    >>> scores = Scores(np.array([[0.0]]), np.array([[1]]), ("Edema",), "validation")
    >>> calibration_origin(fitted, scores, "2026-01-01").recipe
    'temperature, global'
    """
    n, positives = (tuple(int(c) for c in counts) for counts in scores.counts)
    recipe = _RECIPES.get(calibration.method, calibration.method)
    return Origin(recipe, scores.split, scores.split_hash, n, positives, date=date, notes=calibration.notes)


@dataclass(frozen=True)
class Choice:
    """The calibration method that cross-validation selects.

    Attributes:
        method: The simplest method within one standard error of the best, unless a simpler method has a lower loss.
        losses: Method -> mean log loss in nats on labels that it was not fitted to; always includes "none".
        behind: Method -> difference of its loss to the best method's, and the standard error of this difference.
        split: Part that it was chosen on.

    >>> Choice("none", {"none": 0.4}, {"none": (0.0, 0.0)}).note.split(" chosen")[0]
    'none'
    """

    method: Method
    losses: Mapping[str, float]
    behind: Mapping[str, tuple[float, float]]
    split: str = "validation"

    @property
    def note(self) -> str:
        """The choice and its reason in one sentence."""
        losses = ", ".join(f"{name} {loss:.5f}" for name, loss in self.losses.items())
        return (
            f"{self.method} chosen by cross-validated log loss on the {spoken_part(self.split)} ({losses}): "
            "the simplest within one standard error of the best"
        )


def choose(scores: Scores, methods: Sequence[Method] = CANDIDATES, *, folds: int = FOLDS, seed: int = 0) -> Choice:
    """Selects a calibration method by cross-validated log loss on the validation part; patients stay together.

    The simplest method is selected whose loss is within one standard error of the best (Breiman et al. 1984) and not
    higher than that of any simpler method. The standard error is that of the difference to the best method, over the
    same labels, clustered by patient. So "none" is selected for calibrated logits, and a method that increases the loss
    is never selected.

    Args:
        scores: Logits and labels of the validation part.
        methods: The methods to compare, simplest first.
        folds: Number of folds.
        seed: Seed of the random folds.

    Raises:
        SplitError: The scores are not of the validation part.
        EvaluationError: They are scores of unknown scale, no label is known, or there are fewer patients than folds.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((800, 1)) < 0.3
    >>> calibrated = 2 * (rng.normal(size=(800, 1)) + 2 * labels) - 2 + np.log(0.3 / 0.7)
    >>> choose(Scores(calibrated, labels, ("Edema",), "validation")).method
    'none'
    >>> choose(Scores(3 * calibrated, labels, ("Edema",), "validation")).method
    'temperature'
    """
    scores.check_fittable("calibration")
    clusters = scores.clusters
    if folds < 2 or clusters.max() + 1 < folds:
        raise EvaluationError(f"cross-validation needs 2 folds or more and a patient for each, got {folds} folds")
    if not scores.counts[0].any():
        raise EvaluationError("a calibration method is chosen on known labels, there are none in the validation part")
    fold_of = cluster_folds(clusters, folds, seed)
    losses = {"none": _losses(scores, Decision(scores.findings))}
    losses |= {method: _cross_validated(scores, method, fold_of) for method in methods if method != "none"}
    means = {name: float(np.nanmean(loss)) for name, loss in losses.items()}
    best = min(methods, key=lambda name: means[name])
    behind: dict[str, tuple[float, float]] = {
        method: clustered_mean(losses[method] - losses[best], clusters) for method in methods
    }
    simplest = next(
        method
        for place, method in enumerate(methods)
        if behind[method][0] <= behind[method][1] and means[method] <= min(means[m] for m in methods[: place + 1])
    )
    return Choice(simplest, means, behind, scores.split)


def _too_few_to_choose(scores: Scores) -> str:
    patients = int(scores.clusters.max()) + 1 if len(scores.labels) else 0
    if patients < FOLDS:
        return f"{counted(patients, 'patient')} for a cross-validation in {FOLDS} folds"
    return "" if scores.counts[0].any() else "no label is known"


def _cross_validated(scores: Scores, method: Method, fold_of: np.ndarray) -> np.ndarray:
    """(n, k) log loss of each label under the calibration fitted on the other folds."""
    losses = np.empty(scores.labels.shape)
    for fold in np.unique(fold_of):
        temperature, calibrator, _ = _fit(scores.subset(fold_of != fold), method)
        decision = Decision(scores.findings, temperature, calibrator=calibrator)
        losses[fold_of == fold] = _losses(scores.subset(fold_of == fold), decision)
    return losses


def _losses(scores: Scores, decision: Decision) -> np.ndarray:
    """(n, k) log loss of each label."""
    return fits.losses(decision.log_odds(scores.logits), scores.labels)


def _assessed(scores: Scores, method: Method, notes: list[str]) -> Calibration:
    temperature, calibrator, fitting_notes = _fit(scores, method)
    decisions = Decision(scores.findings), Decision(scores.findings, temperature, calibrator=calibrator)
    nll, brier, ece = [], [], []
    for decision in decisions:
        nll.append(float(np.nanmean(_losses(scores, decision))) if scores.counts[0].any() else math.nan)
        p = scores.calibrated(decision)
        brier.append(float(metrics.brier(scores.labels.reshape(-1), p.reshape(-1))[0]))
        errors = calibration_error(scores.labels, p)
        ece.append(float(np.nanmean(errors)) if not np.isnan(errors).all() else math.nan)
    notes = [*notes, *fitting_notes]
    return Calibration(
        method, temperature, calibrator, (nll[0], nll[1]), (brier[0], brier[1]), (ece[0], ece[1]), tuple(notes)
    )


def _fit(scores: Scores, method: Method) -> tuple[tuple[float, ...], Calibrator | None, list[str]]:
    """Temperature, calibrator and notes of one method."""
    if method == "none":
        return (1.0,), None, []
    n, positives = scores.counts
    both = (positives > 0) & (n > positives)
    if not both.any():
        return (1.0,), None, ["no finding has both classes: temperature 1, not fitted"]
    known = ~np.isnan(scores.labels) & both
    shared, note = fits.temperature(scores.logits[known], scores.labels[known].astype(np.float64))
    notes = [f"all findings: {note}"] if note else []
    if method == "temperature":
        return (shared,), None, notes
    if method == "temperature_per_finding":
        labels = np.where(both, scores.labels, np.nan)
        temperatures, spread = hierarchical.temperatures(scores.logits, labels, scores.clusters, shared)
        varied = f"the inverse temperatures of the findings vary around it with a standard deviation of {spread:.3f}"
        told = varied if spread else "the findings differ no more than chance explains, and all take it"
        return temperatures, None, [*notes, f"global temperature {shared:.3f}: {told}"]
    # A finding without a fit of its own keeps the global temperature and has no further calibration.
    k = len(scores.findings)
    slopes, intercepts, steps = [1.0] * k, [0.0] * k, [Steps()] * k
    for j, finding in enumerate(scores.findings):
        if min(positives[j], n[j] - positives[j]) < MIN_CLASS:
            notes.append(f"{finding}: {positives[j]} positives of {n[j]}, takes the global temperature")
            continue
        z, y = scores.logits[known[:, j], j], scores.labels[known[:, j], j].astype(np.float64)
        note = ""
        if method == "platt":
            slopes[j], intercepts[j], note = fits.platt(z / shared, y)
        else:
            steps[j] = fits.isotonic(z / shared, y)
        notes += [f"{finding}: {note}"] if note else []
    if method == "platt":
        return (shared,), Calibrator("platt", tuple(slopes), tuple(intercepts)), notes
    return (shared,), Calibrator("isotonic", steps=tuple(steps)), notes
