"""What each row contributes to a number: the derivative of the number by the weight of the row, at equal weights.

Summed by patient, the squares of these contributions estimate the number's variance, and their products its covariance
with other numbers on the same patients (the infinitesimal jackknife of Jaeckel 1972; Efron 1982). They are exact, need
no random resamples, and the contributions to one number sum to 0.
"""

from __future__ import annotations

import numpy as np

from zoo.evaluation.statistics.ranking import placements
from zoo.evaluation.statistics.ratios import ratio
from zoo.evaluation.statistics.reliability import bins_of


def auc_influence(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Contributions of n rows to the AUC of one finding.

    Args:
        labels: (n,) of 1, 0 and NaN (contributes 0).
        scores: (n,) finite.

    Returns:
        float64 (n,); zeros without both classes.

    >>> auc_influence(np.array([1, 1, 0]), np.array([0.9, 0.1, 0.5])).tolist()
    [0.25, -0.25, 0.0]
    """
    positive, known = labels == 1, ~np.isnan(labels)
    p, q = int(positive.sum()), int(np.sum(labels == 0))
    if not p or not q:
        return np.zeros(len(labels))
    shares = placements(labels, scores)
    return np.where(known, (shares - shares[positive].mean()) / np.where(positive, p, q), 0.0)


def precision_influence(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Contributions of n rows to the average precision of one finding; arguments as `auc_influence`.

    >>> precision_influence(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1])).round(4).tolist()
    [0.1389, -0.1111, -0.0278]
    """
    found = np.zeros(len(labels))
    rows = np.flatnonzero(~np.isnan(labels))
    order = rows[np.argsort(-scores[rows], kind="stable")]
    truth, total = labels[order] == 1, float(np.sum(labels == 1))
    if not total or total == len(rows):
        return found
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal scores, which form one cut
    cut = np.searchsorted(ends, np.arange(len(order)))
    hits, called = np.cumsum(truth)[ends], ends + 1.0
    added, precision = np.diff(np.append(0, hits)), hits / called
    value = float(added @ precision) / total
    # A row also changes the precision at its own cut and at all later ones.
    gained, lost = (_from_here(added * by / called**2) for by in (called - hits, hits))
    found[order] = np.where(truth, precision[cut] - value + gained[cut], -lost[cut]) / total
    return found


def share_influence(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Contributions to the ratio of the sums of `part` and `whole`, both (n, ...); zeros where `whole` sums to 0.

    >>> share_influence(np.array([1.0, 0.0]), np.array([1.0, 1.0])).tolist()
    [0.25, -0.25]
    """
    total = whole.sum(axis=0)
    return np.nan_to_num(ratio(part.sum(axis=0), total) * -whole + part) / np.where(total > 0, total, 1.0)


def error_influence(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Contributions of n rows to the squared calibration error of one finding, over bins that stay as they are.

    >>> error_influence(np.array([1, 0, np.nan]), np.array([0.9, 0.4, 0.5])).round(4).tolist()
    [-0.0375, 0.0375, 0.0]
    """
    known = ~np.isnan(labels)
    found = np.zeros(len(labels))
    if not known.any():
        return found
    gaps, bin_of = probabilities[known] - labels[known], bins_of(probabilities[known])
    mean = ratio(np.bincount(bin_of, gaps), np.bincount(bin_of))[bin_of]
    found[known] = (2 * mean * gaps - mean**2 - np.mean(mean**2)) / len(gaps)
    return found


def by_patient(contributions: np.ndarray, clusters: np.ndarray, patients: int) -> np.ndarray:
    """Sums the contributions of (n,) or (n, k) by patient: float64 (patients,) or (patients, k).

    >>> by_patient(np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 1]), 2).tolist()
    [[3.0], [4.0]]
    """
    if contributions.ndim == 1:
        return np.bincount(clusters, contributions, patients)
    columns = [np.bincount(clusters, column, patients) for column in contributions.T]
    return np.stack(columns, axis=1) if columns else np.empty((patients, 0))


def _from_here(values: np.ndarray) -> np.ndarray:
    return np.cumsum(values[::-1])[::-1]
