"""A decision of one's own, fitted on one's own validation data, guarantees included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.evaluation.calibration.fitting import Method
from zoo.evaluation.conformal import Abstention, control_abstention
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision

#: Ending of the recipes of the two guaranteed points, between which a model abstains; and what older files call it.
_ENDINGS = ("guaranteed", "promised")


@dataclass(frozen=True)
class Fit:
    """What is fitted.

    Attributes:
        calibration: As `calibration.fit_calibration` takes it; "auto" chooses by cross-validated log loss, and may
            choose "none".
        guarantee: Sensitivity and specificity that two further operating points guarantee on new patients, or None.
        confidence: Confidence of each guarantee.
    """

    calibration: Method | Literal["auto"] = "auto"
    guarantee: float | None = None
    confidence: float = 0.95


def refit(scores: Scores, fit: Fit, *, trained: Sequence[bool] = ()) -> Decision:
    """A decision of these validation data alone: calibration, the usual operating points, and those with a guarantee.

    Args:
        scores: Logits and labels of the validation part.
        fit: What to fit.
        trained: Which findings the model learned; all by default. The others get no threshold.

    Returns:
        With a guarantee of 0.9 it has the points `sensitivity_90_guaranteed` and `specificity_90_guaranteed` as well.

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or something cannot be fitted as asked.
    """
    decision = fit_decision(scores, calibration=fit.calibration, trained=trained)
    if fit.guarantee is None:
        return decision
    abstention = control_abstention(scores, fit.guarantee, fit.guarantee, fit.confidence, decision=decision)
    share = f"{100 * fit.guarantee:g}"
    points = {f"sensitivity_{share}_guaranteed": abstention.low, f"specificity_{share}_guaranteed": abstention.high}
    return replace(decision, operating_points={**decision.operating_points, **points})


def abstention_of(decision: Decision) -> Abstention | None:
    """The two guaranteed points of a decision as one; None where it does not have both."""
    points = {point.origin.recipe: point for point in decision.operating_points.values()}
    for ending in _ENDINGS:
        low, high = points.get(f"sensitivity_{ending}"), points.get(f"specificity_{ending}")
        if low is not None and high is not None:
            return Abstention(low, high)
    return None
