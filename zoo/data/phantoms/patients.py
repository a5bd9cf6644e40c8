"""The patients of a phantom data set: their studies and views, and findings that are correlated as in real patients."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from zoo.data.phantoms.chest import Habitus
from zoo.labels.findings import FINDINGS

#: Findings that imply "Lung Opacity" (the label hierarchy of CheXpert, Irvin et al. 2019).
OPACITIES = ("Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Pneumonia")

#: Prevalence of each finding that is drawn independently of the label hierarchy. The values follow CheXpert's training
#: labels (Irvin et al. 2019, table 1); those below 0.07 are raised, to have enough in a small test part.
PREVALENCE = {
    "Atelectasis": 0.16,
    "Cardiomegaly": 0.14,
    "Consolidation": 0.08,
    "Edema": 0.22,
    "Enlarged Cardiomediastinum": 0.08,
    "Fracture": 0.08,
    "Lung Lesion": 0.08,
    "Lung Opacity": 0.12,
    "Pleural Effusion": 0.36,
    "Pleural Other": 0.07,
    "Pneumonia": 0.08,
    "Pneumothorax": 0.1,
    "Support Devices": 0.48,
}

# Common causes of findings (a latent variable per patient), with the loading of each finding on them.
_CAUSES = {
    "congestion": {"Cardiomegaly": 0.6, "Edema": 0.7, "Pleural Effusion": 0.5},
    "infection": {"Consolidation": 0.5, "Pneumonia": 0.6, "Pleural Effusion": 0.2},
    "intensive care": {"Support Devices": 0.6, "Edema": 0.3, "Atelectasis": 0.4, "Pneumothorax": 0.3},
    "injury": {"Fracture": 0.6, "Pneumothorax": 0.4, "Enlarged Cardiomediastinum": 0.3},
}
# Share of the remaining variance that is common to all images of a patient; the rest differs between images.
_PATIENT_PART = 0.6


@dataclass(frozen=True)
class Exam:
    """One image to draw.

    Attributes:
        patient: Number of the patient.
        study: Number of the study, from 1 for each patient.
        image: Number of the image in its study, from 1.
        sex: "F", "M" or NaN, as the table states it.
        age: Age in years or NaN, as the table states it.
        view: "PA", "AP" or "Lateral".
        habitus: The patient's anatomy.
        findings: Names of `FINDINGS` that are present.
    """

    patient: int
    study: int
    image: int
    sex: str | float
    age: float
    view: str
    habitus: Habitus
    findings: frozenset[str]

    @property
    def name(self) -> str:
        """File name in the competition's format."""
        return f"{self.patient:08d}_{self.study:03d}_{self.image:03d}.jpg"


def draw_exams(rng: np.random.Generator, n_images: int, first_patient: int = 1) -> list[Exam]:
    """Draws patients with one to five images each, in one or more studies, until there are `n_images` images.

    Args:
        rng: Source of all random numbers.
        n_images: Number of images.
        first_patient: Number of the first patient.

    Example:
        >>> [exam.name for exam in draw_exams(np.random.default_rng(0), 2)]  # doctest: +ELLIPSIS
        ['00000001_001_001.jpg', ...]
    """
    exams: list[Exam] = []
    patient = first_patient
    while len(exams) < n_images:
        exams += _patient(rng, patient)[: n_images - len(exams)]
        patient += int(rng.integers(1, 4))
    return exams


def _patient(rng: np.random.Generator, patient: int) -> list[Exam]:
    sex: str | float = "F" if rng.random() < 0.44 else "M"
    age = float(np.clip(rng.normal(60, 17), 18, 90).round())
    habitus = Habitus.draw(rng, sex, age)
    # The table lacks sex or age for all images of a patient; the drawn anatomy still follows the true ones.
    told_sex = np.nan if rng.random() < 0.03 else sex
    told_age = np.nan if rng.random() < 0.05 else age
    cause = {name: rng.standard_normal() for name in _CAUSES}
    own = {finding: rng.standard_normal() for finding in PREVALENCE}
    exams, study, image = [], 1, 0
    for _ in range(rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.27, 0.17, 0.1, 0.06])):
        image += 1
        if image > 1 and rng.random() < 0.5:
            study, image = study + 1, 1
        view = str(rng.choice(["AP", "PA", "Lateral"], p=[0.6, 0.3, 0.1]))
        findings = _findings(rng, cause, own)
        exams.append(Exam(patient, study, image, told_sex, told_age, view, habitus, findings))
    return exams


def _findings(rng: np.random.Generator, cause: dict[str, float], own: dict[str, float]) -> frozenset[str]:
    """Draws the positive findings: correlated normal variables above each prevalence's threshold (Gaussian copula)."""
    found = set()
    for finding, prevalence in PREVALENCE.items():
        loads = {c: weights[finding] for c, weights in _CAUSES.items() if finding in weights}
        left = 1.0 - sum(w * w for w in loads.values())
        liability = sum(w * cause[c] for c, w in loads.items())
        liability += (left * _PATIENT_PART) ** 0.5 * own[finding]
        liability += (left * (1.0 - _PATIENT_PART)) ** 0.5 * rng.standard_normal()
        if liability > -NormalDist().inv_cdf(prevalence):
            found.add(finding)
    if found.intersection(OPACITIES):
        found.add("Lung Opacity")
    if not found - {"Support Devices"}:
        found.add("No Finding")
    return frozenset(found.intersection(FINDINGS))
