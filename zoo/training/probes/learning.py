"""What cross-validation over all images tells: the AUC of the heads, and how it grows with the number of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.progress import Progress
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.probing import CrossValidation, Gain, LearningCurve, LearningPoint
from zoo.evaluation.statistics.spreads import Spread, correlation_of
from zoo.evaluation.uncertainty import freedom_of, mean_interval
from zoo.training.probes.aucs import fold_contributions
from zoo.training.probes.folds import cross_fit
from zoo.training.probes.linear import Prepared
from zoo.training.probes.power_law import fit_power_law

#: Parts of the patients that the learning curve is drawn from, and the fewest patients of a subset.
SHARES, FEWEST = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1 / 2**0.5, 1.0), 10

#: Random subsets of each size, and curves that are drawn for the interval of what the power law says.
REPEATS, DRAWN = 3, 500

#: Confidence level of all intervals.
LEVEL = 0.95

#: Gains in AUC that the report states the price of, and how far beyond the patients there are the power law is used.
GAINS, HORIZON = (0.01, 0.02, 0.05), 4


@dataclass(frozen=True, eq=False)
class Sample:
    """The images that heads are fitted on.

    Attributes:
        features: Member -> float (n, features).
        labels: (n, findings) of 1, 0 and NaN, of the findings that can be fitted.
        findings: Their names.
        patients: (n,) patient of each image, as text.
        fold: int (n,), fold of each image.
        balanced: Whether both classes of a finding get the same total weight.
    """

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    findings: tuple[str, ...]
    patients: np.ndarray
    fold: np.ndarray
    balanced: bool = False

    @property
    def clusters(self) -> np.ndarray:
        """int (n,): each image's patient, numbered from 0."""
        return np.unique(self.patients, return_inverse=True)[1].reshape(-1)


def cross_validate(sample: Sample, progress: Progress, seed: int = 0) -> tuple[np.ndarray, CrossValidation]:
    """Cross-validates the heads over all images; the penalty is chosen in each fold without the fold.

    Returns:
        float64 (n, findings) logits out of fold, the mean over members, and their AUC.
    """
    logits = np.zeros(sample.labels.shape)
    for member, features in sample.features.items():
        what = f"cross-validating {member} over all images"
        crossed = cross_fit(features, sample.labels, sample.fold, progress, balanced=sample.balanced, what=what)
        logits += crossed.nested()[0] / len(sample.features)
    value, shared = fold_contributions(sample.labels, logits, sample.fold, sample.clusters)
    spreads = [
        Spread.linear(float(area), own, int(freedom_of(labels, sample.clusters)) + 1, "logit")
        for area, own, labels in zip(value, shared.T, sample.labels.T, strict=True)
    ]
    by_finding = {
        finding: _estimate(spread.value, spread.interval(LEVEL), labels)
        for finding, spread, labels in zip(sample.findings, spreads, sample.labels.T, strict=True)
    }
    ends = mean_interval(spreads, correlation_of(shared), np.ones(len(spreads)), LEVEL)
    mean = _estimate(float(np.nanmean(value)), ends, sample.labels)
    folds = len(np.unique(sample.fold))
    return logits, CrossValidation(folds, len(logits), int(sample.clusters.max()) + 1, by_finding, mean)


def learning_curve(
    sample: Sample, strengths: Mapping[str, float], progress: Progress, seed: int = 0
) -> LearningCurve | None:
    """Fits the heads on random subsets of the patients of ever more folds, and a power law to their mean AUC.

    The images of each fold are scored by heads that were fitted on subsets of the other patients, at the strength of
    the released heads. The intervals of the points are those of the cross-validated AUCs. Those of what the power law
    says come from curves that are drawn with the covariance that patients and subsets give the points.

    Args:
        sample: The images.
        strengths: Member -> inverse strength of the penalty.
        progress: Receives the progress after each subset.
        seed: Seed of the subsets and of the drawn curves.

    Returns:
        The curve; None if fewer than three sizes have a finding with both classes in every subset.
    """
    sizes, used = _sizes(sample, seed)
    if len(sizes) < 3:
        return None
    repeats = [REPEATS if size != sizes[-1] else 1 for size in sizes]
    found = []
    with progress.task("learning curve", sum(repeats)) as advance:
        for size, times in zip(sizes, repeats, strict=True):
            each = []
            for repeat in range(times):
                logits = _logits(sample, strengths, size, used, (seed, repeat))
                each.append(fold_contributions(sample.labels[:, used], logits, sample.fold, sample.clusters))
                advance()
            found.append(_Point.of(each, sample.labels[:, used], sample.clusters))
    return _described(sample, sizes, used, found, seed)


