"""A temperature for each finding, shrunk towards the one of all findings by as much as the labels are few.

Hundreds of positives determine a temperature of their own, three do not. The inverse temperatures of the findings are
taken as drawn from a normal distribution around the global one; its variance is estimated from how much more the
findings differ than chance explains (DerSimonian and Laird 1986), and each finding takes the value that is most
probable given its labels and that distribution (empirical Bayes; Efron and Morris 1975).
"""

from __future__ import annotations

import numpy as np

from zoo.evaluation.calibration.fits import Slopes, most_likely_scale, sigmoid, slopes_of
from zoo.evaluation.statistics.ratios import ratio


def temperatures(
    logits: np.ndarray, labels: np.ndarray, clusters: np.ndarray, shared: float
) -> tuple[tuple[float, ...], float]:
    """Fits one temperature for each finding.

    Args:
        logits: (n, k) logits.
        labels: (n, k) labels of 1, 0 and NaN; NaN is left out.
        clusters: (n,) int, each row's patient: images of one patient count as fewer independent ones.
        shared: The temperature that minimises the log loss of all findings together.

    Returns:
        k temperatures, and the standard deviation of the inverse temperatures between findings: 0 if the findings
        differ no more than chance explains, and all then take `shared`.

    >>> rng = np.random.default_rng(0)
    >>> labels = (rng.random((4000, 2)) < 0.5).astype(float)
    >>> logits = (rng.normal(size=(4000, 2)) + 2 * labels - 1) * [1, 6]
    >>> found, spread = temperatures(logits, labels, np.arange(4000), shared=1.8)
    >>> [round(t, 1) for t in found], spread > 0
    ([0.5, 2.9], True)
    """
    labelled = ~np.isnan(labels).all(axis=1)
    logits, labels, clusters = logits[labelled], labels[labelled], np.unique(clusters[labelled], return_inverse=True)[1]
    known = ~np.isnan(labels)
    z, y = np.where(known, logits, 0.0).astype(np.float64), np.where(known, labels, 0.0)
    scale = 1 / shared
    p = np.where(known, sigmoid(scale * z), 0.0)
    residuals = z * (p - y)
    gradient, curvature = residuals.sum(axis=0), np.sum(z * z * p * (1 - p), axis=0)
    overdispersion = _overdispersion(residuals, clusters, curvature)
    variance = _variance(gradient, curvature, overdispersion)
    if variance <= 0:
        return (shared,) * labels.shape[1], 0.0
    found = []
    for j in range(labels.shape[1]):
        own = slopes_of(z[known[:, j], j], y[known[:, j], j])
        found.append(1 / most_likely_scale(_with_prior(own, overdispersion, scale, variance), scale))
    return tuple(found), float(np.sqrt(variance))


def _with_prior(own: Slopes, overdispersion: float, scale: float, variance: float) -> Slopes:
    """The derivatives of a finding's loss and of the prior's, minus their logarithmic probabilities."""

    def slopes(value: float) -> tuple[float, float]:
        first, second = own(value)
        return first / overdispersion + (value - scale) / variance, second / overdispersion + 1 / variance

    return slopes


def _overdispersion(residuals: np.ndarray, clusters: np.ndarray, curvature: np.ndarray) -> float:
    """Variance of the gradients between patients over that of independent images, of all findings together."""
    sums = np.zeros((int(clusters.max()) + 1, residuals.shape[1]))
    np.add.at(sums, clusters, residuals)
    return max(float(np.sum(sums**2) / np.sum(curvature)), 1e-12) if np.sum(curvature) > 0 else 1.0


def _variance(gradient: np.ndarray, curvature: np.ndarray, overdispersion: float) -> float:
    """The method-of-moments variance of the findings' inverse temperatures around the global one, at least 0.

    One step of Newton's method from the global value estimates that of a finding: minus its gradient over its
    curvature, with a variance of the overdispersion over the curvature.
    """
    weights = curvature / overdispersion
    total = weights.sum()
    if len(weights) < 2 or total <= 0:
        return 0.0
    q = np.sum(ratio(gradient**2, curvature * overdispersion)[curvature > 0])
    return float(max(0.0, (q - (np.sum(curvature > 0) - 1)) / (total - np.sum(weights**2) / total)))
