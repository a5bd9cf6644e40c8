"""What test-time augmentation changes: logits averaged over views against those of the image alone, paired."""

from __future__ import annotations

import numpy as np

from zoo.evaluation.calibration.fitting import TEMPERATURES
from zoo.evaluation.decision import Decision, TtaEffect
from zoo.evaluation.measures import measures
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import PointSpec, fit_decision
from zoo.evaluation.uncertainty import uncertainty_of_difference

#: Thresholds affect neither measure.
_NO_MATTER = {"youden": PointSpec("youden")}


def effect_of_tta(averaged: Scores, alone: Scores, decision: Decision) -> TtaEffect:
    """Measures the change of mean log loss and mean AUC, each side with a calibration fitted on these rows.

    Args:
        averaged: Scores of the validation part, averaged over views.
        alone: Scores of the same rows without.
        decision: The decision that was fitted on `averaged`.

    Raises:
        SplitError: The scores are not of the validation part.

    Example:
        >>> labels = np.array([[1], [0]] * 30)
        >>> alone = Scores(np.where(labels, 0.5, -0.5), labels, ("Edema",), "validation")
        >>> effect_of_tta(alone, alone, Decision(("Edema",))).auc
        0.0
    """
    plain = fit_decision(alone, calibration=TEMPERATURES, points=_NO_MATTER, default="youden", trained=decision.trained)
    sides = [(scores, scores.calibrated(own)) for scores, own in ((averaged, decision), (alone, plain))]
    a, b = (measures(*side) for side in sides)
    keys = [("finding", measure) for measure in ("log_loss", "auc")]
    uncertainty = uncertainty_of_difference(sides[0], sides[1], keys)

    def change(measure: str) -> tuple[float | None, float | None, float | None]:
        key = "macro", measure
        limits = uncertainty.mean(measure, np.ones(len(averaged.findings)), 0.95)
        value, below, above = (round(float(v), 6) if np.isfinite(v) else None for v in (a[key] - b[key], *limits))
        return value, below, above

    loss, auc = change("log_loss"), change("auc")
    return TtaEffect(*loss, *auc, len(averaged.labels))


def tta_note(decision: Decision) -> tuple[str, ...]:
    """The sentence of reports and cards on the views of a decision: cost and effect; () without views.

    Example:
        >>> tta_note(Decision(("Edema",)))
        ()
    """
    if decision.tta is None:
        return ()
    said = f"Test-time augmentation: logits are averaged over {decision.tta}; {decision.tta.count} times the work."
    effect = decision.tta_effect
    if effect is None:
        return (f"{said} Its effect was not measured.",)
    loss, auc = (
        "not defined" if value is None else f"{value:+.4f}" + ("" if low is None else f" [{low:+.4f}, {high:+.4f}]")
        for value, low, high in (
            (effect.log_loss, effect.log_loss_low, effect.log_loss_high),
            (effect.auc, effect.auc_low, effect.auc_high),
        )
    )
    return (
        f"{said} On the {effect.n:,} images that the decision was fitted on, it changes the mean log loss by {loss} "
        f"and the mean AUC by {auc} (paired, by patient).",
    )
