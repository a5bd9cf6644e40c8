"""Recipes: frozen dataclasses in a short Python file that define a whole training run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from zoo.config.specs import MAX_MEMBERS, EnsembleSpec, override
from zoo.config.tta import TtaSpec
from zoo.core import home
from zoo.core.errors import RecipeError, UnknownNameError
from zoo.data.augment import DEFAULT, AugmentSpec
from zoo.data.splits import SplitSpec
from zoo.data.tables.spec import TableSpec
from zoo.labels.uncertain import UncertainSpec, read_rules
from zoo.training.loss_spec import LossSpec as LossSpec
from zoo.training.stage import Stage as Stage
from zoo.training.stage import StageOverride as StageOverride
from zoo.training.teaching import TeachingSpec


@dataclass(frozen=True)
class Recipe:
    """A training run, from the table to the best weights of the last stage.

    Attributes:
        name: Name of the run.
        ensemble: The model that is trained.
        stages: One or more stages, in order.
        loss: The loss that is minimised.
        augment: Augmentation of the training images.
        split: How the table is split into training, validation and test parts.
        dataset: Format of the table, such as "competition" or "nih".
        table: Names of the columns, for a table of one's own (`dataset="csv"`).
        uncertain: Training target of an uncertain label (-1): "nan" (masked), "zero", "one", or a range such as
            "0.55..0.85", from which each label's target is drawn by `seed` (`zoo.labels.uncertain`). One rule for all
            findings, or finding -> rule ("nan" for the others). In the validation and test parts uncertain labels are
            unknown whatever the rule is: an assumption is not measured against itself.
        precision: Keras dtype policy; "auto" chooses by device.
        folds: Number of folds by patient over the training and validation parts, or 0. Each member becomes as many
            members, each trained without one fold; the decision is fitted on the predictions of the folds by the
            members that were trained without them (out-of-fold).
        members: "joint" trains the mean of all members as one graph, "separate" one member after the other, "parallel"
            each member in a process of its own, as many at a time as there are cores or GPUs.
        devices: Number of devices (GPUs, TPU cores) that share each batch, or "all" that there are. Batch sizes are of
            the whole batch and must be a multiple of it; the loss of each step is that of one device, with batch norm
            over the whole batch. Not with `members="parallel"`, whose processes have one device each.
        tta: Views whose logits are averaged in every prediction (test-time augmentation), with which the decision is
            fitted; None for the image alone. Mirrored views need `augment.flip_left_right`.
        seed: Seed of initial weights, dropout, image order and augmentation.
        checkpoint_minutes: Longest time between two checkpoints inside an epoch; a checkpoint also ends each epoch.
        fill_missing: "original" writes the table to `filled.csv` in the run folder with missing ages and sexes filled
            as in the original solution (mean and mode of the whole table). The filled values are neither trained on
            nor reported.
        cache: Whether images are decoded once and kept in the run folder: "always", "never", or "auto", which caches
            if decoding would slow an accelerator down. The pixels are the same.
        teaching: The teacher whose probabilities are learned, and how; None to learn the labels alone. `zoo distill`
            sets it.

    Raises:
        RecipeError: No stage, two stages of one name or weights file, or a value out of range.
    """

    name: str
    ensemble: EnsembleSpec
    stages: tuple[Stage, ...]
    loss: LossSpec = field(default_factory=LossSpec)
    augment: AugmentSpec = DEFAULT
    split: SplitSpec = field(default_factory=SplitSpec)
    dataset: str = "competition"
    table: TableSpec = field(default_factory=TableSpec)
    uncertain: UncertainSpec = "nan"
    fill_missing: Literal["never", "original"] = "never"
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    members: Literal["joint", "separate", "parallel"] = "joint"
    folds: int = 0
    devices: int | Literal["all"] = 1
    tta: TtaSpec | None = None
    seed: int = 42
    checkpoint_minutes: float = 15.0
    cache: Literal["auto", "always", "never"] = "auto"
    teaching: TeachingSpec | None = None

    def __post_init__(self) -> None:
        wrong = next(chain(self._wrong_stages(), self._wrong_members(), self._wrong_values()), None)
        if wrong is not None:
            raise RecipeError(f"recipe {self.name!r}: {wrong}")
        if self.devices != "all":
            self.check_devices(self.devices)
        for stage in self.stages:
            stage.check_overrides(self.ensemble.members, self.members == "joint")
        read_rules(self.uncertain, self.ensemble.findings)

    def check_devices(self, count: int) -> None:
        """Checks that batches can be divided among `count` devices.

        Raises:
            RecipeError: They cannot; the message names the stage.
        """
        if count < 1:
            raise RecipeError(f"recipe {self.name!r}: devices must be 1 or more, or 'all', got {count}")
        for stage in self.stages:
            if stage.batch_size % count:
                raise RecipeError(
                    f"stage {stage.name!r}: batch_size must be a multiple of the {count} devices that share a batch, "
                    f"got {stage.batch_size}"
                )

    def _wrong_stages(self) -> Iterator[str]:
        """What is wrong with the stages together."""
        if not self.stages:
            yield "stages is empty; give at least one Stage"
        names = [stage.name for stage in self.stages]
        files = [file for stage in self.stages for file in (stage.best_weights, stage.last_weights) if file]
        for kind, values in (("names", names), ("weights files", files)):
            if len(set(values)) != len(values):
                yield f"stages need different {kind}, got {values}"
        last, size = self.stages[-1], self.ensemble.image_size
        if last.snapshot:
            yield "the last stage has no snapshot, since it gives the member itself"
        if last.image_size not in (None, size):
            yield (
                f"stage {last.name!r}: image_size of the last stage must be None or that of the ensemble, {size}, got "
                f"{last.image_size}"
            )
        if sizes := {stage.image_size for stage in self.stages if stage.snapshot} - {None, size}:
            yield f"a stage with a snapshot needs the ensemble's image_size, got {sizes}"

    def _wrong_members(self) -> Iterator[str]:
        """What is wrong with how the members are trained."""
        if self.folds and (self.folds < 2 or self.split.by != "patient"):
            yield "folds are 2 or more, and by patient as the split, or 0"
        each = max(self.folds, 1) * (1 + sum(stage.snapshot for stage in self.stages))
        if (count := each * len(self.ensemble.members)) > MAX_MEMBERS:
            yield f"folds and snapshots make {count:,} members, and a model has {MAX_MEMBERS} at most"
        if self.members == "joint" and (self.folds or any(stage.snapshot for stage in self.stages)):
            yield "folds and snapshots need members 'separate' or 'parallel'"
        if self.devices != 1 and self.members == "parallel":
            yield (
                f"devices must be 1 with members='parallel', whose processes have one each, got {self.devices!r}: use "
                "members='separate'"
            )

    def _wrong_values(self) -> Iterator[str]:
        """Which other values are out of range, or do not fit together."""
        if self.tta is not None and self.tta.flip_left_right and not self.augment.flip_left_right:
            yield (
                "tta.flip_left_right needs augment.flip_left_right above 0: the network would see mirrored images for "
                "the first time"
            )
        if self.teaching is not None and self.loss.weight_range is not None:
            yield (
                "loss.weight_range must be None with a teacher: weights of positives would change the probabilities "
                f"that are learned, got {self.loss.weight_range}"
            )
        if not 0 <= self.seed < 2**31:
            yield f"seed must be in [0, 2**31), got {self.seed}"
        if not 0 < self.checkpoint_minutes < math.inf:
            yield f"checkpoint_minutes must be finite and above 0, got {self.checkpoint_minutes}"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Loads the variable `recipe` of a Python file.

    The file is executed as Python code: load only recipes that you trust.

    Args:
        name_or_path: Name of a recipe shipped with the package, or path of a `.py` file.

    Raises:
        UnknownNameError: No shipped recipe has that name; the message shows the closest ones.
        FileNotFoundError: No such file.
        RecipeError: The file defines no `recipe`.

    Example:
        >>> [stage.name for stage in load_recipe("xrayslam").stages]
        ['stage1', 'stage2']
    """
    path, defined = run_definition(name_or_path)
    recipe = defined.get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{path}: expected a Recipe called 'recipe', got {type(recipe).__name__}")
    return recipe


