"""Recipes: everything a training run is made of, as frozen dataclasses in a short Python file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zoo.config.specs import EnsembleSpec, override, to_dict
from zoo.core import home
from zoo.core.errors import RecipeError, UnknownNameError
from zoo.data.augment import DEFAULT, AugmentSpec
from zoo.data.splits import SplitSpec

#: Fields that change when checkpoints are written, where images are read from and what is listed, not what is trained.
FREE_FIELDS = frozenset({"checkpoint_minutes", "cache", "fill_missing"})


@dataclass(frozen=True)
class Stage:
    """One stage of training: from the best weights of the stage before, with a new optimiser.

    Attributes:
        name: Name in logs and in the history.
        epochs: Epochs at most.
        batch_size: Images a step.
        learning_rate: AdamW's, or the peak of the schedule.
        weight_decay: Decoupled, a step and unit of learning rate (Loshchilov & Hutter 2019).
        decay_norms_and_biases: Decay variables of one axis too, as plain `keras.optimizers.AdamW` does.
        clipnorm: Greatest norm of each variable's gradient, or None.
        schedule: "plateau": halved (`reduce_lr_factor`) when val_loss has not improved for `reduce_lr_patience` epochs;
            "constant"; or "warmup_cosine": linear over `warmup_steps`, then a cosine down to `min_learning_rate`
            (Loshchilov & Hutter 2017).
        warmup_steps: Optimiser steps of warm-up; with "warmup_cosine" only.
        reduce_lr_patience: Epochs; with "plateau" only.
        reduce_lr_factor: Factor; with "plateau" only.
        min_learning_rate: Lower end of "plateau" and "warmup_cosine".
        accumulate: Batches whose gradients make one optimiser step.
        ema_momentum: Momentum of an average of the weights, which is then what is validated and kept; None for none.
        early_stopping_patience: Epochs without a better val_auc before the stage ends; None for never.
        unfreeze_top: Only the last so many layers of each backbone (and the heads) train; None for all.
        train_batch_norm: With `unfreeze_top`: batch norm among those layers trains too.
        best_weights: File in the run folder of the weights with the best val_auc.
        last_weights: File of the weights at the end of the stage, or None.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    decay_norms_and_biases: bool = False
    clipnorm: float | None = 1.0
    schedule: Literal["plateau", "constant", "warmup_cosine"] = "plateau"
    warmup_steps: int = 0
    reduce_lr_patience: int = 2
    reduce_lr_factor: float = 0.5
    min_learning_rate: float = 0.0
    accumulate: int = 1
    ema_momentum: float | None = None
    early_stopping_patience: int | None = 3
    unfreeze_top: int | None = None
    train_batch_norm: bool = False
    best_weights: str = ""
    last_weights: str | None = None

    def __post_init__(self) -> None:
        if not self.best_weights:
            object.__setattr__(self, "best_weights", f"{self.name}.weights.h5")
        for name, least in {"epochs": 1, "batch_size": 1, "accumulate": 1, "reduce_lr_patience": 1}.items():
            self._require(getattr(self, name) >= least, name, f"at least {least}")
        for name in ("weight_decay", "warmup_steps", "min_learning_rate"):
            self._require(getattr(self, name) >= 0, name, "at least 0")
        self._require(self.learning_rate > 0, "learning_rate", "above 0")
        self._require(self.min_learning_rate <= self.learning_rate, "min_learning_rate", "at most learning_rate")
        self._require(self.clipnorm is None or self.clipnorm > 0, "clipnorm", "above 0, or None")
        self._require(0 < self.reduce_lr_factor < 1, "reduce_lr_factor", "in (0, 1)")
        self._require(self.ema_momentum is None or 0 < self.ema_momentum < 1, "ema_momentum", "in (0, 1), or None")
        patience = self.early_stopping_patience
        self._require(patience is None or patience >= 1, "early_stopping_patience", "at least 1, or None")
        self._require(self.unfreeze_top is None or self.unfreeze_top >= 0, "unfreeze_top", "at least 0, or None")
        warms = not self.warmup_steps or self.schedule == "warmup_cosine"
        self._require(warms, "warmup_steps", "0 unless schedule is 'warmup_cosine'")
        for name in ("best_weights", "last_weights"):
            file = getattr(self, name)
            fits = file is None or (file.endswith(".weights.h5") and Path(file).name == file)
            self._require(fits, name, "a plain file name ending in .weights.h5")

    def _require(self, fits: bool, name: str, what: str) -> None:
        if not fits:
            raise RecipeError(f"stage {self.name!r}: {name} must be {what}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class LossSpec:
    """Which loss, and how its findings are weighted.

    Attributes:
        name: Registered name, such as "weighted_bce".
        weight_range: Lower and upper clip of each finding's negatives / positives; None: no weights.
        form: Whether weights go on "both_terms" or "positive_only".
        smoothing: Label smoothing.
        options: The loss' own arguments, such as {"gamma": 2.0}.
    """

    name: str = "weighted_bce"
    weight_range: tuple[float, ...] | None = (0.5, 3.0)
    form: Literal["both_terms", "positive_only"] = "both_terms"
    smoothing: float = 0.0
    options: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.weight_range
        if limits is not None and (len(limits) != 2 or not 0 < limits[0] <= limits[1]):
            raise RecipeError(f"loss: weight_range must be two numbers, 0 < low <= high, or None, got {limits}")
        if not 0 <= self.smoothing < 1:
            raise RecipeError(f"loss: smoothing must be in [0, 1), got {self.smoothing}")


@dataclass(frozen=True)
class Recipe:
    """A training run from the table to the best weights of its last stage.

    Attributes:
        name: Name of the run.
        ensemble: What is trained.
        stages: One or more, in order.
        loss: What is minimised.
        augment: What happens to training images.
        split: How the table is split.
        dataset: Form of the table.
        uncertain: What -1 and blank labels become.
        precision: Keras' dtype policy; "auto" takes what the device is good at.
        members: "joint" trains the mean of all members as one graph, "separate" one member after the other.
        seed: Of initial weights, dropout, order and augmentation.
        checkpoint_minutes: Longest time between checkpoints inside an epoch; each epoch ends in one as well.
        fill_missing: "original" writes the ages and sexes as the original solution filled them (mean and mode of the
            whole table) to `filled.csv` in the run's folder. Nothing is trained on them and no report shows them.
        cache: Whether images are decoded once and kept in the run's folder: "auto" where decoding them would keep an
            accelerator waiting, "always", or "never". The pixels are the same.
    """

    name: str
    ensemble: EnsembleSpec
    stages: tuple[Stage, ...]
    loss: LossSpec = LossSpec()
    augment: AugmentSpec = DEFAULT
    split: SplitSpec = field(default_factory=SplitSpec)
    dataset: str = "competition"
    uncertain: Literal["nan", "zero", "one"] = "nan"
    fill_missing: Literal["never", "original"] = "never"
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    members: Literal["joint", "separate"] = "joint"
    seed: int = 42
    checkpoint_minutes: float = 15.0
    cache: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        if not self.stages:
            raise RecipeError(f"recipe {self.name!r}: stages is empty; give at least one Stage")
        names = [s.name for s in self.stages]
        files = [f for s in self.stages for f in (s.best_weights, s.last_weights) if f]
        for kind, values in (("names", names), ("weights files", files)):
            if len(set(values)) != len(values):
                raise RecipeError(f"recipe {self.name!r}: stages need different {kind}, got {values}")
        if not 0 <= self.seed < 2**31:
            raise RecipeError(f"recipe {self.name!r}: seed must be in [0, 2**31), got {self.seed}")
        if self.checkpoint_minutes <= 0:
            raise RecipeError(
                f"recipe {self.name!r}: checkpoint_minutes must be above 0, got {self.checkpoint_minutes}"
            )


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Reads `recipe` from a Python file, given by its path or, if it is shipped with the package, by its name.

    The file is run as Python: name only files that you would run yourself.

    Raises:
        UnknownNameError: No shipped recipe of that name; says the closest ones.
        FileNotFoundError: No such file.
        RecipeError: The file holds no `recipe`.
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
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{path}: expected a Recipe called 'recipe', got {type(recipe).__name__}")
    return recipe


def apply_overrides(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """A copy with each "path=value" set, such as "stages.1.learning_rate=1e-5", one after the other.

    Raises:
        RecipeError: No "=", no such field, or a value that does not fit; names the field.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"override {text!r}: expected path=value, such as stages.0.epochs=3")
        recipe = override(recipe, path.strip(), value.strip())
    return recipe


def differences(saved: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Paths of the fields in which a recipe differs from a saved one (`to_dict`), but for `FREE_FIELDS`."""
    before, now = dict(_flat(saved)), dict(_flat(to_dict(recipe)))
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    return [path for path in changed if path not in FREE_FIELDS]


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from _flat(item, f"{path}.{key}".lstrip("."))
