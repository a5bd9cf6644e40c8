"""Comparison of a model with radiologists: each reader is a point in the ROC plane, compared with the model's curve.

The form follows the figures of Irvin et al. 2019. A reader whose own readings went into the labels appears better than
on independent labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import ReaderPoint, Readers, Side
from zoo.evaluation.result.numbers import PERCENTILES, Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval, bootstrap, percentiles
from zoo.evaluation.statistics.proportions import proportion

#: Model, finding and reader.
_Key: TypeAlias = tuple[str, str, str]


def reader_points(
    scores_by_model: Mapping[str, Scores],
    readers: Mapping[str, np.ndarray],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Readers:
    """Computes each reader's point in the ROC plane, and on which side of each model's curve it lies.

    A model's sensitivity is taken from its ROC curve at the reader's false positive rate. If the curve has a vertical
    step there, a reader between the two ends of the step lies on the curve; over tied scores the curve is a slope. A
    `margin` is the height of the curve above the reader, in sensitivity (negative if the curve passes below). Its
    interval comes from a bootstrap over patients that resamples curve and reader together.

    Args:
        scores_by_model: Name -> scores, on the same rows, labels and findings.
        readers: Name -> (n, k) calls of 1, 0 and NaN (not read), on the rows and findings of the scores.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
        level: Confidence level.

    Returns:
        Each reader's point, with Wilson's intervals clustered by patient, and how many readers lie on which side of
        each model's curve.

    Raises:
        ValueError: Calls of another shape, or with other values than 1, 0 and NaN.

    >>> labels = np.array([[1], [0]] * 20)
    >>> model = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> found = reader_points({"model": model}, {"reader": np.ones((40, 1))}, resamples=20)
    >>> found.models["model"]["Edema"].on  # a reader who calls everything positive is the upper right end of the curve
    1
    """
    first = next(iter(scores_by_model.values()))
    for name, calls in readers.items():
        if np.shape(calls) != first.labels.shape:
            raise EvaluationError(
                f"reader {name!r} has calls of shape {np.shape(calls)}, the labels are {first.labels.shape}"
            )
        if not (np.isin(calls, (0, 1)) | np.isnan(calls)).all():
            raise EvaluationError(f"reader {name!r}: a call is 1, 0 or NaN (not read)")
    points = {name: _points(calls, first, level) for name, calls in readers.items()}
    margins: dict[_Key, Interval] = {}
    curves = {
        (model, finding): _curves(scores, j, {r: calls[:, j] for r, calls in readers.items() if points[r][finding]})
        for model, scores in scores_by_model.items()
        for j, finding in enumerate(first.findings)
    }
    if any(curves.values()):
        margins = _margins(curves, first.clusters, resamples, seed, level)
    return Readers(
        Resampling(PERCENTILES, resamples, seed, level),
        points,
        {
            model: {
                finding: _sides({r: m for (of, on, r), m in margins.items() if (of, on) == (model, finding)})
                for finding in first.findings
            }
            for model in scores_by_model
        },
    )


def _margins(
    curves: Mapping[tuple[str, str], Sequence[_Curve]], clusters: np.ndarray, resamples: int, seed: int, level: float
) -> dict[_Key, Interval]:
    keys = [(model, finding, r) for (model, finding), own in curves.items() for curve in own for r in curve.readers]
    counts = [(curve.n, curve.positives) for own in curves.values() for curve in own for _ in curve.readers]

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"margin": np.concatenate([curve.margins(weights) for own in curves.values() for curve in own]).T}

    values = statistic(np.ones((len(clusters), 1), np.float32))["margin"][0]
    lows, highs = percentiles(bootstrap(statistic, clusters, resamples=resamples, seed=seed)["margin"], level)
    limits = zip(values.tolist(), lows.tolist(), highs.tolist(), counts, strict=True)
    return dict(zip(keys, (Interval(value, low, high, *count) for value, low, high, count in limits), strict=True))


def _points(calls: np.ndarray, scores: Scores, level: float) -> dict[str, ReaderPoint | None]:
    """One reader's rates by finding."""
    points: dict[str, ReaderPoint | None] = {}
    for j, finding in enumerate(scores.findings):
        truth, call = scores.labels[:, j], np.asarray(calls[:, j], np.float64)
        read = ~np.isnan(truth) & ~np.isnan(call)
        n, positives = int(read.sum()), int(np.sum(truth[read] == 1))
        points[finding] = None
        if 0 < positives < n:
            rates = (
                proportion(np.where(read & (truth == label), call, np.nan), scores.clusters, level) for label in (0, 1)
            )
            points[finding] = ReaderPoint(
                *(Estimate.from_interval(replace(rate, n=n, positives=positives)) for rate in rates)
            )
    return points


