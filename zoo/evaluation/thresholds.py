"""Operating points: thresholds with a name and an origin, fitted on the tuning part alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from zoo.errors import UnknownNameError
from zoo.evaluation.calibration import fit_temperature, temperature_origin
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.evaluation.scores import Scores


@dataclass(frozen=True)
class PointSpec:
    """How an operating point is fitted: a recipe of `RECIPES`, and what it has to reach (for the `_at_least` ones)."""

    recipe: str
    target: float | None = None


#: The operating points a decision carries unless told otherwise.
DEFAULT_POINTS: Mapping[str, PointSpec] = {
    "max_f1_sweep": PointSpec("max_f1_sweep"),
    "max_f1": PointSpec("max_f1"),
    "youden": PointSpec("youden"),
    "sensitivity_90": PointSpec("sensitivity_at_least", 0.9),
    "specificity_90": PointSpec("specificity_at_least", 0.9),
    "ppv_80": PointSpec("ppv_at_least", 0.8),
}


def fit_decision(
    scores: Scores,
    *,
    temperature: Literal["none", "global", "finding"] = "global",
    points: Mapping[str, PointSpec] = DEFAULT_POINTS,
    default: str = "max_f1_sweep",
    trained: Sequence[bool] = (),
    date: str | None = None,
) -> Decision:
    """Temperature and operating points for one model, or again for one's own data, in one call.

    Args:
        scores: Logits and labels of the tuning part.
        temperature: No scaling, one for all findings, or one a finding.
        points: Name -> how it is fitted, on the calibrated probabilities.
        default: The point used when none is named.
        trained: Which findings had positives in training; all by default. The others get no threshold, whatever the
            tuning part holds, since their output means nothing.
        date: ISO date kept with the fit; today's by default.

    Raises:
        SplitError: The scores are not of the tuning part.
        ValueError: They are scores of unknown scale, or a point cannot be fitted as asked.
    """
    scores.check_fittable("a decision")
    date = date or _today()
    scores = _trained_only(scores, trained)
    scale: tuple[float, ...] = (1.0,)
    origin = None
    if temperature != "none":
        calibration = fit_temperature(scores, temperature)
        scale, origin = calibration.temperature, temperature_origin(calibration, scores, date)
    fitted = {
        name: fit_point(scores, spec.recipe, target=spec.target, temperature=scale, date=date)
        for name, spec in points.items()
    }
    return Decision(scores.findings, scale, fitted, default, tuple(bool(t) for t in trained), origin)


def fit_point(
    scores: Scores,
    recipe: str = "max_f1_sweep",
    *,
    target: float | None = None,
    temperature: Sequence[float] = (1.0,),
    date: str | None = None,
) -> OperatingPoint:
    """One threshold a finding by one of `RECIPES`; None for a finding without both classes, or a target out of reach.

    Args:
        scores: Logits and labels of the tuning part.
        recipe: A name of `RECIPES`.
        target: What an `_at_least` recipe has to reach, in (0, 1].
        temperature: One number, or one a finding; the thresholds hold for probabilities under it.
        date: ISO date kept with the fit; today's by default.

    Raises:
        SplitError: The scores are not of the tuning part.
        UnknownNameError: No such recipe.
        ValueError: A target where none is used, none where one is needed, or one outside (0, 1].
    """
    scores.check_fittable("thresholds")
    _check_recipe(recipe, target)
    probabilities = scores.calibrated(Decision(scores.findings, tuple(temperature)))
    n, positives = (tuple(int(c) for c in counts) for counts in scores.counts)
    choices: list[_Choice] = []
    notes: list[str] = []
    for j, finding in enumerate(scores.findings):
        if not 0 < positives[j] < n[j]:
            choices.append((None, None))
            notes.append(f"{finding}: {positives[j]} positives of {n[j]} known labels, threshold null")
            continue
        choices.append(RECIPES[recipe](cuts(scores.labels[:, j], probabilities[:, j]), target or 0.0))
        if choices[-1][0] is None:
            notes.append(f"{finding}: {recipe} {target} is out of reach, threshold null")
    thresholds, achieved = zip(*choices, strict=True)
    origin = Origin(recipe, scores.split, scores.split_hash, n, positives, target, date or _today(), tuple(notes))
    return OperatingPoint(thresholds, origin, achieved)


@dataclass(frozen=True)
class Cuts:
    """Every different way to cut one finding's probabilities, strictest first.

    Attributes:
        values: (c,) float32, the different probabilities, falling; a cut calls these and all above.
        tp: (c,) positives called at each.
        fp: (c,) negatives called at each.
        positives: Positives in all.
        negatives: Negatives in all.
    """

    values: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    positives: int
    negatives: int

    @property
    def f1(self) -> np.ndarray:
        """F1 at each cut."""
        return 2 * self.tp / (self.tp + self.fp + self.positives)

    @property
    def sensitivity(self) -> np.ndarray:
        """Sensitivity at each cut; never falls along them."""
        return self.tp / self.positives

    @property
    def specificity(self) -> np.ndarray:
        """Specificity at each cut; never grows along them."""
        return 1 - self.fp / self.negatives

    @property
    def ppv(self) -> np.ndarray:
        """PPV at each cut."""
        return self.tp / (self.tp + self.fp)

    def threshold(self, cut: int) -> float:
        """Halfway to the next lower probability, so that a last-bit difference between backends changes no call."""
        upper = self.values[cut]
        lower = self.values[cut + 1] if cut + 1 < len(self.values) else upper
        middle = (upper + lower) / np.float32(2)
        # Between neighbouring float32 numbers the middle rounds to one of them, and must not admit the lower.
        chosen = middle if middle > lower else upper
        return float(str(chosen))  # the shortest decimal that reads back as the same float32


def cuts(labels: np.ndarray, probabilities: np.ndarray) -> Cuts:
    """All cuts of one finding: labels (n,) of 1, 0, NaN with both classes; probabilities (n,), taken as float32."""
    known = ~np.isnan(labels)
    p = probabilities[known].astype(np.float32)
    order = np.argsort(-p, kind="stable")
    values, truth = p[order], labels[known][order] == 1
    last_of_equals = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    tp = np.cumsum(truth)[last_of_equals]
    return Cuts(values[last_of_equals], tp, last_of_equals + 1 - tp, int(truth.sum()), int((~truth).sum()))


#: Threshold and what it reaches, or two None.
_Choice = tuple[float | None, float | None]


def _max_f1_sweep(found: Cuts, _: float) -> _Choice:
    """Best F1 of the thresholds 0.05, 0.06, ... 0.95; the lowest of equals, as a sweep that keeps the first best."""
    grid = np.arange(5, 96) / 100
    reached = len(found.values) - np.searchsorted(found.values[::-1], grid.astype(np.float32), side="left")
    f1 = np.where(reached > 0, found.f1[reached - 1], 0.0)
    best = int(np.argmax(f1))
    return float(grid[best]), float(f1[best])


def _max_f1(found: Cuts, _: float) -> _Choice:
    return _best(found, found.f1, np.ones_like(found.tp, bool))


def _youden(found: Cuts, _: float) -> _Choice:
    """Largest sensitivity + specificity - 1 (Youden 1950)."""
    return _best(found, found.sensitivity + found.specificity - 1, np.ones_like(found.tp, bool))


def _sensitivity_at_least(found: Cuts, target: float) -> _Choice:
    """The strictest cut that is sensitive enough; its specificity is the highest there is."""
    enough = found.sensitivity >= target
    cut = int(np.argmax(enough))
    return found.threshold(cut), float(found.sensitivity[cut])


def _specificity_at_least(found: Cuts, target: float) -> _Choice:
    """The most sensitive cut that is specific enough."""
    return _best(found, found.sensitivity, found.specificity >= target, found.specificity)


def _ppv_at_least(found: Cuts, target: float) -> _Choice:
    """The most sensitive cut with enough PPV (at the tuning part's prevalence)."""
    return _best(found, found.sensitivity, found.ppv >= target, found.ppv)


def _best(found: Cuts, measure: np.ndarray, allowed: np.ndarray, report: np.ndarray | None = None) -> _Choice:
    """The allowed cut with the largest measure, the strictest of equals; None where no allowed cut finds a positive."""
    allowed = allowed & (found.tp > 0)
    if not allowed.any():
        return None, None
    cut = int(np.argmax(np.where(allowed, measure, -np.inf)))
    return found.threshold(cut), float((measure if report is None else report)[cut])


#: Recipe -> (cuts, target) -> threshold and what it reaches.
RECIPES: Mapping[str, Callable[[Cuts, float], _Choice]] = {
    "max_f1_sweep": _max_f1_sweep,
    "max_f1": _max_f1,
    "youden": _youden,
    "sensitivity_at_least": _sensitivity_at_least,
    "specificity_at_least": _specificity_at_least,
    "ppv_at_least": _ppv_at_least,
}


def _trained_only(scores: Scores, trained: Sequence[bool]) -> Scores:
    """The scores with the labels of untrained findings taken for unknown, so that nothing is fitted to them."""
    if len(trained) == 0:
        return scores
    if len(trained) != len(scores.findings):
        raise ValueError(f"trained must have {len(scores.findings)} entries, one a finding, got {len(trained)}")
    return replace(scores, labels=np.where(np.asarray(trained, bool), scores.labels, np.nan))


def _check_recipe(recipe: str, target: float | None) -> None:
    if recipe not in RECIPES:
        raise UnknownNameError("threshold recipe", recipe, RECIPES)
    takes_target = recipe.endswith("_at_least")
    if not takes_target and target is not None:
        raise ValueError(f"recipe {recipe!r} takes no target, got {target}")
    if takes_target and (target is None or not 0 < target <= 1):
        raise ValueError(f"recipe {recipe!r} needs a target in (0, 1], got {target}")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
