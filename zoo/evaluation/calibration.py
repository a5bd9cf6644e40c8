"""Temperature scaling (Guo et al. 2017), fitted exactly, and how far probabilities are from frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from zoo.evaluation.decision import Decision, Origin
from zoo.evaluation.metrics import check_probabilities
from zoo.evaluation.scores import Scores

#: Temperatures looked among. At a bound the data ask for more than a temperature can mend.
BOUNDS = (0.1, 10.0)

#: A finding with fewer positives or negatives takes the global temperature.
MIN_CLASS = 10


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature and what it changed on the part it was fitted on.

    Attributes:
        temperature: One number, or one a finding.
        nll: Mean negative log likelihood in nats over the known labels, before and after.
        ece: Mean over findings of `calibration_error`, before and after.
        notes: Findings without a temperature of their own, and temperatures at a bound: one sentence each.
    """

    temperature: tuple[float, ...]
    nll: tuple[float, float]
    ece: tuple[float, float]
    notes: tuple[str, ...] = ()


def fit_temperature(scores: Scores, by: Literal["global", "finding"] = "global") -> Calibration:
    """The temperature that minimises the NaN-masked negative log likelihood on the tuning part.

    The loss is convex in 1/T, so the minimum is found exactly, by safeguarded Newton steps. Dividing by a temperature
    changes no ranking inside a finding.

    Args:
        scores: Logits and labels of the tuning part.
        by: One temperature for all findings, or one a finding. A finding with fewer than `MIN_CLASS` positives or
            negatives takes the global one.

    Raises:
        SplitError: The scores are not of the tuning part.
        ValueError: They are scores of unknown scale, or `by` is neither.
    """
    scores.check_fittable("temperature")
    if by not in ("global", "finding"):
        raise ValueError(f"by must be 'global' or 'finding', got {by!r}")
    n, positives = scores.counts
    both = (positives > 0) & (n > positives)
    if not both.any():
        note = "no finding has both classes: temperature 1, not fitted"
        return _calibration(scores, (1.0,), (note,))
    shared, notes = _fit(scores.logits[:, both], scores.labels[:, both], "all findings")
    if by == "global":
        return _calibration(scores, (shared,), notes)
    temperatures = []
    for j, finding in enumerate(scores.findings):
        if min(positives[j], n[j] - positives[j]) < MIN_CLASS:
            temperatures.append(shared)
            notes += (f"{finding}: {positives[j]} positives of {n[j]}, takes the global temperature",)
            continue
        own, own_notes = _fit(scores.logits[:, j], scores.labels[:, j], finding)
        temperatures.append(own)
        notes += own_notes
    return _calibration(scores, tuple(temperatures), notes)


def temperature_origin(calibration: Calibration, scores: Scores, date: str) -> Origin:
    """What a `Decision` keeps of where its temperature comes from."""
    n, positives = (tuple(int(c) for c in counts) for counts in scores.counts)
    recipe = "temperature, global" if len(calibration.temperature) == 1 else "temperature, per finding"
    return Origin(recipe, scores.split, scores.split_hash, n, positives, date=date, notes=calibration.notes)


@dataclass(frozen=True)
class Reliability:
    """One finding's reliability curve over bins of equal mass.

    Attributes:
        predicted: (b,) mean probability of each bin.
        observed: (b,) share of positives in it.
        n: (b,) labels in it.
    """

    predicted: np.ndarray
    observed: np.ndarray
    n: np.ndarray


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Reliability:
    """Mean probability against frequency in bins of equal mass, for one finding: (n,) labels and probabilities.

    Equal probabilities share a bin, so the curve does not depend on the order of the rows; there may be fewer bins.
    """
    known = ~np.isnan(labels)
    y, p = labels[known], check_probabilities(probabilities)[known]
    if not len(p):
        return Reliability(np.empty(0), np.empty(0), np.empty(0, np.int64))
    edges = np.quantile(p, np.arange(1, bins) / bins)
    bin_of = np.searchsorted(edges, p, side="right")
    n = np.bincount(bin_of)
    used = n > 0
    mean = [np.bincount(bin_of, values)[used] / n[used] for values in (p, y)]
    return Reliability(mean[0], mean[1], n[used])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> np.ndarray:
    """Expected calibration error over equal-mass bins, debiased; 0 is calibrated, in units of probability.

    The root mean square gap of probability and frequency. A calibrated model has gaps too, since each bin's frequency
    is uncertain: their expected square is subtracted, which makes the square unbiased (Kumar, Liang, Ma 2019; Roelofs
    et al. 2022). A square below 0 is given as 0.

    Args:
        labels: (n, k) of 1, 0 and NaN.
        probabilities: (n, k) in 0..1.
        bins: At most so many.

    Returns:
        float64 (k,); NaN where a finding has no positive or no negative.
    """
    return np.array([_debiased_error(y, p, bins) for y, p in zip(labels.T, probabilities.T, strict=True)])


def _debiased_error(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    if not np.any(labels == 1) or not np.any(labels == 0):
        return math.nan
    curve = reliability(labels, probabilities, bins)
    chance = curve.observed * (1 - curve.observed) / np.maximum(curve.n - 1, 1)
    square = np.average((curve.predicted - curve.observed) ** 2 - chance, weights=curve.n)
    return math.sqrt(max(0.0, float(square)))


def _fit(logits: np.ndarray, labels: np.ndarray, name: str) -> tuple[float, tuple[str, ...]]:
    """The best temperature within `BOUNDS`, and a note where it is a bound."""
    known = ~np.isnan(labels)
    z, y = logits[known], labels[known].astype(np.float64)
    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    if _slopes(low, z, y)[0] >= 0:
        return BOUNDS[1], (f"{name}: the logits rank no better than chance, temperature at its bound {BOUNDS[1]:g}",)
    if _slopes(high, z, y)[0] <= 0:
        return BOUNDS[0], (f"{name}: the logits separate the classes, temperature at its bound {BOUNDS[0]:g}",)
    scale = 1.0
    for _ in range(100):
        slope, curvature = _slopes(scale, z, y)
        low, high = (scale, high) if slope < 0 else (low, scale)
        newton = scale - slope / curvature if curvature > 0 else low
        # A Newton step that leaves the bracket is replaced by halving it.
        following = newton if low < newton < high else (low + high) / 2
        if abs(following - scale) <= 1e-12 * scale:
            break
        scale = following
    return float(1 / following), ()


def _slopes(scale: float, z: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """First and second derivative of the summed loss in 1/T at `scale`."""
    p = 0.5 * (1 + np.tanh(0.5 * scale * z))
    return float(np.sum(z * (p - y))), float(np.sum(z * z * p * (1 - p)))


def _nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean loss in nats from logits, which does not saturate where a float64 probability is 1."""
    return float(np.nanmean(np.logaddexp(0, logits) - labels * logits))


def _calibration(scores: Scores, temperature: tuple[float, ...], notes: tuple[str, ...]) -> Calibration:
    before = Decision(scores.findings)
    after = replace(before, temperature=temperature)
    nll = [_nll(scores.logits / np.asarray(d.temperature), scores.labels) for d in (before, after)]
    ece = [calibration_error(scores.labels, scores.calibrated(d)) for d in (before, after)]
    means = [float(np.nanmean(e)) if not np.isnan(e).all() else math.nan for e in ece]
    return Calibration(temperature, (nll[0], nll[1]), (means[0], means[1]), notes)
