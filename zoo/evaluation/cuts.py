"""Every way to cut one finding's probabilities in two, and the recipes that choose among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


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
    order = np.argsort(p)[::-1]  # the order of equals changes no count
    values, truth = p[order], labels[known][order] == 1
    last_of_equals = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    tp = np.cumsum(truth)[last_of_equals]
    return Cuts(values[last_of_equals], tp, last_of_equals + 1 - tp, int(truth.sum()), int((~truth).sum()))


#: Threshold and what it reaches, or two None.
Choice = tuple[float | None, float | None]


def _max_f1_sweep(found: Cuts, _: float) -> Choice:
    """Best F1 of the thresholds 0.05, 0.06, ... 0.95; the lowest of equals, as a sweep that keeps the first best."""
    grid = np.arange(5, 96) / 100
    reached = len(found.values) - np.searchsorted(found.values[::-1], grid.astype(np.float32), side="left")
    f1 = np.where(reached > 0, found.f1[reached - 1], 0.0)
    best = int(np.argmax(f1))
    return float(grid[best]), float(f1[best])


def _max_f1(found: Cuts, _: float) -> Choice:
    return _best(found, found.f1, np.ones_like(found.tp, bool))


def _youden(found: Cuts, _: float) -> Choice:
    """Largest sensitivity + specificity - 1 (Youden 1950)."""
    return _best(found, found.sensitivity + found.specificity - 1, np.ones_like(found.tp, bool))


def _sensitivity_at_least(found: Cuts, target: float) -> Choice:
    """The strictest cut that is sensitive enough; its specificity is the highest there is."""
    enough = found.sensitivity >= target
    cut = int(np.argmax(enough))
    return found.threshold(cut), float(found.sensitivity[cut])


def _specificity_at_least(found: Cuts, target: float) -> Choice:
    """The most sensitive cut that is specific enough."""
    return _best(found, found.sensitivity, found.specificity >= target, found.specificity)


def _ppv_at_least(found: Cuts, target: float) -> Choice:
    """The most sensitive cut with enough PPV (at the validation part's prevalence)."""
    return _best(found, found.sensitivity, found.ppv >= target, found.ppv)


def _best(found: Cuts, measure: np.ndarray, allowed: np.ndarray, report: np.ndarray | None = None) -> Choice:
    """The allowed cut with the largest measure, the strictest of equals; None where no allowed cut finds a positive."""
    allowed = allowed & (found.tp > 0)
    if not allowed.any():
        return None, None
    cut = int(np.argmax(np.where(allowed, measure, -np.inf)))
    return found.threshold(cut), float((measure if report is None else report)[cut])


#: Recipe -> (cuts, target) -> threshold and what it reaches.
RECIPES: Mapping[str, Callable[[Cuts, float], Choice]] = {
    "max_f1_sweep": _max_f1_sweep,
    "max_f1": _max_f1,
    "youden": _youden,
    "sensitivity_at_least": _sensitivity_at_least,
    "specificity_at_least": _specificity_at_least,
    "ppv_at_least": _ppv_at_least,
}
