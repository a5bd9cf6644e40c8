"""Operating points: named thresholds with their origin, fitted on the validation part only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from zoo.core.errors import EvaluationError, UnknownNameError
from zoo.evaluation.calibration.fitting import Method, calibration_origin, fit_calibration
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.evaluation.reached import reached
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import Cuts, cuts

#: A threshold and the value of its measure, or two None.
Choice = tuple[float | None, float | None]


@dataclass(frozen=True)
class PointSpec:
    """How an operating point is fitted.

    Attributes:
        recipe: A name of `RECIPES`.
        target: The value to reach, in (0, 1], for the `_at_least` recipes; None for the others.

    >>> PointSpec("sensitivity_at_least", 0.95).target
    0.95
    """

    recipe: str
    target: float | None = None


#: The operating points of a decision by default.
DEFAULT_POINTS: Mapping[str, PointSpec] = {
    "max_f1_sweep": PointSpec("max_f1_sweep"),
    "max_f1": PointSpec("max_f1"),
    "youden": PointSpec("youden"),
    "sensitivity_90": PointSpec("sensitivity_at_least", 0.9),
    "specificity_90": PointSpec("specificity_at_least", 0.9),
    "ppv_80": PointSpec("ppv_at_least", 0.8),
}

#: The measures stored for every point, and the additional measure of recipes that optimise another one.
_KEPT, _OWN = ("sensitivity", "specificity", "ppv"), {"max_f1_sweep": "f1", "max_f1": "f1", "youden": "youden"}


def fit_decision(
    scores: Scores,
    *,
    calibration: Method | Literal["auto"] | Sequence[Method] = "temperature",
    points: Mapping[str, PointSpec] = DEFAULT_POINTS,
    default: str = "max_f1_sweep",
    trained: Sequence[bool] = (),
    date: str | None = None,
) -> Decision:
    """Fits calibration and operating points of one model in one call.

    Args:
        scores: Logits and labels of the validation part.
        calibration: Method, or methods to choose from, as in `fit_calibration`. Exports support only `TEMPERATURES`.
        points: Name -> how the point is fitted, on the calibrated probabilities.
        default: Name of the operating point that is used when none is named.
        trained: Which findings had positives in training; all by default. The others get no threshold, even if the
            validation part has labels of them, since their output is meaningless.
        date: ISO date stored with the fit; today by default.

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or something cannot be fitted as asked.

    >>> labels = np.array([[1], [1], [0], [0]] * 20)
    >>> logits = np.array([[2.0], [1.0], [-1.0], [-2.0]] * 20)
    >>> decision = fit_decision(Scores(logits, labels, ("Edema",), "validation"), calibration="none")
    >>> decision.point("max_f1").achieved
    (1.0,)
    """
    scores.check_fittable("a decision")
    date = date or _today()
    scores = _trained_only(scores, trained)
    fitted = fit_calibration(scores, calibration)
    calibrated = Decision(scores.findings, fitted.temperature, calibrator=fitted.calibrator)
    return Decision(
        scores.findings,
        fitted.temperature,
        fit_points(scores, points, decision=calibrated, date=date),
        default,
        tuple(bool(t) for t in trained),
        None if calibration == "none" else calibration_origin(fitted, scores, date),
        fitted.calibrator,
        tta=scores.tta,
    )


def fit_point(
    scores: Scores,
    recipe: str = "max_f1_sweep",
    *,
    target: float | None = None,
    decision: Decision | None = None,
    date: str | None = None,
) -> OperatingPoint:
    """Fits one operating point; errors are those of `fit_points`.

    Args:
        scores: Logits and labels of the validation part.
        recipe: A name of `RECIPES`.
        target: The value that an `_at_least` recipe must reach, in (0, 1].
        decision: Calibration of the probabilities that the thresholds apply to; uncalibrated by default.
        date: ISO date stored with the fit; today by default.

    >>> labels = np.array([[1], [1], [0], [0]])
    >>> scores = Scores(np.array([[2.0], [1.0], [-1.0], [-2.0]]), labels, ("Edema",), "validation")
    >>> fit_point(scores, "max_f1").achieved
    (1.0,)
    """
    return fit_points(scores, {"point": PointSpec(recipe, target)}, decision=decision, date=date)["point"]


def fit_points(
    scores: Scores,
    points: Mapping[str, PointSpec] = DEFAULT_POINTS,
    *,
    decision: Decision | None = None,
    date: str | None = None,
) -> dict[str, OperatingPoint]:
    """Fits several operating points, each with one threshold for every finding.

    A threshold is None if a class of the finding is missing or the target cannot be reached. Each finding is sorted
    once for all points.

    Args:
        scores: Logits and labels of the validation part.
        points: Name -> how the point is fitted.
        decision: Calibration of the probabilities that the thresholds apply to; uncalibrated by default.
        date: ISO date stored with the fit; today by default.

    Raises:
        SplitError: The scores are not of the validation part.
        UnknownNameError: There is no such recipe.
        ValueError: The scores are of unknown scale, a target is missing, outside (0, 1], or given to a recipe that
            takes none.

    >>> labels = np.array([[1], [1], [0], [0]])
    >>> scores = Scores(np.array([[2.0], [1.0], [-1.0], [-2.0]]), labels, ("Edema",), "validation")
    >>> points = fit_points(scores, {"sensitive": PointSpec("sensitivity_at_least", 0.9)})
    >>> points["sensitive"].thresholds
    (0.5,)
    """
    scores.check_fittable("thresholds")
    for spec in points.values():
        _check_recipe(spec.recipe, spec.target)
    probabilities = scores.calibrated(decision)
    n, positives = scores.counts
    choices: dict[str, list[Choice]] = {name: [] for name in points}
    for j in range(len(scores.findings)):
        found = cuts(scores.labels[:, j], probabilities[:, j]) if 0 < positives[j] < n[j] else None
        for name, spec in points.items():
            choices[name].append(RECIPES[spec.recipe](found, spec.target or 0.0) if found else (None, None))
    measured = reached(scores, probabilities, [[t for t, _ in choices[name]] for name in points])
    prevalence = tuple(float(p / count) if count else None for p, count in zip(positives, n, strict=True))
    fitted = {}
    for (name, spec), measures in zip(points.items(), measured, strict=True):
        thresholds, achieved = zip(*choices[name], strict=True)
        kept = {measure: measures[measure] for measure in (*_KEPT, *filter(None, [_OWN.get(spec.recipe)]))}
        origin = _origin(scores, spec, choices[name], date or _today())
        fitted[name] = OperatingPoint(thresholds, origin, achieved, kept, prevalence)
    return fitted


def _origin(scores: Scores, spec: PointSpec, choices: Sequence[Choice], date: str) -> Origin:
    n, positives = (tuple(int(c) for c in counts) for counts in scores.counts)
    notes = []
    for j, (finding, (threshold, achieved)) in enumerate(zip(scores.findings, choices, strict=True)):
        if not 0 < positives[j] < n[j]:
            notes.append(f"{finding}: {positives[j]} positives of {n[j]} known labels, threshold null")
        elif threshold is None:
            notes.append(f"{finding}: {spec.recipe} {spec.target} is out of reach, threshold null")
        elif achieved == 0:
            notes.append(f"{finding}: no threshold from 0.05 to 0.95 finds a positive, F1 is 0: take max_f1")
    return Origin(spec.recipe, scores.split, scores.split_hash, n, positives, spec.target, date, tuple(notes))


def _trained_only(scores: Scores, trained: Sequence[bool]) -> Scores:
    """The scores with the labels of untrained findings set to unknown, so that nothing is fitted to them."""
    if len(trained) == 0:
        return scores
    if len(trained) != len(scores.findings):
        raise EvaluationError(f"trained must have {len(scores.findings)} entries, one a finding, got {len(trained)}")
    return replace(scores, labels=np.where(np.asarray(trained, bool), scores.labels, np.nan))


def _check_recipe(recipe: str, target: float | None) -> None:
    if recipe not in RECIPES:
        raise UnknownNameError("threshold recipe", recipe, RECIPES)
    takes_target = recipe.endswith("_at_least")
    if not takes_target and target is not None:
        raise EvaluationError(f"recipe {recipe!r} takes no target, got {target}")
    if takes_target and (target is None or not 0 < target <= 1):
        raise EvaluationError(f"recipe {recipe!r} needs a target in (0, 1], got {target}")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _max_f1_sweep(found: Cuts, _: float) -> Choice:
    """Best F1 over the thresholds 0.05, 0.06, ... 0.95; the lowest threshold in case of ties."""
    grid = np.arange(5, 96) / 100
    reached = len(found.values) - np.searchsorted(found.values[::-1], grid.astype(np.float32), side="left")
    f1 = np.where(reached > 0, found.counts.f1[reached - 1], 0.0)
    best = int(np.argmax(f1))
    return float(grid[best]), float(f1[best])


def _max_f1(found: Cuts, _: float) -> Choice:
    return _best(found, found.counts.f1, np.ones_like(found.tp, bool))


def _youden(found: Cuts, _: float) -> Choice:
    """Largest sensitivity + specificity - 1 (Youden 1950)."""
    return _best(found, found.counts.sensitivity + found.counts.specificity - 1, np.ones_like(found.tp, bool))


def _sensitivity_at_least(found: Cuts, target: float) -> Choice:
    """The strictest cut that is sensitive enough, which has the highest specificity."""
    enough = found.counts.sensitivity >= target
    cut = int(np.argmax(enough))
    return found.threshold(cut), float(found.counts.sensitivity[cut])


def _specificity_at_least(found: Cuts, target: float) -> Choice:
    """The most sensitive cut that is specific enough."""
    return _best(found, found.counts.sensitivity, found.counts.specificity >= target, found.counts.specificity)


def _ppv_at_least(found: Cuts, target: float) -> Choice:
    """The most sensitive cut with enough PPV (at the validation part's prevalence)."""
    return _best(found, found.counts.sensitivity, found.counts.ppv >= target, found.counts.ppv)


def _best(found: Cuts, measure: np.ndarray, allowed: np.ndarray, report: np.ndarray | None = None) -> Choice:
    """The allowed cut with the largest measure, the strictest one in case of ties; None if no allowed cut has a TP."""
    allowed = allowed & (found.tp > 0)
    if not allowed.any():
        return None, None
    cut = int(np.argmax(np.where(allowed, measure, -np.inf)))
    return found.threshold(cut), float((measure if report is None else report)[cut])


#: Recipe -> function of (cuts, target) that returns a threshold and the value of its measure.
RECIPES: Mapping[str, Callable[[Cuts, float], Choice]] = {
    "max_f1_sweep": _max_f1_sweep,
    "max_f1": _max_f1,
    "youden": _youden,
    "sensitivity_at_least": _sensitivity_at_least,
    "specificity_at_least": _specificity_at_least,
    "ppv_at_least": _ppv_at_least,
}
