"""AUC of predictions out of fold, over pairs of images of the same fold, with what shows its uncertainty."""

from __future__ import annotations

import numpy as np

from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.statistics.influences import auc_influence, by_patient


def fold_contributions(
    labels: np.ndarray, logits: np.ndarray, fold: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the AUC of each finding, and what each patient contributes to it (see `statistics.influences`).

    An AUC is the share of the pairs of a positive and a negative image of the same fold that are ranked right: models
    of different folds have logits on different scales (Forman and Scholz 2010, "Apples-to-apples in cross-validation
    studies").

    Args:
        labels: (n, k) of 1, 0 and NaN.
        logits: (n, k), each row by a model that was fitted without the row's fold.
        fold: int (n,), fold of each row.
        clusters: int (n,), each row's patient numbered from 0.

    Returns:
        float64 (k,), NaN where no fold has both classes, and (patients, k).

    >>> labels, logits = np.array([[1], [0], [1], [0]]), np.array([[9.0], [8.0], [1.0], [2.0]])
    >>> value, shared = fold_contributions(labels, logits, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    >>> value.tolist(), shared.tolist()
    ([0.5], [[0.5], [-0.5]])
    """
    values, columns = [], []
    for truth, scores in zip(labels.T, logits.T, strict=True):
        right, pairs, rows = 0.0, 0.0, np.zeros(len(truth))
        parts = [np.flatnonzero(fold == one) for one in np.unique(fold)]
        counts = [(int(np.sum(truth[part] == 1)), int(np.sum(truth[part] == 0))) for part in parts]
        for part, (p, q) in zip(parts, counts, strict=True):
            if p and q:
                area = roc_auc(truth[part], scores[part])[0]
                rows[part] = auc_influence(truth[part], scores[part]) * p * q
                right, pairs = right + p * q * area, pairs + p * q
        value = right / pairs if pairs else np.nan
        for part, (p, q) in zip(parts, counts, strict=True):
            if p and q:  # folds with an AUC above the mean also gain by every further pair
                area = roc_auc(truth[part], scores[part])[0]
                more = np.where(truth[part] == 1, q, p) * (area - value)
                rows[part] += np.where(np.isnan(truth[part]), 0.0, more)
        values.append(value)
        columns.append(by_patient(rows / max(pairs, 1.0), clusters, int(clusters.max()) + 1))
    return np.array(values), np.stack(columns, axis=1)