def _sides(margins: Mapping[str, Interval]) -> Side:
    sides = [int(np.sign(round(margin.value, 12))) for margin in margins.values()]
    return Side(
        under=sides.count(1),
        on=sides.count(0),
        over=sides.count(-1),
        of=len(sides),
        shown_under=sum(bool(margin.low > 0) for margin in margins.values()),
        shown_over=sum(bool(margin.high < 0) for margin in margins.values()),
        margins={reader: Estimate.from_interval(margin) for reader, margin in margins.items()},
    )


def _curves(scores: Scores, column: int, calls: Mapping[str, np.ndarray]) -> list[_Curve]:
    """One ROC curve for all readers who read the same images."""
    truth, values = scores.labels[:, column], scores.logits[:, column]
    groups: dict[bytes, list[str]] = {}
    for reader, of in calls.items():
        groups.setdefault(np.isnan(of).tobytes(), []).append(reader)
    return [_Curve.of(truth, values, {reader: calls[reader] for reader in readers}) for readers in groups.values()]


@dataclass(frozen=True, eq=False)
class _Curve:
    """The ROC curve of one finding on the images that a set of readers read, and their calls.

    The points of the curve are the origin and one for each of the g distinct scores of negatives. From a point the
    curve first rises vertically by the positives that score between two of these scores, and then slopes over the
    positives that tie with the next negatives.

    Attributes:
        readers: Names of the m readers.
        rows: Rows of the positives (p,) and of the negatives (q,), in order of decreasing score.
        passed: (g + 1,) number of negatives up to each point.
        foot: (g + 1,) number of positives that score at least as high as these negatives.
        top: (g + 1,) number of positives that score above the next negative.
        called: The readers' calls of positives (m, p) and negatives (m, q), float32.
    """

    readers: tuple[str, ...]
    rows: tuple[np.ndarray, np.ndarray]
    passed: np.ndarray
    foot: np.ndarray
    top: np.ndarray
    called: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, truth: np.ndarray, scores: np.ndarray, calls: Mapping[str, np.ndarray]) -> _Curve:
        """Sorts the rows once; the resamples then only change their weights."""
        made = np.stack(list(calls.values()))
        found = [np.flatnonzero(~np.isnan(made[0]) & (truth == label)) for label in (1, 0)]
        positives, negatives = (own[np.argsort(-scores[own], kind="stable")] for own in found)
        levels, count = np.unique(-scores[negatives], return_counts=True)
        above, no_less = (np.searchsorted(-scores[positives], levels, side) for side in ("left", "right"))
        return cls(
            tuple(calls),
            (positives, negatives),
            np.append(0, np.cumsum(count)),
            np.append(0, no_less),
            np.append(above, len(positives)),
            (made[:, positives].astype(np.float32), made[:, negatives].astype(np.float32)),
        )

    @property
    def n(self) -> int:
        """Number of images that were read and have a known label."""
        return len(self.rows[0]) + len(self.rows[1])

    @property
    def positives(self) -> int:
        """Number of positives among them."""
        return len(self.rows[0])

    def margins(self, weights: np.ndarray) -> np.ndarray:
        """Height of the curve above each reader, in sensitivity, under row weights (n, r): (m, r)."""
        own, others = (np.take(weights, rows, axis=0) for rows in self.rows)
        # Not "@": on busy cores, the threads of a matrix product spend most of their time waiting for each other.
        found, alarms = (np.einsum("ij,jk->ik", made, of) for made, of in zip(self.called, (own, others), strict=True))
        true, false = _running(own), np.take(_running(others), self.passed, axis=0)
        columns = list(zip(np.ascontiguousarray(false.T), alarms.T, strict=True))
        # First and last point with the reader's number of false positives, or the last point with fewer.
        first = np.stack([np.searchsorted(points, of, "left") for points, of in columns], axis=1)
        last = np.stack([np.searchsorted(points, of, "right") for points, of in columns], axis=1) - 1
        column = np.arange(own.shape[1])
        upright, after = false[last, column] == alarms, np.minimum(last + 1, len(false) - 1)
        step = np.where(upright, 1.0, false[after, column] - false[last, column])
        share = (alarms - false[last, column]) / step.astype(np.float64)
        top, end = true[self.top[last], column], true[self.foot[after], column]
        top = top + np.where(upright, 0.0, share * (end - top))
        foot = np.where(upright, true[self.foot[first], column], top)
        gap = np.where(found < foot, foot - found, np.minimum(top - found, 0.0))
        defined = (true[-1] > 0) & (false[-1] > 0)
        return np.where(defined, gap / np.maximum(true[-1], 1.0).astype(np.float64), np.nan)


def _running(weights: np.ndarray) -> np.ndarray:
    """Cumulative sums down the rows after a row of zeros; exact in float32 below 2**24 rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums
