"""A power law of the error over the number of patients, and how many patients a smaller error needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Exponents that are compared. Published learning curves of classifiers lie within them.
EXPONENTS = np.linspace(0.1, 1.0, 19)


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """error = floor + scale * size ** -exponent, one law for each of r samples.

    Attributes:
        floor: float64 (r,), >= 0.
        scale: float64 (r,), >= 0; 0 if the error does not fall.
        exponent: float64 (r,).

    >>> law = PowerLaw(np.array([0.1]), np.array([1.0]), np.array([0.5]))
    >>> law.error(100.0).round(3).tolist(), law.size(np.array([0.15])).round().tolist()
    ([0.2], [400.0])
    """

    floor: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray

    def error(self, size: float) -> np.ndarray:
        """Returns the error (r,) at a size."""
        return self.floor + self.scale * size**-self.exponent

    def size(self, error: np.ndarray) -> np.ndarray:
        """Returns the size (r,) at which each law reaches an error (r,); infinity if it never does."""
        above = error - self.floor
        reached = (above > 0) & (self.scale > 0)
        base = np.where(reached, self.scale / np.where(reached, above, 1.0), 1.0)
        return np.where(reached, base ** (1 / self.exponent), np.inf)


def fit_power_law(sizes: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> PowerLaw:
    """Fits one power law to each row of errors by weighted least squares, with floor and scale >= 0.

    Args:
        sizes: (m,) sizes, such as numbers of patients.
        errors: (r, m) errors.
        weights: (m,) weight of each size.

    >>> sizes = np.array([50.0, 100, 200, 400])
    >>> law = fit_power_law(sizes, 0.1 + 2.0 * sizes[None] ** -0.5, np.ones(4))
    >>> law.floor.round(3).tolist(), law.scale.round(3).tolist(), law.exponent.round(3).tolist()
    ([0.1], [2.0], [0.5])
    """
    best = np.full(len(errors), np.inf)
    floor, scale, exponent = (np.zeros(len(errors)) for _ in range(3))
    share = weights / weights.sum()
    for candidate in EXPONENTS:
        x = sizes**-candidate
        mean_x, mean_e = x @ share, errors @ share
        slope = (errors - mean_e[:, None]) @ (share * (x - mean_x)) / (share @ (x - mean_x) ** 2)
        a = np.maximum(slope, 0.0)
        c = mean_e - a * mean_x
        through_zero = errors @ (share * x) / (share @ x**2)
        a, c = np.where(c < 0, through_zero, a), np.maximum(c, 0.0)
        loss = (errors - c[:, None] - a[:, None] * x) ** 2 @ share
        better = loss < best
        best = np.where(better, loss, best)
        floor, scale = np.where(better, c, floor), np.where(better, a, scale)
        exponent = np.where(better, candidate, exponent)
    return PowerLaw(floor, scale, exponent)
