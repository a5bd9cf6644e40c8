"""From logits to what a user sees: calibration, the one sigmoid, the thresholds, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS, Names, Positive, from_dict, to_dict
from zoo.core.errors import EvaluationError, RecipeError, ReleaseError, UnknownNameError
from zoo.evaluation.calibration.calibrators import Calibrator, PriorShift
from zoo.evaluation.statistics.counts import at_least
from zoo.labels.parts import part_of

_Each = Keywords(maxItems=MAX_FINDINGS)
_Counts = Annotated[tuple[Annotated[int, Keywords(minimum=0)], ...], _Each]
_Share = Annotated[float | None, Keywords(minimum=0, maximum=1)]
_Figures = Annotated[tuple[Annotated[float | None, Keywords(minimum=-1, maximum=1)], ...], _Each]


def probabilities(logits: np.ndarray, decision: Decision | None = None) -> np.ndarray:
    """The one sigmoid: logits (..., k), calibrated by the decision if one is given, to probabilities.

    Args:
        logits: Any float array; the last axis is the findings.
        decision: None for the plain sigmoid.

    Returns:
        The same shape, float32 (float64 where float64 came, as in evaluation). It is computed in float64 either way,
        so that the two agree to the last bit of float32. NaN stays NaN.

    Raises:
        ValueError: The last axis is not the decision's number of findings.
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
    """Calls at an operating point, in the label convention: float32 (n, k) of 1, 0 and NaN (no threshold: not decided).

    Args:
        probabilities: (n, k) calibrated probabilities, as `probabilities(logits, decision)` gives them.
        decision: Whose thresholds are applied, at and above.
        point: Name of the operating point; the decision's default otherwise.
    """
    limits = np.asarray(decision.point(point).thresholds, np.float32)
    values = np.asarray(probabilities)
    if values.shape[-1:] != limits.shape:
        raise EvaluationError(f"expected {len(limits)} findings in the last axis, got shape {values.shape}")
    undecided = np.isnan(limits) | np.isnan(values)
    return np.where(undecided, np.nan, at_least(values, limits)).astype(np.float32)


@dataclass(frozen=True)
class Origin:
    """Where fitted numbers come from.

    Attributes:
        recipe: How they were fitted, such as "max_f1" or "sensitivity_at_least".
        split: The part of the data they were fitted on; "none" for a number nobody fitted.
        split_hash: Hash of the split's manifest.
        n: Known labels, one a finding.
        positives: Positive labels, one a finding.
        target: What the recipe was asked to reach, or None.
        date: ISO date of the fit.
        notes: What a reader has to know, one sentence each.
    """

    recipe: str
    split: str = "none"
    split_hash: str = ""
    n: _Counts = ()
    positives: _Counts = ()
    target: float | None = None
    date: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Older files say "tune" for the validation part.
        object.__setattr__(self, "split", part_of(self.split) or self.split)