@dataclass(frozen=True, eq=False)
class _Point:
    """One size: the mean AUC with its interval, and what moves it: patients (c,), and which subsets were drawn."""

    mean: Estimate
    value: float
    shared: np.ndarray
    subsets: float

    @classmethod
    def of(cls, each: Sequence[tuple[np.ndarray, np.ndarray]], labels: np.ndarray, clusters: np.ndarray) -> _Point:
        """From the AUC (k,) and contributions (c, k) of every subset."""
        value, shared = (np.mean([one[i] for one in each], axis=0) for i in (0, 1))
        defined = ~np.isnan(value)
        mean, own = float(value[defined].mean()), shared[:, defined].mean(axis=1)
        between = np.var([np.nanmean(one) for one, _ in each], ddof=1) / len(each) if len(each) > 1 else 0.0
        patients = int(max(freedom_of(y, clusters) for y in labels.T)) + 1
        spread = Spread.linear(mean, np.append(own, np.sqrt(between)), patients, "logit")
        return cls(_estimate(mean, spread.interval(LEVEL), labels), mean, own, float(between))


def _described(
    sample: Sample, sizes: Sequence[int], used: np.ndarray, found: Sequence[_Point], seed: int
) -> LearningCurve:
    at, most = np.array(sizes, float), sizes[-1]
    values, shared = np.array([point.value for point in found]), np.stack([point.shared for point in found], axis=1)
    subsets = np.array([point.subsets for point in found])
    weights = 1 / np.maximum(np.sum(shared**2, axis=0) + subsets, 1e-8)
    law = fit_power_law(at, (1 - values)[None], weights)
    rng, many = np.random.default_rng(seed), len(shared)
    errors = rng.standard_normal((DRAWN, many)) @ shared * np.sqrt(many / (many - 1))
    errors += rng.standard_normal((DRAWN, len(sizes))) * np.sqrt(subsets)
    drawn = fit_power_law(at, 1 - values - errors, weights)
    labels = sample.labels[:, used]
    points = (LearningPoint(n, point.mean) for n, point in zip(sizes, found, strict=True))
    gained = float((law.error(most) - law.error(2 * most))[0])
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    ends = np.quantile(drawn.error(most) - drawn.error(2 * most), tails)
    gains = []
    for gain in GAINS:
        needed = float(law.size(law.error(most) - gain)[0]) - most
        limits = np.quantile(drawn.size(drawn.error(most) - gain) - most, tails, method="nearest")
        gains.append(Gain(gain, *(_within(x, most) for x in (needed, *limits))))
    return LearningCurve(
        findings=tuple(sample.findings[j] for j in used),
        folds=len(np.unique(sample.fold)),
        repeats=REPEATS,
        points=tuple(points),
        floor=float(law.floor[0]),
        scale=float(law.scale[0]),
        exponent=float(law.exponent[0]),
        doubling=_estimate(gained, ends, labels),
        gains=tuple(gains),
        horizon=HORIZON * most,
    )


def _sizes(sample: Sample, seed: int) -> tuple[list[int], np.ndarray]:
    """The numbers of patients of the subsets, and the findings with both classes in all of them.

    The smallest sizes are left out until half of the findings are there.
    """
    fewest = min(len(np.unique(sample.patients[sample.fold != f])) for f in np.unique(sample.fold))
    sizes = sorted({max(FEWEST, round(share * fewest)) for share in SHARES if round(share * fewest) >= FEWEST})
    for start, size in enumerate(sizes):
        able = np.ones(len(sample.findings), bool)
        for repeat in range(REPEATS):
            for rows in _subsets(sample, size, (seed, repeat)):
                labels = sample.labels[rows]
                able &= (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
        if 2 * able.sum() >= len(able):
            return sizes[start:], np.flatnonzero(able)
    return [], np.empty(0, np.int64)


def _subsets(sample: Sample, size: int, seed: tuple[int, int]) -> Iterator[np.ndarray]:
    """For each fold, a mask of the images of `size` random patients of the others; larger ones contain smaller ones."""
    for fold in np.unique(sample.fold):
        others = np.unique(sample.patients[sample.fold != fold])
        chosen = np.random.default_rng((*seed, int(fold))).permutation(others)[:size]
        yield np.isin(sample.patients, chosen) & (sample.fold != fold)


def _logits(
    sample: Sample, strengths: Mapping[str, float], size: int, used: np.ndarray, seed: tuple[int, int]
) -> np.ndarray:
    logits = np.zeros((len(sample.labels), len(used)))
    for fold, rows in zip(np.unique(sample.fold), _subsets(sample, size, seed), strict=True):
        held = sample.fold == fold
        for member, features in sample.features.items():
            fitted = Prepared(features[rows]).fit(
                sample.labels[rows][:, used], [strengths[member]], balanced=sample.balanced
            )
            logits[held] += fitted[0].logits(features[held]) / len(sample.features)
    return logits


def _within(more: float, most: int) -> int | None:
    """Additional patients, rounded up; None beyond the horizon."""
    return int(np.ceil(more)) if more + most <= HORIZON * most else None


def _estimate(value: float, ends: Sequence[float] | np.ndarray, labels: np.ndarray) -> Estimate:
    number, low, high = (None if not np.isfinite(x) else round(float(x), 6) for x in (value, *ends))
    return Estimate(number, low, high, int((~np.isnan(labels)).sum()), int((labels == 1).sum()))
