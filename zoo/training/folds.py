"""Who the members of the trained model are: those of the recipe, or more of them by folds and snapshots.

With `Recipe.folds = k` every member becomes k members. Each is trained on the training and validation parts without one
fold of the patients, and is validated on that fold. With `Stage.snapshot` the best weights of a stage before the last
one are a further member (Huang et al. 2017).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import SplitError
from zoo.data.splits import Split, patients_of
from zoo.data.stratify import stratify_patients
from zoo.data.tables.reading import labels_of
from zoo.training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A member of the trained model.

    Attributes:
        spec: Its specification.
        of: Place of the member in the recipe.
        base: Its name without the fold: members of one base are trained alike on different patients.
        fold: The fold that it was trained without, from 1; 0 without folds.
        trainer: Name of the member whose training gives its weights: its own, or that of which it is a snapshot.
        snapshot: File name of the weights of a snapshot; "" for the weights at the end.
    """

    spec: MemberSpec
    of: int
    base: str
    fold: int
    trainer: str
    snapshot: str = ""

    @property
    def name(self) -> str:
        """Name in the trained model."""
        return self.spec.name


def lineup(recipe: Recipe) -> tuple[Trained, ...]:
    """Lists the members of the trained model.

    Example:
        >>> from zoo.training.recipe import load_recipe
        >>> recipe = dataclasses.replace(load_recipe("xrayslam_demo"), folds=2)
        >>> [member.name for member in lineup(recipe)][:3]
        ['resnet50-fold1', 'resnet50-fold2', 'efficientnetb3-fold1']
    """
    found = []
    for place, member in enumerate(recipe.ensemble.members):
        for fold in range(1, recipe.folds + 1) or [0]:
            trainer = f"{member.name}-fold{fold}" if fold else member.name
            for stage in recipe.stages[:-1]:
                if stage.snapshot:
                    spec = dataclasses.replace(member, alias=f"{trainer}-{stage.name}")
                    base = f"{member.name}-{stage.name}"
                    found.append(Trained(spec, place, base, fold, trainer, stage.best_weights))
            spec = dataclasses.replace(member, alias=trainer) if fold else member
            found.append(Trained(spec, place, member.name, fold, trainer))
    return tuple(found)


def model_of(recipe: Recipe) -> EnsembleSpec:
    """Returns the specification of the trained model; that of the recipe without folds and snapshots.

    Each member has the weight that the recipe gives to the member it is made of; only their ratios matter.

    Raises:
        RecipeError: There would be too many members, or two of one name.
    """
    members, given = lineup(recipe), recipe.ensemble.weighting
    weighting = given if isinstance(given, str) else tuple(given[member.of] for member in members)
    return dataclasses.replace(recipe.ensemble, members=tuple(member.spec for member in members), weighting=weighting)


def bases_of(recipe: Recipe) -> EnsembleSpec:
    """Returns the specification of an ensemble with one member for each base.

    It is that of the trained model without folds.
    """
    return model_of(dataclasses.replace(recipe, folds=0))


def assign(recipe: Recipe, table: pd.DataFrame, split: Split) -> np.ndarray:
    """Assigns the patients of the training and validation parts to folds, stratified by finding like the split.

    The result does not depend on the order of the rows.

    Returns:
        int64 (rows,): fold of each row, from 1; 0 in the test part.

    Raises:
        SplitError: There are fewer patients than folds.
    """
    rows = np.sort(np.concatenate([split.rows("train"), split.rows("validation")]))
    names, group = np.unique(patients_of(table)[rows].astype(str), return_inverse=True)
    if len(names) < recipe.folds:
        raise SplitError(f"{recipe.folds} folds need as many patients in the training and validation parts")
    labels = labels_of(table, recipe.ensemble.findings)[rows]
    shares = (1 / recipe.folds,) * recipe.folds
    found = np.zeros(len(table), np.int64)
    found[rows] = 1 + stratify_patients(labels, group, shares, recipe.split.seed)
    return found


def split_of(split: Split, folds: np.ndarray, fold: int) -> Split:
    """Returns the split that the members of a fold are trained with; its hash stays that of the whole split.

    Args:
        split: The split of the run.
        folds: Fold of each row, from `assign`.
        fold: Number of the fold, which becomes the validation part; the other folds are the training part.
    """
    parts = {
        "train": np.flatnonzero((folds > 0) & (folds != fold)),
        "validation": np.flatnonzero(folds == fold),
        "test": split.rows("test"),
    }
    return dataclasses.replace(split, parts=parts)


def learned_from(recipe: Recipe, split: Split) -> Split:
    """Returns the split with all images that some member was trained on in the training part."""
    if not recipe.folds:
        return split
    rows = np.sort(np.concatenate([split.rows("train"), split.rows("validation")]))
    return dataclasses.replace(split, parts={**split.parts, "train": rows})