@dataclass(frozen=True)
class Reached:
    """What the thresholds of a point reached by one measure: one entry a finding, None where there is none.

    Attributes:
        value: The measure.
        low: Lower limit of its 95 % interval, by patient.
        high: Upper limit.
        n: Images it is a share of: the positives (sensitivity), the negatives (specificity), those called positive
            (ppv), or all known labels (f1, youden).
    """

    value: _Figures
    low: _Figures
    high: _Figures
    n: _Counts


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold a finding, on calibrated probabilities; None where none could be fitted.

    Attributes:
        thresholds: A probability at or above it is a positive call.
        origin: Where they come from.
        achieved: What each threshold reached, by its recipe's own measure, on the part it was fitted on.
        reached: "sensitivity", "specificity", "ppv" and the recipe's own measure ("f1" or "youden") on that part, with
            intervals. They flatter a threshold that was chosen for them; what it is worth, the test part tells.
        prevalence: Share of positives that PPV and F1 hold for, one a finding: that of the part, or the one the
            decision was shifted to. () is not recorded.
    """

    thresholds: Annotated[tuple[_Share, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)]
    origin: Origin
    achieved: Annotated[tuple[float | None, ...], _Each] = ()
    reached: dict[str, Reached] = field(default_factory=dict)
    prevalence: Annotated[tuple[_Share, ...], _Each] = ()


@dataclass(frozen=True)
class Decision:
    """What turns one model's logits into calls: valid only together, and only for that model.

    Attributes:
        findings: Names of the outputs, in the model's order.
        temperature: One positive number, or one a finding; logits are divided by it.
        operating_points: Name -> thresholds.
        default: The operating point used when none is named.
        trained: False for a finding that had no positives in training: its output means nothing. () is all True.
        temperature_origin: Where temperature and calibrator come from, or None.
        calibrator: What is done to the log-odds after the temperature, or None (most often).
        prior_shift: To another prevalence than that of the validation part, or None.
    """

    findings: Names
    temperature: Annotated[tuple[Positive, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)] = (1.0,)
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict)
    default: str = "half"
    trained: Annotated[tuple[bool, ...], _Each] = ()
    temperature_origin: Origin | None = None
    calibrator: Calibrator | None = None
    prior_shift: PriorShift | None = None

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
        """True where dividing the logits by the temperature is all there is before the sigmoid."""
        return self.calibrator is None and self.prior_shift is None

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """Logits (..., k) to calibrated log-odds: by the temperature, then the calibrator, then the prior shift."""
        if logits.shape[-1:] != (len(self.findings),):
            raise EvaluationError(f"expected {len(self.findings)} findings in the last axis, got shape {logits.shape}")
        z = logits / np.asarray(self.temperature)
        if self.calibrator is not None:
            z = self.calibrator.apply(z)
        return z if self.prior_shift is None else z + self.prior_shift.offset

    def point(self, name: str | None = None) -> OperatingPoint:
        """The operating point called `name`, or the default; a `KeyError` with the names there are."""
        name = self.default if name is None else name
        if name not in self.operating_points:
            raise UnknownNameError("operating point", name, self.operating_points)
        return self.operating_points[name]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], findings: Sequence[str] | None = None) -> Decision:
        """Reads a stored decision strictly.

        Args:
            data: What `to_dict` gave.
            findings: The model's findings in its order, which must be the decision's.

        Raises:
            ReleaseError: An unknown, missing or mistyped field, a threshold outside 0..1 or NaN, or other findings
                (or the same in another order) than the model's.
        """
        try:
            decision = from_dict(cls, data, "decision")
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
        if len(self.trained) != k:
            raise ReleaseError(f"decision: trained must have {k} entries, got {len(self.trained)}")
        if self.default not in self.operating_points:
            raise ReleaseError(
                f"decision: default {self.default!r} is none of the operating points {', '.join(self.operating_points)}"
            )
        for name, point in self.operating_points.items():
            self._check_point(name, point)

    def _check_point(self, name: str, point: OperatingPoint) -> None:
        k = len(self.findings)
        if len(point.thresholds) != k:
            raise ReleaseError(
                f"decision: operating point {name!r} must have {k} thresholds, got {len(point.thresholds)}"
            )
        facts = [point.prevalence, *(v for r in point.reached.values() for v in (r.value, r.low, r.high, r.n))]
        if any(len(values) not in (0, k) for values in facts):
            raise ReleaseError(f"decision: operating point {name!r} must have {k} entries in all it reached")
        for finding, threshold in zip(self.findings, point.thresholds, strict=True):
            # A NaN fails both comparisons.
            if threshold is not None and not 0.0 <= threshold <= 1.0:
                raise ReleaseError(
                    f"decision: threshold of {finding!r} at {name!r} must be in 0..1 or null, got {threshold}"
                )


def _other_findings(stored: tuple[str, ...], model: tuple[str, ...]) -> str:
    missing, extra = set(model) - set(stored), set(stored) - set(model)
    if not missing and not extra:
        return f"decision: findings are in another order than the model's: {list(stored)}, the model has {list(model)}"
    return f"decision: findings differ from the model's: missing {sorted(missing)}, not the model's {sorted(extra)}"
