"""Who outranks whom: AUC and average precision under thousands of row weights, placements and mean ranks.

The rows of a finding are sorted once. Under each weighting only running sums of its positives, and sums over its
negatives, are left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.evaluation.statistics.ratios import ratio

Area = Literal["auc", "average_precision"]
AREAS: tuple[Area, ...] = ("auc", "average_precision")

#: Negatives looked at together: few enough to stay in a processor's cache. Their wins are exact in float32 where these
#: are counts that add up to less than 2**24, and off by 1e-7 at most beyond.
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Ranked:
    """One finding's positives and negatives, each sorted by rising score, and how they rank against each other.

    Attributes:
        positives: (p,) row numbers.
        negatives: (q,) row numbers.
        outranked: (u, 2) how many positives score above, and no less than, each different kind of negative.
        kind: (q,) which of these kinds each negative is.
        level: (v,) place of the first positive of each different score.
        edges: (e,) rising, the different places of `first`.
        first: (v,) place in `edges` of the first negative that scores no less than each level.
    """

    positives: np.ndarray
    negatives: np.ndarray
    outranked: np.ndarray
    kind: np.ndarray
    level: np.ndarray
    edges: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> Ranked:
        """Ranks one finding: labels (n,) of 1, 0 and NaN (left out), scores (n,) finite, on any scale."""
        positives, negatives = (_sorted(np.flatnonzero(labels == truth), scores) for truth in (1, 0))
        own, others, p = scores[positives], scores[negatives], len(positives)
        above, no_less = (p - np.searchsorted(own, others, side) for side in ("right", "left"))
        kinds, kind = _distinct(above * (p + 1) + no_less)
        level = np.flatnonzero(np.append(True, own[1:] != own[:-1])[:p])
        edges, first = _distinct(np.searchsorted(others, own[level], "left"))
        return cls(positives, negatives, np.stack(np.divmod(kinds, p + 1), axis=1), kind, level, edges, first)

    def areas(self, weights: np.ndarray, which: Sequence[Area] = AREAS) -> dict[Area, np.ndarray]:
        """AUC, ties counting half (Hanley and McNeil 1982), and average precision, equal scores being one cut.

        Args:
            weights: (n, r) of all rows, non-negative.
            which: Of the two.

        Returns:
            float64 (r,) each; NaN where no positive or no negative has any weight.
        """
        own = np.take(weights, self.positives, axis=0)
        above = _running(own)
        beaten_by = above[self.outranked].sum(axis=1)
        r, wins = weights.shape[1], np.zeros(weights.shape[1])
        sums = np.zeros((len(self.edges) + 1, r), weights.dtype)  # of the negatives up to each edge and between them
        for start in range(0, len(self.negatives), _ROWS):
            rows = slice(start, start + _ROWS)
            others = np.take(weights, self.negatives[rows], axis=0)
            if "auc" in which:
                wins += np.einsum("ij,ij->j", beaten_by[self.kind[rows]], others)
            before, end = np.searchsorted(self.edges, start, "right"), np.searchsorted(self.edges, start + len(others))
            if "average_precision" in which:
                begins = np.append(0, self.edges[before:end] - start)
                sums[before : end + 1] += np.add.reduceat(others, begins, axis=0)
            else:
                sums[0] += others.sum(axis=0)
        positives, negatives = above[-1].astype(np.float64), sums.sum(axis=0, dtype=np.float64)
        found: dict[Area, np.ndarray] = {}
        if "auc" in which:
            found["auc"] = ratio(wins, 2 * positives * negatives)
        if "average_precision" in which:
            gained = self._gained(above, sums[1:].astype(np.float64))
            found["average_precision"] = np.where(negatives > 0, ratio(gained, positives), np.nan)
        return found

    def _gained(self, above: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """(r,) precision at each level times the positives that it adds, summed."""
        found = above[len(self.positives) - self.level].astype(np.float64)
        called = found + _running(sums)[len(self.edges) - self.first]
        precision = np.divide(found, called, out=np.zeros_like(called), where=called > 0)
        found[:-1] -= found[1:].copy()
        return np.einsum("ij,ij->j", found, precision)


def placements(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Share of the other class that a row outranks (a positive) or is outranked by (a negative), ties counting half.

    The mean over either class is the AUC.

    Args:
        labels: (n,) of 1, 0 and NaN.
        scores: (n,) finite.

    Returns:
        float64 (n,); 0 where the label is unknown, NaN where there is no other class.

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
    """Rank of each value in its column, ties sharing theirs, as a share between 0 and 1: (n, k) to float64 (n, k).

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
    """The different values of an ordered array, in its order, and which of them each is."""
    new = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    return ordered[new], np.cumsum(new) - 1


def _running(weights: np.ndarray) -> np.ndarray:
    """(m + 1, r) sums of the last 0, 1, ... m rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights[::-1], axis=0, out=sums[1:])
    return sums
