"""Comparison of a model with radiologists: each reader is a point in the ROC plane, compared with the model's curve.

The form follows the figures of Irvin et al. 2019. A reader whose own readings went into the labels appears better than
on independent labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import ReaderPoint, Readers, Side
from zoo.evaluation.result.numbers import Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.margins import margin
from zoo.evaluation.statistics.proportions import proportion


def reader_points(
    scores_by_model: Mapping[str, Scores],
    readers: Mapping[str, np.ndarray],
    *,
    level: float = 0.95,
) -> Readers:
    """Computes each reader's point in the ROC plane, and on which side of each model's curve it lies.

    A model's sensitivity is taken from its ROC curve at the reader's false positive rate. If the curve has a vertical
    step there, a reader between the two ends of the step lies on the curve; over tied scores the curve is a slope. A
    `margin` is the height of the curve above the reader, in sensitivity (negative if the curve passes below).

    Args:
        scores_by_model: Name -> scores, on the same rows, labels and findings.
        readers: Name -> (n, k) calls of 1, 0 and NaN (not read), on the rows and findings of the scores.
        level: Confidence level.

    Returns:
        Each reader's point, with Wilson's intervals clustered by patient, and how many readers lie on which side of
        each model's curve.

    Raises:
        ValueError: Calls of another shape, or with other values than 1, 0 and NaN.

    >>> labels = np.array([[1], [0]] * 20)
    >>> model = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> found = reader_points({"model": model}, {"reader": np.ones((40, 1))})
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
    return Readers(
        Resampling(resamples=0, level=level),
        points,
        {
            model: {
                finding: _sides(
                    {
                        reader: margin(scores.labels[:, j], scores.logits[:, j], calls[:, j], scores.clusters, level)
                        for reader, calls in readers.items()
                        if points[reader][finding]
                    }
                )
                for j, finding in enumerate(first.findings)
            }
            for model, scores in scores_by_model.items()
        },
    )


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
