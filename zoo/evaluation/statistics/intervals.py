"""Confidence intervals: the patient-clustered bootstrap of any metric, and DeLong's interval of the AUC.

Images of one patient resemble each other, so patients are resampled instead of images; an interval that treats images
as independent is too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.core.seeds import check_seed
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.inputs import check_pair
from zoo.evaluation.statistics.ranking import placements
from zoo.evaluation.statistics.ratios import ratio

K = TypeVar("K")

#: Resamples worked on at a time: some 64 x n x 8 bytes.
_CHUNK = 64


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval and the number of labels behind it.

    Attributes:
        value: The estimate; NaN if it is undefined.
        low: Lower limit; NaN if there is no interval.
        high: Upper limit; NaN if there is no interval.
        n: Number of known labels.
        positives: Number of positives among them.

    >>> Interval(0.8, 0.7, 0.9, n=100, positives=20).low
    0.7
    """

    value: float
    low: float
    high: float
    n: int
    positives: int


def bootstrap(
    statistic: Callable[[np.ndarray], Mapping[K, np.ndarray]],
    clusters: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[K, np.ndarray]:
    """Draws whole clusters with replacement and recomputes every metric (Efron 1979; Field and Welsh 2007).

    All metrics of one call see the same resamples, so the difference of two of them is paired:

        >>> a, b = np.array([4.0, 1, 3, 2]), np.array([4.0, 3, 2, 1])
        >>> means = lambda w: {"a": a @ w / w.sum(axis=0), "b": b @ w / w.sum(axis=0)}
        >>> samples = bootstrap(means, np.array([0, 1, 2, 3]), resamples=50)
        >>> low, high = percentiles(samples["a"] - samples["b"])

    Args:
        statistic: From row weights (n, r) float32 to named arrays whose first axis is r.
        clusters: (n,) int, each row's patient numbered from 0 (`Scores.clusters`).
        resamples: Number of resamples.
        seed: The same seed gives the same resamples.

    Returns:
        Name -> float64 array, its first axis the resamples.

    Raises:
        ValueError: No resamples asked for, or no rows.
    """
    parts: dict[K, list[np.ndarray]] = {}
    for drawn in draw(int(clusters.max()) + 1 if len(clusters) else 0, resamples, seed):
        weights = np.ascontiguousarray(drawn.T.astype(np.float32)[clusters])
        for name, values in statistic(weights).items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def draw(clusters: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draws bootstrap resamples of clusters.

    Args:
        clusters: Number of clusters.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Yields:
        float64 (r, clusters), how often each cluster is drawn in each of the next r resamples.

    Raises:
        EvaluationError: No resamples, or no clusters.

    >>> next(draw(3, resamples=2, seed=0)).sum(axis=1).tolist()
    [3.0, 3.0]
    """
    if resamples < 1 or clusters < 1:
        raise EvaluationError(
            f"a bootstrap needs at least one resample and one patient, got {resamples} and {clusters}"
        )
    rng = np.random.default_rng(check_seed(seed))
    for start in range(0, resamples, _CHUNK):
        chosen = (rng.integers(0, clusters, clusters) for _ in range(min(_CHUNK, resamples - start)))
        yield np.stack([np.bincount(one, minlength=clusters) for one in chosen]).astype(np.float64)


def percentiles(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over the first axis of `samples` (Efron 1981), each limit of shape (...).

    A resample in which a metric is undefined (no positive was drawn) is left out. The limits are NaN if fewer than half
    of the resamples remain, and if all of them are equal (one patient; all positives found), since the data then do not
    show the uncertainty.

    >>> low, high = percentiles(np.linspace(0, 1, 101)[:, None])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.025], [0.975])
    """
    defined = np.mean(~np.isnan(samples), axis=0) >= 0.5
    usable = np.where(defined, samples, 0.0)
    low, high = np.nanquantile(usable, [(1 - level) / 2, (1 + level) / 2], axis=0)
    known = defined & (np.nanmax(usable, axis=0) > np.nanmin(usable, axis=0))
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def clustered_error(residuals: np.ndarray, clusters: np.ndarray | int) -> np.ndarray:
    """Standard error of a sum whose terms are independent between clusters.

    Args:
        residuals: (c, ...) sum of the residuals of each cluster.
        clusters: Number of clusters with any residuals, one number or (...).

    Returns:
        float64 (...); NaN for a single cluster.

    >>> float(clustered_error(np.array([1.0, -1.0]), 2))
    2.0
    """
    count = np.asarray(clusters, np.float64)
    return np.sqrt(np.sum(residuals**2, axis=0) * ratio(count, count - 1))


def delong(
    labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> tuple[Interval, ...]:
    """AUC of each finding with DeLong's interval, limited to 0..1.

    The variance comes from each row's placement among the rows of the other class (DeLong, DeLong, Clarke-Pearson
    1988), found by sorting (Sun and Xu 2014), summed by cluster where patients repeat (Obuchowski 1997).

    Args:
        labels: (n, k) of 1, 0 and NaN.
        scores: (n, k) finite.
        clusters: (n,) int, each row's patient; None treats the rows as independent.
        level: Confidence level.

    Returns:
        k intervals; limits are NaN if a class has fewer than two clusters, or the variance is 0 (perfect ranking).

    >>> labels = np.array([[1], [0], [1], [0], [1], [0]])
    >>> (one,) = delong(labels, np.array([[0.9], [0.1], [0.4], [0.5], [0.8], [0.2]]))
    >>> round(one.value, 3), round(one.low, 3), one.high
    (0.889, 0.581, 1.0)
    """
    return _delong(labels, (scores,), clusters, level)


def delong_difference(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> tuple[Interval, ...]:
    """AUC of `a` minus that of `b` on the same rows, with DeLong's paired interval; arguments as `delong`.

    >>> labels, scores = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.1], [0.4], [0.5]])
    >>> delong_difference(labels, scores, -scores)[0].value
    0.5
    """
    return _delong(labels, (a, b), clusters, level)


def _delong(
    labels: np.ndarray, models: Sequence[np.ndarray], clusters: np.ndarray | None, level: float
) -> tuple[Interval, ...]:
    checked = [check_pair(labels, scores) for scores in models]
    labels, models = checked[0][0], [scores for _, scores in checked]
    groups = np.arange(len(labels)) if clusters is None else np.asarray(clusters)
    n, positives = known_counts(labels)
    z = NormalDist().inv_cdf((1 + level) / 2)
    floor = 0.0 if len(models) == 1 else -1.0
    intervals = []
    for j in range(labels.shape[1]):
        value, variance = _auc_contrast(labels[:, j], [scores[:, j] for scores in models], groups)
        spread = z * np.sqrt(variance) if variance > 0 else np.nan
        low, high = max(floor, value - spread), min(1.0, value + spread)
        if np.isnan(spread):
            low = high = np.nan
        intervals.append(Interval(float(value), float(low), float(high), int(n[j]), int(positives[j])))
    return tuple(intervals)


def _auc_contrast(labels: np.ndarray, models: Sequence[np.ndarray], groups: np.ndarray) -> tuple[float, float]:
    """The first model's AUC minus the second's (if any), and its variance by Obuchowski's clustered estimator."""
    positive, negative = labels == 1, labels == 0
    p, q = int(positive.sum()), int(negative.sum())
    if not p or not q:
        return np.nan, np.nan
    # The placements of a difference of AUCs are the differences of the placements, so one formula suffices.
    shares = placements(labels, models[0])
    for other in models[1:]:
        shares = shares - placements(labels, other)
    value = float(shares[positive].mean())
    with_positives, with_negatives = len(np.unique(groups[positive])), len(np.unique(groups[negative]))
    if with_positives < 2 or with_negatives < 2:
        return value, np.nan
    residuals = shares - value
    v10 = np.bincount(groups, residuals * positive)
    v01 = np.bincount(groups, residuals * negative)
    clusters = len(np.unique(groups[positive | negative]))
    s10 = with_positives / ((with_positives - 1) * p) * np.sum(v10**2)
    s01 = with_negatives / ((with_negatives - 1) * q) * np.sum(v01**2)
    s11 = clusters / (clusters - 1) * np.sum(v10 * v01)
    return value, float(s10 / p + s01 / q + 2 * s11 / (p * q))
