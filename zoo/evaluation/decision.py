"""From logits to calls: calibration, the only sigmoid, thresholds, and what all of these were fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_COUNT, MAX_FINDINGS, Names, Positive, from_dict, to_dict
from zoo.config.tta import TtaSpec
from zoo.core.errors import EvaluationError, RecipeError, ReleaseError, UnknownNameError
from zoo.evaluation.calibration.calibrators import Calibrator, PriorShift
from zoo.evaluation.operating_point import OperatingPoint as OperatingPoint  # also public here
from zoo.evaluation.operating_point import Origin as Origin
from zoo.evaluation.operating_point import Reached as Reached
from zoo.evaluation.statistics.counts import at_least
from zoo.evaluation.studies.rule import StudyRule


def probabilities(logits: np.ndarray, decision: Decision | None = None) -> np.ndarray:
    """Converts logits to probabilities, calibrated by the decision if one is given.

    This is the only sigmoid behind the probabilities that a user sees.

    Args:
        logits: (..., k) floats; the last axis is the findings.
        decision: None for the plain sigmoid.

    Returns:
        The same shape, as float32 (float64 for float64 logits, as in evaluation). Both are computed in float64, so they
        agree to the last bit of float32. NaN stays NaN.

    Raises:
        ValueError: The length of the last axis is not the decision's number of findings.

    >>> probabilities(np.array([[0.0, 2.0]]), Decision(("Edema", "Fracture"), (2.0,))).round(3).tolist()
    [[0.5, 0.731]]
    """
    given = np.asarray(logits)
    z = given.astype(np.float64)
    if decision is not None:
        z = decision.log_odds(z)
    # The exponent is never positive, so nothing overflows.
    small = np.exp(-np.abs(z))
    result = np.where(z >= 0, 1.0, small) / (1.0 + small)
    return result.astype(np.float64 if given.dtype == np.float64 else np.float32)


def positives(probabilities: np.ndarray, decision: Decision, point: str | None = None) -> np.ndarray:
    """Makes the calls at an operating point.

    Args:
        probabilities: (n, k) calibrated probabilities, as returned by `probabilities(logits, decision)`.
        decision: Its thresholds are applied; a probability at or above the threshold is a positive call.
        point: Name of the operating point; the decision's default if None.

    Returns:
        float32 (n, k) of 1, 0 and NaN (no threshold, or an unknown probability: not decided).

    Raises:
        ValueError: The length of the last axis is not the decision's number of findings.
        UnknownNameError: There is no such operating point.

    >>> positives(np.array([[0.5, 0.49]]), Decision(("Edema", "Fracture"))).tolist()
    [[1.0, 0.0]]
    """
    limits = np.asarray(decision.point(point).thresholds, np.float32)
    values = np.asarray(probabilities)
    if values.shape[-1:] != limits.shape:
        raise EvaluationError(f"expected {len(limits)} findings in the last axis, got shape {values.shape}")
    undecided = np.isnan(limits) | np.isnan(values)
    return np.where(undecided, np.nan, at_least(values, limits)).astype(np.float32)


@dataclass(frozen=True)
class TtaEffect:
    """What averaging over views changes on the images that the decision was fitted on, each side calibrated on them.

    The limits are of the paired 95 % interval, clustered by patient (docs/concepts/intervals.md).

    Attributes:
        log_loss: Change of the mean log loss over findings, with views minus without; below 0 is better.
        log_loss_low: Lower limit.
        log_loss_high: Upper limit.
        auc: Change of the mean AUC over findings; above 0 is better.
        auc_low: Lower limit.
        auc_high: Upper limit.
        n: Number of images.

    >>> TtaEffect(-0.002, -0.004, 0.0, 0.003, -0.001, 0.007, n=240).auc
    0.003
    """

    log_loss: float | None
    log_loss_low: float | None
    log_loss_high: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    n: Annotated[int, Keywords(minimum=0, maximum=MAX_COUNT)]


@dataclass(frozen=True)
class Decision:
    """Calibration and operating points of one model. They are valid only together, and only for that model.

    Attributes:
        findings: Names of the outputs, in the model's order.
        temperature: One positive number, or one for each finding; logits are divided by it.
        operating_points: Name -> thresholds. Without any, there is one point "half" with all thresholds at 0.5.
        default: Name of the operating point that is used when none is named.
        trained: False for a finding without positives in training, whose output is meaningless. () means all True.
        temperature_origin: What temperature and calibrator were fitted on, or None.
        calibrator: Platt or isotonic calibration, applied to the log-odds after the temperature, or None.
        prior_shift: Adjustment from the prevalence of the validation part to a target prevalence, or None.
        studies: How the logits of the images of one study are joined, or None if that was not fitted.
        tta: The views whose logits are averaged before calibration (test-time augmentation), or None for the image
            alone. Calibration and thresholds hold for logits averaged in this way only.
        tta_effect: What averaging changed on the validation part, or None if that was not measured.

    Raises:
        ReleaseError: The fields do not fit together, or a number is out of range.

    >>> decision = Decision(("Edema",), temperature=(2.0,))
    >>> decision.point().thresholds, Decision.from_dict(decision.to_dict()) == decision
    ((0.5,), True)
    """

    findings: Names
    temperature: Annotated[tuple[Positive, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)] = (1.0,)
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict)
    default: str = "half"
    trained: Annotated[tuple[bool, ...], Keywords(maxItems=MAX_FINDINGS)] = ()
    temperature_origin: Origin | None = None
    calibrator: Calibrator | None = None
    prior_shift: PriorShift | None = None
    studies: StudyRule | None = None
    tta: TtaSpec | None = None
    tta_effect: TtaEffect | None = None

    @property
    def study_rule(self) -> StudyRule:
        """How the images of a study are joined: as fitted, or by the mean."""
        return self.studies or StudyRule.plain(len(self.findings))

    def __post_init__(self) -> None:
        k = len(self.findings)
        if not self.operating_points:
            half = OperatingPoint((0.5,) * k, Origin("half", notes=("0.5, not fitted on any data",)))
            object.__setattr__(self, "operating_points", {"half": half})
        if not self.trained:
            object.__setattr__(self, "trained", (True,) * k)
        self._check(k)

    @property
    def temperature_alone(self) -> bool:
        """True if the only calibration step is the division by the temperature."""
        return self.calibrator is None and self.prior_shift is None

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Converts logits (..., k) to calibrated log-odds: temperature, then calibrator, then prior shift."""
        if logits.shape[-1:] != (len(self.findings),):
            raise EvaluationError(f"expected {len(self.findings)} findings in the last axis, got shape {logits.shape}")
        z = logits / np.asarray(self.temperature)
        if self.calibrator is not None:
            z = self.calibrator.apply(z)
        return z if self.prior_shift is None else z + self.prior_shift.offset

    def point(self, name: str | None = None) -> OperatingPoint:
        """The operating point called `name`, or the default point.

        Raises:
            UnknownNameError: There is no such operating point.
        """
        name = self.default if name is None else name
        if name not in self.operating_points:
            raise UnknownNameError("operating point", name, self.operating_points)
        return self.operating_points[name]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON-compatible data, which `from_dict` reads."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], findings: Sequence[str] | None = None) -> Decision:
        """Reads a stored decision and refuses unknown or missing fields.

        Args:
            data: The output of `to_dict`.
            findings: If given, the decision must be for these findings in this order.

        Raises:
            ReleaseError: A field is unknown, missing or of the wrong type, a threshold is NaN or outside 0..1, or the
                findings or their order differ from the model's.
        """
        try:
            decision = from_dict(cls, data, "decision", limited=True)
        except RecipeError as error:
            raise ReleaseError(str(error)) from error
        if findings is not None and tuple(findings) != decision.findings:
            raise ReleaseError(_other_findings(decision.findings, tuple(findings)))
        return decision

    def _check(self, k: int) -> None:
        if not k or len(set(self.findings)) != k:
            raise ReleaseError(f"decision: findings must be different names, got {self.findings}")
        if len(self.temperature) not in (1, k) or not all(np.isfinite(t) and t > 0 for t in self.temperature):
            raise ReleaseError(f"decision: temperature must be 1 or {k} finite numbers > 0, got {self.temperature}")
        if self.calibrator is not None:
            self.calibrator.check(k)
        if self.prior_shift is not None and len(self.prior_shift.source) != k:
            raise ReleaseError(f"decision: prior_shift must have {k} entries, got {len(self.prior_shift.source)}")
        if self.studies is not None:
            self.studies.check(k)
        if len(self.trained) != k:
            raise ReleaseError(f"decision: trained must have {k} entries, got {len(self.trained)}")
        if self.default not in self.operating_points:
            raise ReleaseError(
                f"decision: default {self.default!r} is none of the operating points {', '.join(self.operating_points)}"
            )
        for name, point in self.operating_points.items():
            point.check(name, self.findings)


def _other_findings(stored: tuple[str, ...], model: tuple[str, ...]) -> str:
    missing, extra = set(model) - set(stored), set(stored) - set(model)
    if not missing and not extra:
        return f"decision: findings are in another order than the model's: {list(stored)}, the model has {list(model)}"
    return f"decision: findings differ from the model's: missing {sorted(missing)}, not the model's {sorted(extra)}"
