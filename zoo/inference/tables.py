"""Converts batches of logits to tables: one row per image and finding, or one row per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.inference.stream import Prediction


def long_table(
    batch: Prediction, findings: Sequence[str], decision: Decision, point: str | None = None
) -> pd.DataFrame:
    """Returns one row per image and finding, with the columns of `Predictor.findings`."""
    n, k = batch.logits.shape
    chances = probabilities(batch.logits, decision)
    thresholds = np.asarray(decision.point(point).thresholds, np.float32)
    known = np.isfinite(chances) & np.isfinite(thresholds)
    called = pd.arrays.BooleanArray(positives(chances, decision, point).ravel() == 1, ~known.ravel())
    untrained = ["" if t else "not trained" for t in decision.trained]
    return pd.DataFrame(
        {
            "image": np.repeat(np.asarray(batch.names, object), k),
            "finding": list(findings) * n,
            "probability": chances.ravel(),
            "threshold": np.tile(thresholds, n),
            "positive": called,
            "error": [error or note for error in batch.errors for note in untrained],
            "quality": np.repeat(np.array([v.quality for v in batch.verdicts], object), k),
            "reason": np.repeat(np.array([v.reason for v in batch.verdicts], object), k),
        }
    )


def wide_table(
    batch: Prediction, findings: Sequence[str], decision: Decision | None, trained: Sequence[bool]
) -> pd.DataFrame:
    """Returns one row per image: image, the probability of each trained finding, error, quality, reason."""
    columns = zip(findings, probabilities(batch.logits, decision).T, trained, strict=True)
    chances = {finding: values for finding, values, known in columns if known}
    words = {"quality": [v.quality for v in batch.verdicts], "reason": [v.reason for v in batch.verdicts]}
    return pd.DataFrame({"image": batch.names} | chances | {"error": batch.errors} | words)
