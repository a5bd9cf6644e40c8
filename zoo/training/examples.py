"""The training and validation parts of a table, as paths and labels for the input pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import RecipeError, SplitError, UsageError
from zoo.data import augment, pipeline
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split
from zoo.data.tables import reading
from zoo.labels import uncertain
from zoo.training import folds, processes, teaching
from zoo.training.recipe import Recipe, Stage


@dataclass(frozen=True)
class Examples:
    """Paths and labels of the training and validation parts.

    Attributes:
        recipe: Gives image size, findings and augmentation.
        paths: n training images.
        labels: float32 (n, findings), the training targets: 1, 0, NaN (unknown), and what the recipe makes of uncertain
            labels; with a teacher (n, 2 findings), as of `teaching.targets`.
        targeted: bool (n,): images with a rare finding, which get the targeted augmentation.
        validation_paths: m validation images.
        validation_labels: float32 (m, findings) of 1, 0 and NaN.
        read: Reads the pixels of an image.
        notes: How many uncertain labels became what.
        validation_targets: What val_loss is computed from: the labels, or with a teacher float32 (m, 2 findings).
    """

    recipe: Recipe
    paths: list[str]
    labels: np.ndarray
    targeted: np.ndarray
    validation_paths: list[str]
    validation_labels: np.ndarray
    read: Reader = read_image
    notes: tuple[str, ...] = ()
    validation_targets: np.ndarray | None = None

    @classmethod
    def from_table(
        cls,
        recipe: Recipe,
        table: pd.DataFrame,
        split: Split,
        read: Reader = read_image,
        teacher: np.ndarray | None = None,
    ) -> Examples:
        """Takes the rows of a table that are in the training and validation parts.

        Args:
            recipe: The recipe.
            table: Canonical table.
            split: Its split.
            read: Reads the pixels of an image.
            teacher: Logits (rows of the table, findings) of the recipe's teacher; None if it has none.

        Raises:
            UsageError: There are logits and no teacher in the recipe, or the other way round.
            SplitError: No finding has both classes in the validation part, so val_auc is undefined.
            RecipeError: A stage would take no step: its batch size exceeds the number of training images, or its
                `accumulate` that of all its batches.
        """
        labels, paths = reading.labels_of(table, recipe.ensemble.findings), table["Image_path"].to_numpy()
        train, validation = split.rows("train"), split.rows("validation")
        for stage in recipe.stages:
            _check_steps(recipe, stage, len(train))
        if not np.any(np.any(labels[validation] == 1, axis=0) & np.any(labels[validation] == 0, axis=0)):
            raise SplitError(
                f"no finding has both classes in the {counted(len(validation), 'image')} of the validation part: "
                "val_auc is undefined"
            )
        learned, notes = training_targets(recipe, table, split)
        targeted, judged = augment.targeted_images(learned), labels[validation]
        if (teacher is None) != (recipe.teaching is None):
            raise UsageError(f"recipe {recipe.name!r}: logits of a teacher are wanted if, and only if, it has teaching")
        if recipe.teaching is not None and teacher is not None:
            learned = teaching.targets(teacher[train], learned, recipe.teaching.temperature)
            judged = teaching.targets(teacher[validation], judged, recipe.teaching.temperature)
        return cls(
            recipe,
            list(paths[train]),
            learned,
            targeted,
            list(paths[validation]),
            labels[validation],
            read,
            notes,
            judged,
        )

    def steps(self, stage: Stage) -> int:
        """Number of batches per epoch; the last, incomplete batch is left out."""
        return pipeline.steps_per_epoch(len(self.paths), stage.batch_size)

    def batches(self, stage: Stage, seed: int, epoch: int, start_step: int, whole: bool = False) -> Any:
        """Training batches of an epoch (counted over the whole run), beginning at `start_step`.

        One of several processes gets its rows of each batch, unless it wants the whole.
        """
        return pipeline.training_batches(
            self.paths,
            self.labels,
            image_size=self.image_size(stage),
            batch_size=stage.batch_size,
            seed=seed,
            epoch=epoch,
            augment=self.recipe.augment,
            targeted=self.targeted,
            start_step=start_step,
            read=self.read,
            share=(0, 1) if whole else processes.share(),
        )

    def image_size(self, stage: Stage) -> int:
        """Height and width of the images in a stage, in pixels."""
        return stage.image_size or self.recipe.ensemble.image_size

    def validation_batches(self, stage: Stage) -> Any:
        """Validation images in order; the last one is repeated to fill the last batch, so that XLA compiles once."""
        batch_size = stage.batch_size
        missing = -len(self.validation_paths) % batch_size
        paths = self.validation_paths + self.validation_paths[-1:] * missing
        return pipeline.evaluation_batches(
            paths,
            None,
            image_size=self.image_size(stage),
            batch_size=batch_size,
            read=self.read,
            share=processes.share(),
        )


def _check_steps(recipe: Recipe, stage: Stage, images: int) -> None:
    where = f"stage {stage.name!r}"
    if stage.batch_size > images:
        raise RecipeError(f"{where}: batch_size {stage.batch_size} is above the {images} training images")
    for own in map(stage.of, recipe.ensemble.members):
        batches = own.epochs * pipeline.steps_per_epoch(images, stage.batch_size)
        if own.accumulate > batches:
            raise RecipeError(
                f"{where}: accumulate {own.accumulate} is above its {counted(batches, 'batch', 'batches')}, so that no "
                "step would be taken"
            )


def training_targets(recipe: Recipe, table: pd.DataFrame, split: Split) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the targets of the training part, and sentences on the uncertain labels of all parts.

    Returns:
        float32 (n, findings): the labels, in which the recipe's rules have replaced the uncertain ones. The validation
        and test parts have no targets: their uncertain labels are unknown.
    """
    findings, train = recipe.ensemble.findings, split.rows("train")
    labels, names = reading.labels_of(table, findings, uncertain=True), table["Image_name"].to_numpy(str)
    found = uncertain.targets(labels[train], names[train], findings, recipe.uncertain, recipe.seed)
    held_out = np.setdiff1d(np.arange(len(table)), train)
    others = int(np.sum(labels[held_out] == uncertain.UNCERTAIN))
    apart = [f"validation and test parts: uncertain labels taken as unknown: {others:,}"] if others else []
    return found.values, (*found.notes("training part"), *apart)


def trained_findings(recipe: Recipe, table: pd.DataFrame, split: Split) -> list[bool]:
    """Whether each finding had both classes in what was learned from; the outputs for the others are meaningless."""
    if recipe.teaching is not None:
        return [finding not in recipe.ensemble.untrained for finding in recipe.ensemble.findings]
    labels, _ = training_targets(recipe, table, folds.learned_from(recipe, split))
    return [bool((column == 1).any() and (column == 0).any()) for column in labels.T]
