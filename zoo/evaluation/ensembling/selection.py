"""Greedy selection of members (Caruana et al. 2004), and the log loss of any weights."""

from __future__ import annotations

import numpy as np

from zoo.evaluation.calibration import fits

#: Members that greedy selection adds at most; the first best set of them is kept.
ROUNDS = 20


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the smallest log loss over known labels; 1 unless there are both classes.

    >>> temperature(np.array([[1.0, -1.0]]), np.array([[np.nan, 0.0]]))
    1.0
    """
    known = ~np.isnan(labels)
    y = labels[known].astype(np.float64)
    return fits.temperature(logits[known], y)[0] if len(np.unique(y)) == 2 else 1.0


def losses(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """The log loss of each label in nats, with the shape of `labels`; NaN where it is unknown.

    >>> losses(np.array([0.0]), np.array([1.0]), 1.0).round(4).tolist()
    [0.6931]
    """
    return fits.losses(logits / temperature, labels.astype(np.float64))


def loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean log loss over known labels, at the temperature that makes it smallest.

    >>> round(loss(np.array([2.0, 2.0, -2.0, 2.0]), np.array([1.0, 1.0, 0.0, 0.0])), 4)  # 3 of 4 are right
    0.5623
    """
    return float(np.nanmean(losses(logits, labels, temperature(logits, labels))))


def greedy(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Selects members with replacement: the best one, then always the one that lowers the log loss of the mean most.

    After `ROUNDS` members, the smallest of the sets on the way with the lowest log loss is kept (Caruana,
    Niculescu-Mizil, Crew and Ksikes 2004, without bags).

    Args:
        z: (n, findings, members) logits of the validation part.
        labels: (n, findings) of 1, 0 and NaN.

    Returns:
        float64 (members,) share of each member in the set; the shares sum to 1.

    >>> rng = np.random.default_rng(0)
    >>> labels = (rng.random((400, 1)) < 0.5).astype(float)
    >>> z = labels[..., None] * [2.0, 2.0, 0.0] + rng.normal(size=(400, 1, 3))
    >>> (greedy(z, labels) > 0.2).tolist()  # the third is noise
    [True, True, False]
    """
    members = z.shape[2]
    total, best, kept = np.zeros(z.shape[:2]), np.inf, np.zeros(members)
    counts = np.zeros(members)
    for count in range(1, ROUNDS + 1):
        each = [loss((total + z[:, :, i]) / count, labels) for i in range(members)]
        chosen = int(np.argmin(each))
        total, counts[chosen] = total + z[:, :, chosen], counts[chosen] + 1
        if each[chosen] < best - 1e-9:
            best, kept = each[chosen], counts.copy()
    return kept / kept.sum()
