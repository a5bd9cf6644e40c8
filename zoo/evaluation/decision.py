"""From logits to what a user sees: the temperature, the one sigmoid, the thresholds, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.errors import RecipeError, ReleaseError, UnknownNameError
from zoo.evaluation.metrics import at_least
from zoo.specs import from_dict, to_dict


def probabilities(logits: np.ndarray, decision: Decision | None = None) -> np.ndarray:
    """The one sigmoid: logits (..., k), divided by the decision's temperature if one is given, to probabilities.

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
        if z.shape[-1:] != (len(decision.findings),):
            raise ValueError(f"expected {len(decision.findings)} findings in the last axis, got shape {z.shape}")
        z = z / np.asarray(decision.temperature)
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
        raise ValueError(f"expected {len(limits)} findings in the last axis, got shape {values.shape}")
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
    n: tuple[int, ...] = ()
    positives: tuple[int, ...] = ()
    target: float | None = None
    date: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold a finding, on calibrated probabilities; None where none could be fitted.

    Attributes:
        thresholds: A probability at or above it is a positive call.
        origin: Where they come from.
        achieved: What each threshold reached, by its recipe's own measure, on the part it was fitted on.
    """

    thresholds: tuple[float | None, ...]
    origin: Origin
    achieved: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What turns one model's logits into calls: valid only together, and only for that model.

    Attributes:
        findings: Names of the outputs, in the model's order.
        temperature: One positive number, or one a finding; logits are divided by it.
        operating_points: Name -> thresholds.
        default: The operating point used when none is named.
        trained: False for a finding that had no positives in training: its output means nothing. () is all True.
        temperature_origin: Where the temperature comes from, or None.
    """

    findings: tuple[str, ...]
    temperature: tuple[float, ...] = (1.0,)
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict)
    default: str = "half"
    trained: tuple[bool, ...] = ()
    temperature_origin: Origin | None = None

    def __post_init__(self) -> None:
        k = len(self.findings)
        if not self.operating_points:
            half = OperatingPoint((0.5,) * k, Origin("half", notes=("0.5, not fitted on any data",)))
            object.__setattr__(self, "operating_points", {"half": half})
        if not self.trained:
            object.__setattr__(self, "trained", (True,) * k)
        self._check(k)

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
