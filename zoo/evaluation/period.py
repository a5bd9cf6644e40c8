"""The images of one period, of which `drift` compares two: one row of each patient, since their rows are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np

#: What a row of a period is drawn from: all rows of one patient or one study resemble each other.
Unit = Literal["patient", "study", "image"]

#: At most so many of them are compared on either side, and so many where features are.
MOST, MOST_FEATURES = 20_000, 2_000


@dataclass(frozen=True, eq=False)
class Period:
    """Images of one period, a row each.

    Attributes:
        name: What they are called in results.
        units: (n,) which patient, study or image each row is of, as numbers or text.
        unit: What `units` tell apart.
        findings: The k findings.
        scores: float (n, k) probabilities or other scores, NaN where there is none; (n, 0) without findings.
        calls: (n, k) of 1, 0 and NaN (not decided), or None if decisions are not known.
        shares: Facts of images, such as "rejected by the quality checks" -> (n,) of 1, 0 and NaN.
        features: Member -> float (n, f) features, NaN for an image without.
    """

    name: str
    units: np.ndarray
    unit: Unit = "image"
    findings: tuple[str, ...] = ()
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    calls: np.ndarray | None = None
    shares: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.units)

    def take(self, rows: np.ndarray) -> Self:
        """Selects rows by position."""
        return replace(
            self,
            units=self.units[rows],
            scores=self.scores[rows],
            calls=None if self.calls is None else self.calls[rows],
            shares={name: values[rows] for name, values in self.shares.items()},
            features={name: values[rows] for name, values in self.features.items()},
        )


def independent(units: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draws one row of each unit at random, of at most `most` units.

    One row, since rows of a patient resemble each other, and sides may differ in how many rows a patient has: then
    neither rows nor whole patients can be exchanged between them.

    Args:
        units: (n,) unit of each row.
        most: Largest number of rows that are drawn.
        seed: Of the draw.

    Returns:
        int64, the positions of the rows, ascending.

    >>> sorted(np.array(["a", "a", "b"])[independent(np.array(["a", "a", "b"]), 9, 0)].tolist())
    ['a', 'b']
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(units))
    _, first = np.unique(units[order], return_index=True)
    # Units are drawn apart from rows, since one with many rows comes first more often.
    return np.sort(order[first[rng.permutation(len(first))[:most]]])
