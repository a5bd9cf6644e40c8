"""What a decision does to log-odds before the sigmoid, finding by finding: Platt's line, isotonic steps, a prior shift.

Each map never falls, so it moves no image past another of the same finding; steps only turn some into ties.
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
    """A never falling curve through some points, flat outside of them; without points, no change at all.

    Attributes:
        log_odds: Rising; the log-odds that come in.
        probability: Between 0 and 1, never falling; what each stands for. Between two points it is interpolated.
    """

    log_odds: tuple[float, ...] = ()
    probability: tuple[Annotated[float, _Inside], ...] = ()

    def __post_init__(self) -> None:
        z, p = np.asarray(self.log_odds), np.asarray(self.probability)
        # A NaN fails these too.
        fits = z.shape == p.shape and np.isfinite(z).all() and bool(((p > 0) & (p < 1)).all())
        if not fits or not (np.diff(z) > 0).all() or not (np.diff(p) >= 0).all():
            raise ReleaseError(
                "decision: isotonic steps need rising log_odds and as many never falling probabilities between 0 and 1"
            )

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """Log-odds of any shape to calibrated ones; NaN stays NaN."""
        if not self.log_odds:
            return log_odds
        p = np.interp(log_odds, self.log_odds, self.probability)
        # Of one point `interp` makes its value out of a NaN too.
        return np.where(np.isnan(log_odds), np.nan, np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Calibrator:
    """What comes after the temperature, where a temperature alone is not enough.

    Attributes:
        kind: "platt": log-odds times `slope` plus `intercept` (Platt 1999). "isotonic": through `steps` (Zadrozny and
            Elkan 2002).
        slope: One positive number a finding, for "platt"; 1 where the temperature alone is used.
        intercept: One number a finding, for "platt"; 0 where the temperature alone is used.
        steps: One curve a finding, for "isotonic"; without points where the temperature alone is used.
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
        """Raises a `ReleaseError` unless it is for so many findings."""
        lengths = {"slope": len(self.slope), "intercept": len(self.intercept), "steps": len(self.steps)}
        used = ("slope", "intercept") if self.kind == "platt" else ("steps",)
        for name, length in lengths.items():
            expected = findings if name in used else 0
            if length != expected:
                raise ReleaseError(
                    f"decision: {name} of the {self.kind} calibrator must have {expected} entries, got {length}"
                )

    def apply(self, log_odds: np.ndarray) -> np.ndarray:
        """float64 log-odds (..., k), after the temperature, to calibrated ones of the same shape."""
        if self.kind == "platt":
            return log_odds * np.asarray(self.slope) + np.asarray(self.intercept)
        columns = [steps.apply(log_odds[..., j]) for j, steps in enumerate(self.steps)]
        return np.stack(columns, axis=-1)


@dataclass(frozen=True)
class PriorShift:
    """From the prevalence a decision was calibrated at to another one, finding by finding (Elkan 2001).

    Attributes:
        source: Prevalence that the calibrated probabilities stand for, between 0 and 1; None: not shifted.
        target: Prevalence where the model is used, between 0 and 1; None where `source` is.
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
        """float64 (k,) that is added to the log-odds; 0 where nothing is shifted."""
        source, target = (np.array([0.5 if p is None else p for p in prior]) for prior in (self.source, self.target))
        return np.log(target) - np.log1p(-target) - np.log(source) + np.log1p(-source)
