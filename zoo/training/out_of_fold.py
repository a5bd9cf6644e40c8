"""Out-of-fold predictions: each image of the training and validation parts by the members trained without its patient.

A decision is fitted on them, so that no separate part has to be given up. They are those of single models, while the
released model averages all folds. Averaging makes logits less extreme than those of each model are when they are wrong,
so the released probabilities are, as a rule, slightly too cautious and never fitted on an image that was learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.files import write_text
from zoo.core.progress import Progress
from zoo.data.images.reading import Reader
from zoo.data.splits import Split
from zoo.models.ensemble import Ensemble
from zoo.training import folds
from zoo.training.predicting import predict_logits
from zoo.training.recipe import Recipe

FILE = "out_of_fold.csv"


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold logits.

    Attributes:
        rows: int64 (n,): rows of the table, those of the training and validation parts.
        folds: int64 (n,): fold of each, from 1.
        logits: Name -> float32 (n, findings): the ensemble's name first, then each member without its fold.
    """

    rows: np.ndarray
    folds: np.ndarray
    logits: Mapping[str, np.ndarray]


def predict(
    model: Ensemble, recipe: Recipe, table: pd.DataFrame, split: Split, progress: Progress, read: Reader
) -> OutOfFold:
    """Predicts every fold by the members that were trained without it.

    Args:
        model: The trained ensemble of all folds.
        recipe: Its recipe.
        table: Canonical table.
        split: Split of the run.
        progress: Receives the progress.
        read: Reads the pixels of an image.
    """
    place, members = folds.assign(recipe, table, split), folds.lineup(recipe)
    rows = np.flatnonzero(place)
    bases = list(dict.fromkeys(member.base for member in members))
    found = {base: np.empty((len(rows), len(recipe.ensemble.findings)), np.float32) for base in bases}
    for fold in range(1, recipe.folds + 1):
        base_of = {member.name: member.base for member in members if member.fold == fold}
        part = {f"fold {fold}": np.flatnonzero(place == fold)}
        (logits,) = predict_logits(model, table, part, recipe, progress, read, only=list(base_of)).values()
        for name, values in logits.items():
            found[base_of[name]][place[rows] == fold] = values
    return OutOfFold(rows, place[rows], {recipe.ensemble.name: _mean(recipe, found)} | found)


def joined(recipe: Recipe, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Averages the logits of the members of each base over the folds; the ensemble's stay as they are.

    Args:
        recipe: The recipe.
        logits: Name of the ensemble and of each of its members -> (n, findings).
    """
    name, members = recipe.ensemble.name, folds.lineup(recipe)
    of: dict[str, list[np.ndarray]] = {}
    for member in members:
        of.setdefault(member.base, []).append(logits[member.name])
    return {name: logits[name]} | {base: np.mean(some, axis=0) for base, some in of.items()}


def write(found: OutOfFold, recipe: Recipe, table: pd.DataFrame, folder: Path) -> None:
    """Writes `out_of_fold.csv`: one row for each model and image, with its fold and logits."""
    rows, frames = table.iloc[found.rows], []
    for name, values in found.logits.items():
        frame = pd.DataFrame(values, columns=[f"logit_{finding}" for finding in recipe.ensemble.findings])
        for column in ("Patient_ID", "Image_name"):
            frame.insert(0, column, rows[column].to_numpy())
        frame.insert(0, "fold", found.folds)
        frame.insert(0, "model", name)
        frames.append(frame)
    write_text(folder / FILE, pd.concat(frames).to_csv(index=False))


def _mean(recipe: Recipe, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean of the bases, weighted like the members that they are made of."""
    shares = np.asarray(folds.bases_of(recipe).shares, np.float32)
    return np.sum([values * share for values, share in zip(found.values(), shares, strict=True)], axis=0)
