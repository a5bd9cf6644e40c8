"""One finding in one group: sorted once, then measured under thousands of row weights. What `subgroups` resamples with.

The same numbers as `metrics.roc_auc`, `metrics.confusion` and `calibration.calibration_error` give, in a fraction of
the time: sums run over the positives, or over stretches of sorted rows, in place of running sums over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.evaluation.metrics import at_least
from zoo.evaluation.scores import Scores

#: Bins of the calibration error, as `calibration_error` has them.
_BINS = 15

#: Rows whose wins are summed at a time: sums of counts below 2**24 are exact in float32.
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Cell:
    """The known rows of one finding in one group: positives, then negatives, each rising in score.

    Attributes:
        rows: (m,) row numbers.
        positives: How many come first.
        outranked: (u, 2) how many positives score above, and no less than, each kind of negative.
        kind: (q,) which of them each negative is.
        runs: (s, 5) first row, last row (exclusive), truth, call and bin of each run of rows that share these.
        summed: (2, m) of 1 and the probability: what is summed over the runs. () for scores of unknown scale.
        decided: False where the finding has no threshold.
    """

    rows: np.ndarray
    positives: int
    outranked: np.ndarray
    kind: np.ndarray
    runs: np.ndarray
    summed: np.ndarray
    decided: bool

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """(r,) AUC under the weights (m, r) of these rows, ties counting half."""
        own, others = weights[: self.positives], weights[self.positives :]
        above = np.zeros((self.positives + 1, weights.shape[1]), weights.dtype)
        np.cumsum(own[::-1], axis=0, out=above[1:])
        beaten_by = above[self.outranked].sum(axis=1)
        wins = np.zeros(weights.shape[1])
        for start in range(0, len(others), _ROWS):
            rows = slice(start, start + _ROWS)
            wins += np.einsum("ij,ij->j", beaten_by[self.kind[rows]], others[rows])
        return _ratio(wins, 2.0 * above[-1] * others.sum(axis=0, dtype=np.float64))

    def at_point(self, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """(r,) sensitivity, specificity, calibration error, and observed less predicted frequency.

        The calibration error keeps the bins of the unweighted rows.
        """
        summed = self.summed.astype(weights.dtype)
        sums = np.stack([summed[:, first:last] @ weights[first:last] for first, last in self.runs[:, :2]])
        n, p = sums.astype(np.float64).transpose(1, 0, 2)
        truth, called, bin_of = self.runs[:, 2:].T
        positive, negative = n[truth == 1].sum(axis=0), n[truth == 0].sum(axis=0)
        sensitivity = _ratio(n[(truth == 1) & (called == 1)].sum(axis=0), positive)
        specificity = _ratio(n[(truth == 0) & (called == 0)].sum(axis=0), negative)
        if not self.decided:
            sensitivity, specificity = np.full((2, len(positive)), np.nan)
        above = _ratio(positive - p.sum(axis=0), positive + negative)
        in_bin = (bin_of == np.arange(_BINS)[:, None]).astype(np.float64)
        error = _calibration_error(in_bin @ n, in_bin @ (n * truth[:, None]), in_bin @ p)
        return sensitivity, specificity, np.where((positive > 0) & (negative > 0), error, np.nan), above


def make_cells(
    scores: Scores,
    probabilities: np.ndarray | None,
    thresholds: Sequence[float | None],
    members: np.ndarray,
    smallest: tuple[int, int],
) -> list[Cell | None]:
    """A cell for each finding of one group.

    Args:
        scores: All rows.
        probabilities: (n, k) calibrated; None for scores of unknown scale, which have no `at_point`.
        thresholds: One a finding, or None.
        members: Row numbers of the group.
        smallest: Fewest positives and negatives; a finding with fewer gets None.
    """
    cells: list[Cell | None] = []
    for j, threshold in enumerate(thresholds):
        rows = members[~np.isnan(scores.labels[members, j])]
        truth = scores.labels[rows, j] == 1
        if truth.sum() < smallest[0] or (~truth).sum() < smallest[1]:
            cells.append(None)
            continue
        order = np.lexsort((scores.logits[rows, j], ~truth))
        rows, truth = rows[order], truth[order]
        outranked, kind = _order(scores.logits[rows, j], int(truth.sum()))
        runs, summed = np.empty((0, 5), np.int64), np.empty((2, 0))
        if probabilities is not None:
            runs, summed = _runs(truth, probabilities[rows, j], threshold)
        cells.append(Cell(rows, int(truth.sum()), outranked, kind, runs, summed, threshold is not None))
    return cells


def measure(cells: Sequence[Cell | None], weights: np.ndarray, metrics: int) -> np.ndarray:
    """(r, metrics, k) under row weights (n, r) of all rows: `auc` alone (one metric), or `at_point` too (five)."""
    result = np.full((weights.shape[1], metrics, len(cells)), np.nan)
    for j, cell in enumerate(cells):
        if cell is not None:
            own = np.take(weights, cell.rows, axis=0)
            result[:, 0, j] = cell.auc(own)
            if metrics > 1:
                result[:, 1:, j] = np.stack(cell.at_point(own), axis=1)
    return result


def _order(scores: np.ndarray, positives: int) -> tuple[np.ndarray, np.ndarray]:
    """What a cell keeps as `outranked` and `kind`."""
    own, others = scores[:positives], scores[positives:]
    above, no_less = (positives - np.searchsorted(own, others, side) for side in ("right", "left"))
    codes, kind = np.unique(above * (positives + 1) + no_less, return_inverse=True)
    return np.stack(np.divmod(codes, positives + 1), axis=1), kind


def _runs(truth: np.ndarray, p: np.ndarray, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    bin_of = np.searchsorted(np.quantile(p, np.arange(1, _BINS) / _BINS), p, side="right")
    called = at_least(p, np.nan if threshold is None else threshold)
    facts = np.stack([truth, called, bin_of], axis=1).astype(np.int64)
    first = np.flatnonzero(np.append(True, (facts[1:] != facts[:-1]).any(axis=1)))
    return np.column_stack([first, np.append(first[1:], len(p)), facts[first]]), np.stack([np.ones_like(p), p])


def _calibration_error(n: np.ndarray, positives: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(r,) debiased error from sums (bins, r), as `calibration.calibration_error` defines it."""
    n_or_1 = np.maximum(n, 1)
    observed = positives / n_or_1
    chance = observed * (1 - observed) / np.maximum(n - 1, 1)
    square = _ratio(np.sum(n * ((predicted / n_or_1 - observed) ** 2 - chance), axis=0), n.sum(axis=0))
    return np.sqrt(np.maximum(square, 0.0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
