"""Other people's scales of a probability, under their own names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.core.errors import UnknownNameError, UsageError
from zoo.evaluation.decision import Decision, probabilities

#: Names of the scales. Each needs the operating point of the same name.
SCALES = ("torchxrayvision",)


def rescaled(logits: np.ndarray, decision: Decision | None, scale: str) -> np.ndarray:
    """Converts logits to the numbers of another library.

    Args:
        logits: (n, findings).
        decision: It has the operating point called like the scale.
        scale: One of `SCALES`.

    Returns:
        float32 (n, findings); NaN for a finding without a threshold.

    Raises:
        UnknownNameError: There is no such scale.
        UsageError: The decision has no operating point of this name.
    """
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    if decision is None or scale not in decision.operating_points:
        raise UsageError(f"scale {scale!r} needs the operating point {scale!r}, which this model does not have")
    return torchxrayvision(probabilities(logits), decision.operating_points[scale].thresholds)


def torchxrayvision(values: np.ndarray, thresholds: Sequence[float | None]) -> np.ndarray:
    """Scales probabilities so that each threshold becomes 0.5, as TorchXRayVision does (`op_norm` in its models.py).

    Below the threshold t, p becomes p / (2 t); from it on, 1 - (1 - p) / (2 (1 - t)). This is no probability.

    Args:
        values: (..., findings) probabilities, not calibrated.
        thresholds: One for each finding; None gives NaN.

    Returns:
        The same shape, float32.

    >>> torchxrayvision(np.array([[0.1, 0.2, 0.6]]), [0.2, 0.2, 0.2]).round(3).tolist()
    [[0.25, 0.5, 0.75]]
    """
    t, p = np.asarray(thresholds, np.float64), np.asarray(values, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        below, above = p / (2 * t), 1 - (1 - p) / (2 * (1 - t))
    return np.where(np.isnan(t), np.nan, np.where(p < t, below, above)).astype(np.float32)
