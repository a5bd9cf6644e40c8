"""One finding's rows, sorted once and then measured under thousands of row weights; used by every bootstrap.

For speed, sums are taken over the positives, or over runs of sorted rows that share label, calls and bin, instead of
cumulative sums over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zoo.evaluation.statistics.counts import at_least
from zoo.evaluation.statistics.ranking import AREAS, Area, Ranked
from zoo.evaluation.statistics.ratios import ratio
from zoo.evaluation.statistics.reliability import BINS, bins_of, debiased_square

#: Minimum number of rows whose weights are gathered together.
_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Column:
    """One finding's rows with known labels: positives, then negatives, each in order of increasing score.

    Attributes:
        ranked: The ranking of positives and negatives, with the row numbers that weights refer to.
        runs: (s, 2) first and last row (exclusive) of each run of rows that share label, calls and bin.
        truth: (s,) bool, True for a run of positives.
        called: (s, points) 1 or 0, whether a run is called positive at each threshold; NaN without a threshold.
        bin_of: (s,) bin of the calibration error.
        summed: (2 + c, m) the values that are summed: 1, the probability, and c others.

    >>> column = Column.of(np.array([1, 0, 0]), np.array([0.9, 0.2, 0.6]), np.array([0.9, 0.2, 0.6]), [0.5])
    >>> [calls.ravel().tolist() for calls in column.sums(np.ones((3, 1))).calls()]  # true and false positives
    [[1.0], [1.0]]
    """

    ranked: Ranked
    runs: np.ndarray
    truth: np.ndarray
    called: np.ndarray
    bin_of: np.ndarray
    summed: np.ndarray

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        scores: np.ndarray,
        probabilities: np.ndarray | None = None,
        thresholds: Sequence[float | None] = (),
        *,
        rows: np.ndarray | None = None,
        summed: Sequence[np.ndarray] = (),
    ) -> Column:
        """Sorts one finding.

        Args:
            labels: (n,) of 1, 0 and NaN (left out).
            scores: (n,) finite, on any scale, for AUC and average precision.
            probabilities: (n,) that increase with the scores; without them `Sums` only has the weights.
            thresholds: Thresholds on the probabilities; None makes no calls.
            rows: (n,) number of each row in the weights; 0, 1, ... by default.
            summed: Further values to sum, each (n,).
        """
        ranked = Ranked.of(labels, scores)
        order, positives = np.append(ranked.positives, ranked.negatives), len(ranked.positives)
        p = np.zeros(len(order)) if probabilities is None else probabilities[order]
        limits = np.array([np.nan if limit is None else limit for limit in thresholds])
        called = [at_least(p, limit) for limit in limits]
        facts = np.stack([np.arange(len(p)) < positives, bins_of(p), *called], axis=1).astype(np.int64)
        first = np.flatnonzero(np.append(True, (facts[1:] != facts[:-1]).any(axis=1))[: len(p)])
        if rows is not None:
            ranked = replace(ranked, positives=rows[ranked.positives], negatives=rows[ranked.negatives])
        return cls(
            ranked,
            np.stack([first, np.append(first[1:], len(p))[: len(first)]], axis=1),
            facts[first, 0] == 1,
            np.where(np.isnan(limits), np.nan, facts[first, 2:]),
            facts[first, 1],
            np.stack([np.ones_like(p), p, *(values[order] for values in summed)]),
        )

    def areas(self, weights: np.ndarray, which: Sequence[Area] = AREAS) -> dict[Area, np.ndarray]:
        """Areas under the ROC and the precision-recall curve; see `Ranked.areas`."""
        return self.ranked.areas(weights, which)

    def sums(self, weights: np.ndarray) -> Sums:
        """Sums over the runs under row weights (n, r), from which the measures of probabilities follow."""
        rows = np.append(self.ranked.positives, self.ranked.negatives)
        values = np.empty((len(self.runs), len(self.summed), weights.shape[1]))
        gathered, start, end = weights[:0], 0, 0
        for value, (first, last) in zip(values, self.runs.tolist(), strict=True):
            if last > end:
                start, end = first, max(last, first + _ROWS)
                gathered = weights.take(rows[start:end], axis=0)
            np.matmul(self.summed[:, first:last], gathered[first - start : last - start], out=value)
        return Sums(self, values.transpose(1, 0, 2))


@dataclass(frozen=True, eq=False)
class Sums:
    """A column's sums over its runs, under r sets of weights.

    Attributes:
        column: The column.
        values: float64 (2 + c, s, r).
    """

    column: Column
    values: np.ndarray

    @property
    def positives(self) -> np.ndarray:
        """(r,) total weight of the positives."""
        return self.values[0, self.column.truth].sum(axis=0)

    @property
    def negatives(self) -> np.ndarray:
        """(r,) total weight of the negatives."""
        return self.values[0, ~self.column.truth].sum(axis=0)

    @property
    def rest(self) -> np.ndarray:
        """(c, r) sums of the further values."""
        return self.values[2:].sum(axis=1)

    def calls(self) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives at the thresholds, each (points, r); NaN without a threshold."""
        positive, negative = self.values[0, self.column.truth], self.values[0, ~self.column.truth]
        return self.column.called[self.column.truth].T @ positive, self.column.called[~self.column.truth].T @ negative

    def squared_error(self) -> np.ndarray:
        """(r,) unbiased square of the calibration error; the bins are those of the unweighted rows."""
        in_bin = (self.column.bin_of == np.arange(BINS)[:, None]).astype(np.float64)
        n, p = self.values[0], self.values[1]
        return debiased_square(in_bin @ n, in_bin @ (n * self.column.truth[:, None]), in_bin @ p)

    def excess(self) -> np.ndarray:
        """(r,) observed minus predicted frequency."""
        return ratio(self.positives - self.values[1].sum(axis=0), self.positives + self.negatives)