def run_definition(name_or_path: str | Path) -> tuple[Path, Mapping[str, Any]]:
    """Executes a file of definitions, such as a recipe, and returns its path and the variables it defines.

    Raises:
        UnknownNameError: No shipped file has that name; the message shows the closest ones.
        FileNotFoundError: No such file.
    """
    path = Path(name_or_path)
    if path.suffix != ".py":
        shipped = {p.stem: p for p in home.shipped("recipes").glob("*.py")}
        if str(name_or_path) not in shipped:
            raise UnknownNameError("recipe", str(name_or_path), shipped, "A file of your own is named by its path.")
        path = shipped[str(name_or_path)]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recipe file")
    spec = importlib.util.spec_from_file_location(f"zoo_recipe_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return path, vars(module)


def apply_overrides(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """Returns a copy of a recipe with some fields changed.

    Args:
        recipe: The recipe.
        overrides: Changes in the form "path=value", applied in order.

    Raises:
        RecipeError: No "=", no such field, or a value of the wrong type or range; the message names the field.

    Example:
        >>> apply_overrides(load_recipe("xrayslam"), ["stages.1.epochs=3"]).stages[1].epochs
        3
    """
    for text in overrides:
        recipe = override(recipe, *split_override(text))
    return recipe


def split_override(text: str) -> tuple[str, str]:
    """Returns path and value of a change.

    Raises:
        RecipeError: The text has no "=".

    Example:
        >>> split_override("stages.1.epochs=3")
        ('stages.1.epochs', '3')
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"override {text!r}: expected path=value, such as stages.0.epochs=3")
    return path.strip(), value.strip()


def with_table(recipe: Recipe, columns: TableSpec) -> Recipe:
    """Returns a copy of a recipe with the columns that were named; those that were not stay as they are.

    Example:
        >>> with_table(load_recipe("xrayslam_demo"), TableSpec(image="file")).table.image
        'file'
    """
    named = {f.name: value for f in fields(columns) if (value := getattr(columns, f.name))}
    return replace(recipe, table=replace(recipe.table, **named))
