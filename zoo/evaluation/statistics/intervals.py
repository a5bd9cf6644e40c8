"""Confidence intervals: an estimate with its limits, and the patient-clustered bootstrap of any metric.

Images of one patient resemble each other, so patients are resampled instead of images; an interval that treats images
as independent is too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.core.seeds import check_seed
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
        >>> float(np.std(samples["a"] - samples["b"])) > 0
        True

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


def cluster_folds(clusters: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assigns whole clusters to folds of equal numbers of clusters, at random.

    Args:
        clusters: (n,) int, each row's patient numbered from 0.
        folds: Number of folds.
        seed: Seed of the assignment.

    Returns:
        int64 (n,): fold of each row, from 0.

    >>> cluster_folds(np.array([0, 0, 1]), folds=2, seed=0).tolist() in ([0, 0, 1], [1, 1, 0])
    True
    """
    return np.random.default_rng(check_seed(seed)).permutation(int(clusters.max()) + 1)[clusters] % folds


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


def clustered_mean(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean of (n, k) values, NaN left out, and its standard error by cluster.

    >>> clustered_mean(np.array([[1.0], [np.nan], [3.0]]), np.array([0, 0, 1]))
    (2.0, 1.0)
    """
    known = ~np.isnan(values)
    mean = float(values[known].mean())
    sums = np.bincount(clusters, np.sum(np.where(known, values - mean, 0.0), axis=1))
    return mean, float(clustered_error(sums, len(sums)) / known.sum())
