"""The recipes that choose a threshold among all the ways to cut one finding's probabilities in two."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from zoo.evaluation.statistics.counts import Cuts

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
