"""A decision of one's own, fitted on one's own validation data, promises included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.evaluation.calibration.fitting import Method
from zoo.evaluation.conformal import Abstention, control_abstention
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision

#: Recipes of the two promised points, which together say where a model abstains.
_LOW, _HIGH = "sensitivity_promised", "specificity_promised"


@dataclass(frozen=True)
class Fit:
    """What is fitted.

    Attributes:
        calibration: As `calibration.fit_calibration` takes it; "auto" chooses by cross-validated log loss, and may
            choose "none".
        promise: Sensitivity and specificity that two further operating points promise on new patients, or None.
        confidence: How sure each promise is.
    """

    calibration: Method | Literal["auto"] = "auto"
    promise: float | None = None
    confidence: float = 0.95


def refit(scores: Scores, fit: Fit, *, trained: Sequence[bool] = ()) -> Decision:
    """A decision of these validation data alone: calibration, the usual operating points, and those that promise.

    Args:
        scores: Logits and labels of the validation part.
        fit: What to fit.
        trained: Which findings the model learned; all by default. The others get no threshold.

    Returns:
        With a promise of 0.9 it has the points `sensitivity_90_promised` and `specificity_90_promised` as well.

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or something cannot be fitted as asked.
    """
    decision = fit_decision(scores, calibration=fit.calibration, trained=trained)
    if fit.promise is None:
        return decision
    promised = control_abstention(scores, fit.promise, fit.promise, fit.confidence, decision=decision)
    share = f"{100 * fit.promise:g}"
    points = {f"sensitivity_{share}_promised": promised.low, f"specificity_{share}_promised": promised.high}
    return replace(decision, operating_points={**decision.operating_points, **points})


def abstention_of(decision: Decision) -> Abstention | None:
    """The two promised points of a decision as one; None where it has not both."""
    points = {point.origin.recipe: point for point in decision.operating_points.values()}
    return Abstention(points[_LOW], points[_HIGH]) if {_LOW, _HIGH} <= points.keys() else None
