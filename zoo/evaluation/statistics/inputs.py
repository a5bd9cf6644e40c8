"""What statistics are taken of: labels, scores, probabilities and weights, checked in one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.core.errors import EvaluationError


def check_pair(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as float64 (n, k); one dimension is one finding.

    Raises:
        ValueError: Shapes differ, a label is not 0/1/NaN, or a prediction is not finite.
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
    """Row weights as float64 (n, r).

    Raises:
        ValueError: Another shape, or a weight that is negative or not finite.
    """
    given = np.asarray(weights, np.float64)
    if given.ndim != 2 or len(given) != rows:
        raise EvaluationError(f"weights must be ({rows}, r), one column a resample, got {given.shape}")
    if given.size and not (given.min() >= 0 and np.isfinite(given.max())):
        raise EvaluationError("weights must be finite numbers of 0 or more")
    return given


def check_probabilities(values: np.ndarray, findings: Sequence[str] | None = None) -> np.ndarray:
    """Returns `values` when all lie in 0..1; the error names the first row and finding that does not.

    Raises:
        ValueError: A value outside 0..1 (are these logits?), or NaN.
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
