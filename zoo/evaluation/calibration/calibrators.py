"""Transformations of the log-odds of each finding before the sigmoid: Platt scaling, isotonic steps, prior shift.

Each of them is monotone, so the order of two images with respect to a finding never reverses; isotonic steps can make
ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS, Positive
from zoo.core.errors import ReleaseError

_Each = Keywords(maxItems=MAX_FINDINGS)
_Inside = Keywords(exclusiveMinimum=0, exclusiveMaximum=1)


@dataclass(frozen=True)
class Steps:
    """A non-decreasing curve, interpolated between its points and constant outside; the identity without points.

    Attributes:
        log_odds: Strictly increasing input log-odds.
        probability: Non-decreasing calibrated probabilities at these log-odds, between 0 and 1.

    Raises:
        ReleaseError: The points do not fit this description.

    >>> Steps((-1.0, 1.0), (0.25, 0.75)).apply(np.array([0.0])).tolist()
    [0.0]
    """

    log_odds: tuple[float, ...] = ()
    probability: tuple[Annotated[float, _Inside], ...] = ()

    def __post_init__(self) -> None:
        z, p = np.asarray(self.log_odds), np.asarray(self.probability)
        # NaN fails these checks too.
        fits = z.shape == p.shape and np.isfinite(z).all() and bool(((p > 0) & (p < 1)).all())
        if not fits or not (np.diff(z) > 0).all() or not (np.diff(p) >= 0).all():
            raise ReleaseError(
                "decision: isotonic steps need rising log_odds and as many never falling probabilities between 0 and 1"
            )

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Calibrates log-odds of any shape; NaN stays NaN."""
        if not self.log_odds:
            return log_odds
        p = np.interp(log_odds, self.log_odds, self.probability)
        # With a single point, `interp` returns that point's value for NaN too.
        return np.where(np.isnan(log_odds), np.nan, np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Calibrator:
    """Platt or isotonic calibration, applied after the temperature.

    Attributes:
        kind: "platt" for log-odds * `slope` + `intercept` (Platt 1999), "isotonic" for `steps` (Zadrozny and Elkan
            2002).
        slope: For "platt", one positive number for each finding; 1 if only the temperature is used.
        intercept: For "platt", one number for each finding; 0 if only the temperature is used.
        steps: For "isotonic", one curve for each finding; without points if only the temperature is used.

    Raises:
        ReleaseError: A slope is not positive, or a number is not finite.

    >>> Calibrator("platt", slope=(2.0,), intercept=(1.0,)).apply(np.array([[0.5]])).tolist()
    [[2.0]]
    """

    kind: Literal["platt", "isotonic"]
    slope: Annotated[tuple[Positive, ...], _Each] = ()
    intercept: Annotated[tuple[float, ...], _Each] = ()
    steps: Annotated[tuple[Steps, ...], _Each] = ()

    def __post_init__(self) -> None:
        if self.kind == "platt" and not all(0 < a < np.inf for a in self.slope):
            raise ReleaseError(f"decision: slopes must be finite numbers > 0, got {self.slope}")
        if self.kind == "platt" and not np.isfinite(self.intercept).all():
            raise ReleaseError(f"decision: intercepts must be finite, got {self.intercept}")

    def check(self, findings: int) -> None:
        """Checks the number of findings.

        Raises:
            ReleaseError: The calibrator is for another number of findings.
        """
        lengths = {"slope": len(self.slope), "intercept": len(self.intercept), "steps": len(self.steps)}
        used = ("slope", "intercept") if self.kind == "platt" else ("steps",)
        for name, length in lengths.items():
            expected = findings if name in used else 0
            if length != expected:
                raise ReleaseError(
                    f"decision: {name} of the {self.kind} calibrator must have {expected} entries, got {length}"
                )

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Calibrates float64 log-odds (..., k) that were divided by the temperature; the shape stays."""
        if self.kind == "platt":
            return log_odds * np.asarray(self.slope) + np.asarray(self.intercept)
        columns = [steps.apply(log_odds[..., j]) for j, steps in enumerate(self.steps)]
        return np.stack(columns, axis=-1)


@dataclass(frozen=True)
class PriorShift:
    """Adjustment of each finding from the prevalence of the calibration to a target prevalence (Elkan 2001).

    Attributes:
        source: Prevalence at which the probabilities are calibrated, between 0 and 1; None for no adjustment.
        target: Target prevalence, between 0 and 1; None where `source` is None.

    Raises:
        ReleaseError: Source and target do not match, or a prevalence is not between 0 and 1.

    >>> PriorShift((0.5,), (0.5,)).offset.tolist()
    [0.0]
    """

    source: Annotated[tuple[Annotated[float | None, _Inside], ...], _Each]
    target: Annotated[tuple[Annotated[float | None, _Inside], ...], _Each]

    def __post_init__(self) -> None:
        same = len(self.source) == len(self.target)
        if not same or any((a is None) != (b is None) for a, b in zip(self.source, self.target, strict=True)):
            raise ReleaseError("decision: a prior shift needs a source and a target prevalence for the same findings")
        for prevalence in (*self.source, *self.target):
            if prevalence is not None and not 0 < prevalence < 1:
                raise ReleaseError(f"decision: a prevalence must lie between 0 and 1, got {prevalence}")

    @property
    def offset(self) -> np.ndarray:
        """float64 (k,) added to the log-odds; 0 for a finding that is not adjusted."""
        source, target = (np.array([0.5 if p is None else p for p in prior]) for prior in (self.source, self.target))
        return np.log(target) - np.log1p(-target) - np.log(source) + np.log1p(-source)
