"""Checks of the inputs of statistics: labels, scores, probabilities and weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.core.errors import EvaluationError


def distinct(numbers: np.ndarray) -> int:
    """How many distinct numbers there are, such as patients: (n,) int from 0.

    >>> distinct(np.array([3, 0, 3]))
    2
    """
    return int(np.count_nonzero(np.bincount(numbers)))  # faster than np.unique


def check_pair(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checks labels and predictions, and returns both as float64 (n, k); a 1-D input is one finding.

    Raises:
        EvaluationError: Shapes differ, a label is not 0, 1 or NaN, or a prediction is not finite.

    >>> [array.shape for array in check_pair(np.array([1, 0]), np.array([0.5, 0.1]))]
    [(2, 1), (2, 1)]
    """
    labels, values = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    if labels.shape != values.shape or labels.ndim not in (1, 2):
        raise EvaluationError(
            f"labels and predictions must have one shape (n, k), got {labels.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise EvaluationError(f"prediction at {np.argwhere(~np.isfinite(values))[0].tolist()} is not finite")
    if not ((labels == 0) | (labels == 1) | np.isnan(labels)).all():
        raise EvaluationError("labels must be 0, 1 or NaN (unknown)")
    return (labels[:, None], values[:, None]) if labels.ndim == 1 else (labels, values)


def check_weights(weights: np.ndarray, rows: int) -> np.ndarray:
    """Checks row weights, and returns them as float64 (n, r).

    Raises:
        EvaluationError: Another shape, or a weight that is negative or not finite.

    >>> check_weights(np.ones((2, 3)), rows=2).shape
    (2, 3)
    """
    given = np.asarray(weights, np.float64)
    if given.ndim != 2 or len(given) != rows:
        raise EvaluationError(f"weights must be ({rows}, r), one column a resample, got {given.shape}")
    if given.size and not (given.min() >= 0 and np.isfinite(given.max())):
        raise EvaluationError("weights must be finite numbers of 0 or more")
    return given


def check_probabilities(values: np.ndarray, findings: Sequence[str] | None = None) -> np.ndarray:
    """Checks that all probabilities lie in 0..1, and returns them.

    Raises:
        EvaluationError: A value is NaN or outside 0..1 (a logit, perhaps); the message names row and finding.

    >>> check_probabilities([0.0, 0.5]).tolist()
    [0.0, 0.5]
    """
    values = np.asarray(values)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        what = f" ({findings[where[1]]})" if findings is not None else ""
        place, value = f"row {', column '.join(map(str, where))}{what}", values[tuple(where)]
        if np.isnan(value):
            raise EvaluationError(f"probability at {place} is NaN: leave the row out, or fill it in")
        raise EvaluationError(f"probability {value:.6g} at {place} is outside 0..1: are these logits?")
    return values
