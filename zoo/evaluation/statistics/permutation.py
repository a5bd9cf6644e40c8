"""Tests of many distances at once, by permutation, with one rate of false alarms for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

#: Divisions that are made at a time, so that memory does not grow with their number.
_AT_A_TIME = 64


@dataclass(frozen=True, eq=False)
class Adjusted:
    """The test of s distances.

    Attributes:
        p: float64 (s,), adjusted: the share of divisions in which the largest of all standardised distances is at least
            this one. Below `alpha` by chance for any of them in at most a share `alpha` of all tests.
        usual: float64 (s,), mean distance over the divisions: what chance alone gives.
        limit: float64 (s,), the distance above which there is an alarm.
    """

    p: np.ndarray
    usual: np.ndarray
    limit: np.ndarray


def orders(n: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the given order of n rows and `count` random ones, some at a time; the last rows of each are called new.

    Returns:
        int32 (n, b) blocks, the place of each row in each order; the given order is the first column of the first.

    >>> [(block.shape, block[:, 0].tolist()) for block in orders(3, 4, seed=0)]
    [((3, 5), [0, 1, 2])]
    """
    rng = np.random.default_rng(seed)
    given = np.arange(n, dtype=np.int32)
    for start in range(0, count + 1, _AT_A_TIME):
        block = np.empty((n, min(_AT_A_TIME, count + 1 - start)), np.int32)
        for column in range(block.shape[1]):
            block[:, column] = given if start + column == 0 else rng.permutation(given)
        yield block


def largest(distances: np.ndarray, alpha: float) -> Adjusted:
    """Tests distances by the permutation of the maximum (maxT: Westfall and Young, "Resampling-Based Multiple
    Testing", 1993).

    Each distance is standardised by its mean and standard deviation over the divisions, so that a small p does not need
    many divisions for each distance. The given division is one of them in every step, which makes the test exact if
    the rows are independent and without drift.

    Args:
        distances: float64 (s, 1 + b), of the given division first.
        alpha: Rate of false alarms, of all distances together.

    >>> rng = np.random.default_rng(0)
    >>> distances = rng.random((2, 100))
    >>> distances[0, 0] = 9
    >>> largest(distances, 0.05).p.round(2).tolist()
    [0.01, 0.79]
    """
    mean, spread = distances.mean(axis=1), distances.std(axis=1)
    # What never varies, such as the share of a finding that nobody has, says nothing.
    varies = spread > 1e-9 * np.maximum(np.abs(mean), 1e-300)
    scale = np.where(varies, spread, np.inf)
    standard = (distances - mean[:, None]) / scale[:, None]
    most = standard.max(axis=0, initial=-np.inf)
    # Equal divisions may differ in the last bit.
    p = np.where(varies, (most >= standard[:, :1] - 1e-9).mean(axis=1), 1.0)
    allowed = int(np.floor(alpha * len(most) + 1e-9))
    least = np.sort(most)[::-1][min(allowed, len(most) - 1)]
    return Adjusted(p, mean, np.where(varies, mean + least * spread, np.inf))
