"""Kinds of data of `coverage.py`: their labels, and errors that the images of a patient share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of data: share of patients with a positive image, images a patient, and whether scores are rounded."""

    prevalence: float = 0.2
    images: int = 1
    rounded: bool = False

    @property
    def alike(self) -> float:
        """Correlation of the errors in the images of one patient."""
        return 0.6 if self.images > 1 else 0.0


KINDS = {
    "Two images a patient": Kind(images=2),
    "One image a patient": Kind(),
    "Rare: 2 % of the patients are positive": Kind(prevalence=0.02),
    "Tied scores": Kind(rounded=True),
}


def labels(patients: int, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Labels of one finding; four in five second images of a sick patient are positive."""
    sick, found = np.flatnonzero(rng.random(patients) < kind.prevalence), np.zeros(patients * kind.images)
    found[kind.images * sick] = 1
    if kind.images > 1:
        found[kind.images * sick[rng.random(len(sick)) < 0.8] + 1] = 1
    return found


def errors(patients: int, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Standard normal errors of all images."""
    own = np.repeat(rng.standard_normal(patients), kind.images)
    return np.sqrt(kind.alike) * own + np.sqrt(1 - kind.alike) * rng.standard_normal(patients * kind.images)
