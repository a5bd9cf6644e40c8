"""Exact fits of non-negative weights of logits by log loss."""

from __future__ import annotations

import numpy as np

from zoo.evaluation.calibration.fits import BOUNDS, losses, sigmoid

#: Range of the sum of the weights: that of the inverse of a temperature.
SCALES = (1 / BOUNDS[1], 1 / BOUNDS[0])

#: Largest number of Newton steps, and the decrease of the loss, in nats, at which they end.
_STEPS, _SMALL = 100, 1e-14


def fit(z: np.ndarray, y: np.ndarray, scales: tuple[float, float] = SCALES) -> np.ndarray:
    """Finds the non-negative weights whose sum of the logits has the smallest mean log loss.

    The loss is convex in the weights. Each step minimises its second-order expansion exactly under the constraints, by
    an active-set method, and is shortened until the loss falls (Newton's method; Nocedal and Wright 2006, chapters 16
    and 18). The sum of the weights is the inverse of a temperature, so it is free within limits.

    Args:
        z: (n, members) logits.
        y: (n,) labels of 1 and 0.
        scales: Smallest and largest sum of the weights; (1, 1) for a mean at temperature 1.

    Returns:
        float64 (members,) of numbers >= 0.

    >>> right, wrong = np.array([1.0, 1, 1, -1]), np.array([-1.0, 1, 1, -1])
    >>> fit(np.stack([right, wrong], axis=1), np.array([1.0, 0, 1, 0]), (1.0, 1.0)).round(6).tolist()
    [1.0, 0.0]
    """
    z, y = np.asarray(z, np.float64), np.asarray(y, np.float64)
    members = z.shape[1]
    weights = np.full(members, min(max(1.0, scales[0]), scales[1]) / members)
    loss = _loss(z @ weights, y)
    for _ in range(_STEPS):
        p = sigmoid(z @ weights)
        gradient = z.T @ (p - y) / len(y)
        curvature = (z * (p * (1 - p))[:, None]).T @ z / len(y)
        # Members whose logits are alike make the curvature singular; the smallest ridge decides between them.
        curvature[np.diag_indices(members)] += 1e-12 + 1e-9 * np.trace(curvature) / members
        step = _minimum(curvature, curvature @ weights - gradient, scales) - weights
        length, before = 1.0, loss
        while (loss := _loss(z @ (weights + length * step), y)) > before and length > 1e-9:
            length /= 2
        if loss > before:
            break
        weights = np.maximum(weights + length * step, 0.0)
        if before - loss <= _SMALL:
            break
    return weights


def _minimum(curvature: np.ndarray, linear: np.ndarray, scales: tuple[float, float]) -> np.ndarray:
    """The minimum of w'Hw / 2 - c'w over weights >= 0 whose sum is within limits."""
    low, high = scales
    if low < high:
        free = _active_set(curvature, linear, None)
        if low <= free.sum() <= high:
            return free
        # By convexity the minimum then lies where the sum is at its limit.
        return _active_set(curvature, linear, low if free.sum() < low else high)
    return _active_set(curvature, linear, low)


def _active_set(curvature: np.ndarray, linear: np.ndarray, total: float | None) -> np.ndarray:
    """The minimum over weights >= 0, with a given sum or any."""
    members = len(linear)
    weights = np.full(members, 1.0 if total is None else total / members)
    used = np.ones(members, bool)
    for _ in range(10 * members + 10):
        target, multiplier = _equality(curvature, linear, used, total)
        if (target >= 0).all():
            weights = target
            slope = curvature @ weights - linear - multiplier
            slope[used] = 0.0
            if slope.min() >= -1e-12 * (1 + np.abs(linear).max()):
                break
            used[np.argmin(slope)] = True
            continue
        falling = target < 0
        shares = weights[falling] / (weights[falling] - target[falling])
        weights = weights + shares.min() * (target - weights)
        used[np.flatnonzero(falling)[np.argmin(shares)]] = False
        weights = np.where(used, np.maximum(weights, 0.0), 0.0)
    return weights


def _equality(
    curvature: np.ndarray, linear: np.ndarray, used: np.ndarray, total: float | None
) -> tuple[np.ndarray, float]:
    """The minimum over the weights in use alone, of any sign, and the multiplier of their sum."""
    chosen = np.flatnonzero(used)
    target, k = np.zeros(len(linear)), len(chosen)
    if total is None:
        if k:
            target[chosen] = np.linalg.solve(curvature[np.ix_(chosen, chosen)], linear[chosen])
        return target, 0.0
    system, right = np.zeros((k + 1, k + 1)), np.append(linear[chosen], total)
    system[:k, :k], system[:k, k], system[k, :k] = curvature[np.ix_(chosen, chosen)], -1.0, 1.0
    solved = np.linalg.solve(system, right)
    target[chosen] = solved[:k]
    return target, float(solved[k])


def _loss(z: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(losses(z, y)))
