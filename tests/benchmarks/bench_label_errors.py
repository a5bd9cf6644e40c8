"""Flipped labels of phantoms, found by us and by cleanlab (AGPL, never a dependency: pip install cleanlab yourself).

Both get the same labels and the same out-of-fold probabilities of a logistic regression on small pixels. cleanlab needs
a label of every image; ours leaves unknown ones out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.data.phantoms.patients import draw_exams
from zoo.evaluation.label_errors import find_label_errors

SECTION = "Flipped labels of 1,500 phantoms"
IMAGES, SIDE, FLIPPED, FOLDS, SEED = 1500, 16, 0.05, 5, 3

#: Findings that are large enough for small pixels.
FINDINGS = ("Cardiomegaly", "Edema", "Lung Opacity", "Pleural Effusion", "Support Devices")


@dataclass(frozen=True, eq=False)
class Flips:
    """Of one finding: labels with flips, out-of-fold probabilities, which labels were flipped, and the AUC."""

    labels: np.ndarray
    chances: np.ndarray
    flipped: np.ndarray
    auc: float


@functools.cache
def drawn() -> dict[str, Flips]:
    """5 % of each finding's labels are flipped before the folds are fitted, by patient."""
    exams = draw_exams(np.random.default_rng([SEED, 0]), IMAGES)
    images = [
        draw_phantom(np.random.default_rng([SEED, 1, i]), exam.findings, view=exam.view, habitus=exam.habitus)[0]
        for i, exam in enumerate(exams)
    ]
    pixels = np.stack([read_image(image, SIDE) for image in images]).reshape(len(images), -1) / 255.0
    patients, rng, made = np.array([exam.patient for exam in exams]), np.random.default_rng([SEED, 2]), {}
    for finding in FINDINGS:
        truth = np.array([finding in exam.findings for exam in exams], int)
        flipped = rng.random(len(truth)) < FLIPPED
        labels = np.where(flipped, 1 - truth, truth)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        folds = GroupKFold(FOLDS)
        chances = cross_val_predict(model, pixels, labels, groups=patients, cv=folds, method="predict_proba")[:, 1]
        made[finding] = Flips(labels, chances, flipped, float(roc_auc_score(truth, chances)))
    return made


def ours() -> dict[str, np.ndarray]:
    return {finding: find_label_errors(own.labels, own.chances).rows for finding, own in drawn().items()}


def cleanlabs() -> dict[str, np.ndarray]:
    """Prune by noise rate, ordered by normalised margin, as ours; in one process."""
    from cleanlab.filter import find_label_issues

    return {
        finding: find_label_issues(
            own.labels,
            np.stack([1 - own.chances, own.chances], axis=1),
            filter_by="prune_by_noise_rate",
            return_indices_ranked_by="normalized_margin",
            n_jobs=1,
        )
        for finding, own in drawn().items()
    }


def test_ours(compare: Callable[..., Any], record: Callable[..., None], describe: Callable[..., None]) -> None:
    describe(
        SECTION, f"{FLIPPED:.0%} of the labels of each finding flipped; logistic regression on {SIDE} px, by fold."
    )
    drawn()
    scores(record, "zoo", compare(SECTION, "zoo", ours, items=len(FINDINGS), unit="findings/s"))


def test_cleanlab(compare: Callable[..., Any], record: Callable[..., None]) -> None:
    pytest.importorskip("cleanlab", reason="cleanlab is not installed (AGPL; pip install cleanlab)")
    drawn()
    found = compare(SECTION, "cleanlab", cleanlabs, items=len(FINDINGS), unit="findings/s", peer=True, check=shared)
    scores(record, "cleanlab", found)


def shared(found: dict[str, np.ndarray]) -> str:
    """Neither names a label that the more probable class agrees with; the rest is the same."""
    for finding, rows in ours().items():
        assert {*rows.tolist()} == {*found[finding].tolist()}, finding
    return f"the same labels as ours: {sum(map(len, found.values())):,}"


def scores(record: Callable[..., None], who: str, found: dict[str, np.ndarray]) -> None:
    for finding, rows in found.items():
        own = drawn()[finding]
        hits = int(own.flipped[rows].sum())
        figures = {
            "flipped": int(own.flipped.sum()),
            "named": len(rows),
            "precision": f"{hits / max(len(rows), 1):.0%}",
        }
        recall = {"recall": f"{hits / own.flipped.sum():.0%}"}
        record(SECTION, {"finding": finding, "by": who, "AUC": own.auc, **figures, **recall})
