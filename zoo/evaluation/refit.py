"""Fits a decision on the user's own validation data, with guaranteed operating points if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.evaluation.calibration.fitting import Method
from zoo.evaluation.conformal import Abstention, control_abstention
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision

#: Endings of the recipes of the two guaranteed points between which a model abstains, now and in older files.
_ENDINGS = ("guaranteed", "promised")


@dataclass(frozen=True)
class Fit:
    """What `refit` fits.

    Attributes:
        calibration: Calibration method as in `fit_calibration`; "auto" chooses by cross-validated log loss and may
            choose "none".
        guarantee: Sensitivity and specificity that two additional operating points guarantee on new patients, or None.
        confidence: Confidence of each guarantee.

    >>> Fit(guarantee=0.9).confidence
    0.95
    """

    calibration: Method | Literal["auto"] = "auto"
    guarantee: float | None = None
    confidence: float = 0.95


def refit(scores: Scores, fit: Fit, *, trained: Sequence[bool] = ()) -> Decision:
    """Fits calibration and operating points on the user's validation data.

    Args:
        scores: Logits and labels of the validation part.
        fit: What to fit.
        trained: Which findings the model learned; all by default. The others get no threshold.

    Returns:
        A decision with the default operating points. With a guarantee of 0.9 it also has the points
        `sensitivity_90_guaranteed` and `specificity_90_guaranteed`.

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or cannot be fitted as asked.

    >>> import numpy as np
    >>> labels = np.array([[1], [0]] * 40)
    >>> scores = Scores(np.where(labels, 2.0, -2.0), labels, ("Edema",), "validation")
    >>> "sensitivity_90_guaranteed" in refit(scores, Fit("none", guarantee=0.9)).operating_points
    True
    """
    decision = fit_decision(scores, calibration=fit.calibration, trained=trained)
    if fit.guarantee is None:
        return decision
    abstention = control_abstention(scores, fit.guarantee, fit.guarantee, fit.confidence, decision=decision)
    share = f"{100 * fit.guarantee:g}"
    points = {f"sensitivity_{share}_guaranteed": abstention.low, f"specificity_{share}_guaranteed": abstention.high}
    return replace(decision, operating_points={**decision.operating_points, **points})


def abstention_of(decision: Decision) -> Abstention | None:
    """The two guaranteed points of a decision as an `Abstention`; None if the decision does not have both.

    >>> abstention_of(Decision(("Edema",))) is None
    True
    """
    points = {point.origin.recipe: point for point in decision.operating_points.values()}
    for ending in _ENDINGS:
        low, high = points.get(f"sensitivity_{ending}"), points.get(f"specificity_{ending}")
        if low is not None and high is not None:
            return Abstention(low, high)
    return None
