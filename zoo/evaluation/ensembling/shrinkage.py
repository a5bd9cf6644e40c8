"""Fitted weights shrunk towards simpler ones, by as much as cross-validation asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.evaluation.calibration import fits
from zoo.evaluation.calibration.fitting import FOLDS, MIN_CLASS
from zoo.evaluation.ensembling import simplex
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import known_counts
from zoo.evaluation.statistics.intervals import cluster_folds, clustered_mean

#: Shares of the simpler weights among which cross-validation chooses, simplest first. It is never 0, so that each
#: member speaks for each finding: it may be loaded alone.
SHARES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)


@dataclass(frozen=True, eq=False)
class Fittable:
    """Members' logits and labels on the same rows.

    Attributes:
        z: float64 (n, findings, members) logits.
        y: float64 (n, findings) labels of 1 and 0; NaN where unknown, and for findings that are left out.
        clusters: (n,) int, each row's patient.

    >>> scores = Scores(np.array([[2.0], [1.0]]), np.array([[1], [0]]), ("Edema",), "validation")
    >>> Fittable.of([scores, scores]).z.shape
    (2, 1, 2)
    """

    z: np.ndarray
    y: np.ndarray
    clusters: np.ndarray

    @classmethod
    def of(cls, members: Sequence[Scores], trained: Sequence[bool] = ()) -> Fittable:
        """Leaves out findings of a single class or not trained (`trained` is () if all were), and rows without labels.

        The folds of a cross-validation are then of patients with labels, of which each has some.
        """
        first = members[0]
        n, positives = first.counts
        used = (positives > 0) & (n > positives) & np.asarray(trained or [True] * len(n), bool)
        labels = np.where(used, first.labels.astype(np.float64), np.nan)
        rows = ~np.isnan(labels).all(axis=1)
        clusters = np.unique(first.clusters[rows], return_inverse=True)[1]
        return cls(np.stack([m.logits[rows] for m in members], axis=2), labels[rows], clusters)

    def rows(self, chosen: np.ndarray) -> Fittable:
        """Selects rows by a mask."""
        return Fittable(self.z[chosen], self.y[chosen], self.clusters[chosen])

    @property
    def enough(self) -> np.ndarray:
        """(findings,) whether a finding has enough positives and negatives for weights of its own."""
        n, positives = known_counts(self.y)
        return np.asarray(np.minimum(positives, n - positives) >= MIN_CLASS)


#: Fits weights (findings, members) to data.
Fit = Callable[[Fittable], np.ndarray]


@dataclass(frozen=True)
class Shrinkage:
    """The share of the simpler weights that cross-validation selects.

    Attributes:
        share: The share, from `SHARES`.
        losses: Share -> mean log loss in nats on labels that the weights were not fitted to.
    """

    share: float
    losses: dict[float, float] = field(default_factory=dict)

    def note(self, towards: str) -> str:
        """The choice and its reason in a sentence."""
        losses = ", ".join(f"{share:g}: {loss:.5f}" for share, loss in self.losses.items())
        return (
            f"shrunk towards {towards} by {self.share:g}, the largest share whose cross-validated log loss is within "
            f"one standard error of the best ({losses})"
        )


def uniform(data: Fittable) -> np.ndarray:
    """The weights of the plain mean."""
    return np.full(data.z.shape[1:], 1 / data.z.shape[2])


def common(data: Fittable) -> np.ndarray:
    """The weights that fit all findings together best, equal in each row."""
    known = ~np.isnan(data.y)
    weights = simplex.fit(data.z[known], data.y[known])
    return np.tile(weights / weights.sum(), (data.y.shape[1], 1))


def shrunk(fitted: np.ndarray, towards: np.ndarray, share: float) -> np.ndarray:
    """Moves weights towards others by a share of the way.

    >>> shrunk(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), 0.5).tolist()
    [[0.75, 0.25]]
    """
    return np.asarray((1 - share) * fitted + share * towards)


def own(data: Fittable, others: np.ndarray) -> np.ndarray:
    """The weights that fit each finding best; those of `others` where positives or negatives are too few."""
    found = others.copy()
    for j in np.flatnonzero(data.enough):
        known = ~np.isnan(data.y[:, j])
        weights = simplex.fit(data.z[known, j], data.y[known, j])
        found[j] = weights / weights.sum()
    return found


def choose(data: Fittable, fit: Fit, towards: Fit, seed: int = 0) -> Shrinkage:
    """Selects how much of `towards` is mixed into the weights of `fit`.

    It is the largest share whose cross-validated log loss is within one standard error of the smallest (Breiman et al.
    1984). The standard error is that of the difference to the best share, over the same labels, clustered by patient;
    patients stay together. The temperature of the mean is fitted with the weights, on the same folds.

    Args:
        data: Logits and labels, of `FOLDS` patients or more.
        fit: Fits the weights to be shrunk.
        towards: Fits the simpler weights.
        seed: Seed of the random folds.

    >>> rng = np.random.default_rng(0)
    >>> labels = (rng.random((200, 1)) < 0.4).astype(float)
    >>> z = np.stack([2 * rng.normal(size=(200, 1)) + 4 * labels - 2, rng.normal(size=(200, 1))], axis=2)
    >>> choose(Fittable(z, labels, np.arange(200)), common, uniform).share
    0.5
    """
    folds = cluster_folds(data.clusters, FOLDS, seed)
    losses = {share: np.full(data.y.shape, np.nan) for share in SHARES}
    for fold in range(FOLDS):
        inner, outer = data.rows(folds != fold), data.rows(folds == fold)
        if np.isnan(inner.y).all():
            continue
        fitted, simple = fit(inner), towards(inner)
        for share in SHARES:
            losses[share][folds == fold] = _losses(inner, outer, shrunk(fitted, simple, share))
    means = {share: float(np.nanmean(loss)) for share, loss in losses.items()}
    best = min(SHARES, key=lambda share: means[share])
    share = next(share for share in SHARES if _within(losses[share] - losses[best], data.clusters))
    return Shrinkage(share, means)


def _losses(inner: Fittable, outer: Fittable, weights: np.ndarray) -> np.ndarray:
    """(n, findings) log loss of the outer labels, at the temperature of the inner ones."""
    z, known = _mean(inner, weights), ~np.isnan(inner.y)
    temperature, _ = fits.temperature(z[known], inner.y[known])
    return fits.losses(_mean(outer, weights) / temperature, outer.y)


def _mean(data: Fittable, weights: np.ndarray) -> np.ndarray:
    return np.einsum("nkm,km->nk", data.z, weights)


def _within(differences: np.ndarray, clusters: np.ndarray) -> bool:
    """Whether the mean of (n, k) differences is at most its standard error, clustered by patient; NaN is left out."""
    mean, error = clustered_mean(differences, clusters)
    return mean <= error
