"""AUC and average precision under thousands of row weights: the rows are ranked once, then only counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ranked:
    """One finding's rows, numbered by where they stand among the positives; rows of one number are interchangeable.

    With u different scores among the positives, a negative has the number 2 i between the scores i - 1 and i, and
    2 i + 1 at the score i; a positive of score i has 2 u + 1 + i; a row of unknown label has 3 u + 1.

    Attributes:
        numbers: (n,) of each row.
        kinds: u.
    """

    numbers: np.ndarray
    kinds: int

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUC (ties counting half) and average precision (equal scores are one cut) under row weights.

        Args:
            weights: (r, n) or (r, n / c), non-negative; the latter are taken c times, one after the other.

        Returns:
            Two float64 (r,); NaN where no positive or no negative has any weight.
        """
        u, repeats = self.kinds, len(self.numbers) // max(1, weights.shape[1])
        counts = np.empty((len(weights), 3 * u + 2))
        for count, w in zip(counts, weights, strict=True):
            count[:] = np.bincount(self.numbers, w if repeats == 1 else np.tile(w, repeats), minlength=3 * u + 2)
        others, own = np.cumsum(counts[:, : 2 * u + 1], axis=1), counts[:, 2 * u + 1 : -1]
        below, up_to = others[:, 0 : 2 * u : 2], others[:, 1::2]
        found = np.cumsum(own[:, ::-1], axis=1)[:, ::-1]
        positives, negatives = own.sum(axis=1), others[:, -1]
        wins = np.einsum("ij,ij->i", own, below + up_to)
        called = found + (negatives[:, None] - below)
        precision = np.divide(found, called, out=np.zeros_like(called), where=called > 0)
        both = (positives > 0) & (negatives > 0)
        auc = np.divide(wins, 2 * positives * negatives, out=np.full(len(wins), np.nan), where=both)
        gained = np.einsum("ij,ij->i", own, precision)
        return auc, np.divide(gained, positives, out=np.full(len(wins), np.nan), where=both)


def rank(labels: np.ndarray, scores: np.ndarray) -> Ranked:
    """Ranks one finding: labels (n,) of 1, 0 and NaN, scores (n,) finite."""
    positive, negative = labels == 1, labels == 0
    values = np.unique(scores[positive])
    numbers = np.full(len(labels), 3 * len(values) + 1)
    numbers[positive] = 2 * len(values) + 1 + np.searchsorted(values, scores[positive])
    others = scores[negative]
    numbers[negative] = np.searchsorted(values, others, "left") + np.searchsorted(values, others, "right")
    return Ranked(numbers, len(values))
