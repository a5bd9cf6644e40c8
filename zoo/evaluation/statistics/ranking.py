"""Rank statistics: AUC and average precision under thousands of row weights, placements and mid-ranks.

The rows of a finding are sorted once. Each set of weights then needs only cumulative sums over the positives and sums
over the negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from zoo.evaluation.statistics.ratios import ratio

Area = Literal["auc", "average_precision"]
AREAS: tuple[Area, ...] = ("auc", "average_precision")

#: Number of negatives processed together: few enough for a processor's cache. Their sums are exact in float32 if they
#: are counts that add up to less than 2**24, and have an error of at most 1e-7 otherwise.
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Ranked:
    """Positives and negatives of one finding, each sorted by increasing score.

    Attributes:
        positives: (p,) row numbers of the positives.
        negatives: (q,) row numbers of the negatives.
        own: (p,) scores of the positives.
        others: (q,) scores of the negatives.

    >>> ranked = Ranked.of(np.array([1, 0, 0]), np.array([0.5, 0.5, 0.1]))
    >>> ranked.areas(np.ones((3, 1)), ("auc",))["auc"].tolist()
    [0.75]
    """

    positives: np.ndarray
    negatives: np.ndarray
    own: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> Ranked:
        """Sorts the rows of one finding: labels (n,) of 1, 0 and NaN (left out), scores (n,) finite, on any scale."""
        positives, negatives = (_sorted(np.flatnonzero(labels == truth), scores) for truth in (1, 0))
        return cls(positives, negatives, scores[positives], scores[negatives])

    @cached_property
    def _outranked(self) -> tuple[np.ndarray, np.ndarray]:
        """(u, 2) number of positives above, and at or above, each distinct kind of negative; (q,) each one's kind."""
        p = len(self.own)
        above, no_less = (p - np.searchsorted(self.own, self.others, side) for side in ("right", "left"))
        kinds, kind = _distinct(above * (p + 1) + no_less)
        return np.stack(np.divmod(kinds, p + 1), axis=1), kind

    @cached_property
    def _levels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions of the distinct scores of the positives.

        Returns:
            (v,) index of the first positive with each distinct score; (e,) increasing, distinct indices of the first
            negative at or above these scores; (v,) index into the second array for each distinct score.
        """
        first = np.flatnonzero(np.append(True, self.own[1:] != self.own[:-1])[: len(self.own)])
        return first, *_distinct(np.searchsorted(self.others, self.own[first], "left"))

    def areas(self, weights: np.ndarray, which: Sequence[Area] = AREAS) -> dict[Area, np.ndarray]:
        """Returns the AUC, ties counting half (Hanley and McNeil 1982), and average precision, ties forming one cut.

        Args:
            weights: (n, r) non-negative weights of all rows.
            which: "auc", "average_precision" or both.

        Returns:
            Area -> float64 (r,); NaN if no positive or no negative has any weight.
        """
        above = _running(weights.take(self.positives, axis=0))
        edges = self._levels[1] if "average_precision" in which else np.empty(0, np.int64)
        if "auc" in which:
            outranked, kind = self._outranked
            beaten_by = above[outranked].sum(axis=1)
        wins = np.zeros(weights.shape[1])
        sums = np.zeros((len(edges) + 1, len(wins)), weights.dtype)  # of the negatives below and from each edge on
        for start in range(0, len(self.negatives), _ROWS):
            others = weights.take(self.negatives[start : start + _ROWS], axis=0)
            if "auc" in which:
                wins += np.einsum("ij,ij->j", beaten_by[kind[start : start + _ROWS]], others)
            if len(edges):
                before, end = np.searchsorted(edges, start, "right"), np.searchsorted(edges, start + len(others))
                begins = np.append(0, edges[before:end] - start)
                sums[before : end + 1] += np.add.reduceat(others, begins, axis=0)
            else:
                sums[0] += others.sum(axis=0)
        positives, negatives = above[-1].astype(np.float64), sums.sum(axis=0, dtype=np.float64)
        found: dict[Area, np.ndarray] = {}
        if "auc" in which:
            found["auc"] = ratio(wins, 2 * positives * negatives)
        if "average_precision" in which:
            gained = self._gained(above, sums[1:])
            found["average_precision"] = np.where(negatives > 0, ratio(gained, positives), np.nan)
        return found

    def _gained(self, above: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """(r,) sum over distinct scores of the precision times the positives that the score adds."""
        first, edges, edge_of = self._levels
        found = above[len(self.positives) - first]
        called = found + _running(sums)[len(edges) - edge_of]
        precision = np.divide(found, np.maximum(called, np.finfo(called.dtype).tiny), dtype=np.float64)
        gained = found.copy()
        gained[:-1] -= found[1:]
        return np.einsum("ij,ij->j", gained, precision)


def placements(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the share of the other class that a row outranks (positive) or is outranked by (negative), ties half.

    The mean over either class is the AUC (DeLong et al. 1988 call these values structural components).

    Args:
        labels: (n,) of 1, 0 and NaN.
        scores: (n,) finite scores.

    Returns:
        float64 (n,); 0 if the label is unknown, NaN if the other class is empty.

    >>> placements(np.array([1, 0, 0]), np.array([0.5, 0.5, 0.1])).tolist()
    [0.75, 0.5, 1.0]
    """
    result = np.zeros(len(labels))
    for truth in (1, 0):
        own, others = labels == truth, np.sort(scores[labels == 1 - truth])
        lower = ratio(sum(np.searchsorted(others, scores[own], side) for side in ("left", "right")), 2 * len(others))
        result[own] = lower if truth else 1 - lower
    return result


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks within each column, ties averaged, as shares between 0 and 1: (n, k) to float64 (n, k).

    >>> mean_ranks(np.array([[3.0], [1.0], [3.0], [5.0]])).T.tolist()
    [[0.5, 0.125, 0.5, 0.875]]
    """
    columns = []
    for column in values.T:
        _, place, count = np.unique(column, return_inverse=True, return_counts=True)
        last = np.cumsum(count)
        columns.append((last - (count - 1) / 2 - 0.5)[place.reshape(-1)] / len(column))
    return np.stack(columns, axis=1)


def _sorted(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return rows[np.argsort(scores[rows])]


def _distinct(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values of a sorted array, in order, and the index of each element's value among them."""
    new = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    return ordered[new], np.cumsum(new) - 1


def _running(weights: np.ndarray) -> np.ndarray:
    """Returns the (m + 1, r) sums of the last 0, 1, ... m rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights[::-1], axis=0, out=sums[1:])
    return sums
