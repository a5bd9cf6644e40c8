"""The stages of a recipe: how long, how fast and with what regularisation the members are trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from zoo.config.specs import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE, MemberSpec
from zoo.core.errors import RecipeError


@dataclass(frozen=True)
class StageOverride:
    """What is different in a stage for one member; None for what is not. The fields are those of `Stage`.

    Example:
        >>> StageOverride(learning_rate=2e-3).given()
        {'learning_rate': 0.002}
    """

    epochs: int | None = None
    learning_rate: float | None = None
    min_learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float | None = None
    clipnorm: float | None = None
    accumulate: int | None = None
    ema_momentum: float | None = None
    layer_decay: float | None = None
    unfreeze_top: int | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are not None, with their values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Stage:
    """One stage of training. It starts from the best weights of the stage before it, with a new optimizer.

    Attributes:
        name: Name in logs and in the history.
        epochs: Maximum number of epochs.
        batch_size: Images per step.
        learning_rate: Learning rate of AdamW, or the peak of the schedule.
        weight_decay: Decoupled weight decay (Loshchilov & Hutter 2019).
        decay_norms_and_biases: Whether to decay biases and normalization parameters too, as plain
            `keras.optimizers.AdamW` does.
        clipnorm: Largest norm of each variable's gradient, or None.
        schedule: "plateau" multiplies the learning rate by `reduce_lr_factor` when val_loss has not improved for
            `reduce_lr_patience` epochs; "constant"; or "warmup_cosine", linear over `warmup_steps`, then a cosine down
            to `min_learning_rate` (Loshchilov & Hutter 2017).
        warmup_steps: Optimizer steps of warm-up; only with "warmup_cosine".
        reduce_lr_patience: Epochs; only with "plateau".
        reduce_lr_factor: Factor; only with "plateau".
        min_learning_rate: Lower end of "plateau" and "warmup_cosine".
        accumulate: Batches whose gradients are accumulated into one optimizer step.
        ema_momentum: Momentum of the moving average of the weights. If set, the average is validated and saved in
            place of the weights. Keras updates it after each batch, also after those that only accumulate gradients:
            with `accumulate` = k, the momentum of one optimizer step is `ema_momentum ** k`.
        average_last: Number of last epochs whose weights are averaged (SWA, Izmailov et al. 2018). If set, the average
            is saved as the best weights, whatever its val_auc; `early_stopping_patience` must then be None.
        back_offs: How often, at most, the stage halves its learning rate and repeats the epoch from its start when a
            loss, gradient, weight or logit is NaN or infinite. After that, and with 0 at once, training stops with an
            error that names step and quantity, and its last checkpoint is kept. Above 0, one more is kept on the disk.
        early_stopping_patience: Epochs without a better val_auc before the stage ends; None never ends it early.
        unfreeze_top: Number of layers at the end of each backbone that are trained besides the heads; None trains all.
        train_batch_norm: With `unfreeze_top`, whether batch norm among those layers is trained too.
        snapshot: Whether the best weights of this stage are a further member (Huang et al. 2017); not in the last
            stage, whose best weights are the member itself.
        image_size: Height and width of the images in this stage, or None for the ensemble's: progressive resizing. The
            weights are carried over: heads pool whatever size there is, and positions of transformers are interpolated.
            val_auc is of images of this size. The last stage must have the ensemble's size.
        soup: Greedy soup (Wortsman et al. 2022, recipe 1): the weights of the `soup` epochs with the best val_auc are
            averaged, one after the other, best first; one that lowers the val_auc of the average is left out. The
            result is saved as the best weights. Not together with `average_last`.
        layer_decay: Factor of the learning rate for each step away from the head (layer-wise rates: Clark et al. 2020,
            ELECTRA; Bao et al. 2022, BEiT). The head has the stage's rate, the last block of a backbone `layer_decay`
            times it, the block before `layer_decay`^2 times it, and so on; see `training.rates`. The decoupled weight
            decay of a variable is multiplied by the same factor. None or 1 for one rate.
        overrides: Name of a member, or of its backbone, -> what is different for it. With `members="joint"` only
            `learning_rate` can be.
        best_weights: File name, in the run folder, of the weights with the best val_auc.
        last_weights: File name of the weights at the end of the stage, or None.

    Raises:
        RecipeError: A value is out of range; the message names the stage and the field.

    Example:
        >>> Stage(name="stage1", epochs=10, batch_size=64, learning_rate=1e-5).best_weights
        'stage1.weights.h5'
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
    average_last: int | None = None
    back_offs: int = 0
    early_stopping_patience: int | None = 3
    unfreeze_top: int | None = None
    train_batch_norm: bool = False
    snapshot: bool = False
    image_size: int | None = None
    soup: int | None = None
    layer_decay: float | None = None
    overrides: Mapping[str, StageOverride] = field(default_factory=dict)
    best_weights: str = ""
    last_weights: str | None = None

    def __post_init__(self) -> None:
        if not self.best_weights:
            object.__setattr__(self, "best_weights", f"{self.name}.weights.h5")
        for name, least in {"epochs": 1, "batch_size": 1, "accumulate": 1, "reduce_lr_patience": 1}.items():
            self._require(getattr(self, name) >= least, name, f"at least {least}")
        for name in ("weight_decay", "warmup_steps", "min_learning_rate", "back_offs"):
            self._require(getattr(self, name) >= 0, name, "at least 0")
        for name in ("learning_rate", "weight_decay", "min_learning_rate", "clipnorm"):
            self._require((getattr(self, name) or 0) < math.inf, name, "finite")
        self._require(self.learning_rate > 0, "learning_rate", "above 0")
        self._require(self.min_learning_rate <= self.learning_rate, "min_learning_rate", "at most learning_rate")
        self._require(self.clipnorm is None or self.clipnorm > 0, "clipnorm", "above 0, or None")
        self._require(0 < self.reduce_lr_factor < 1, "reduce_lr_factor", "in (0, 1)")
        self._require(self.ema_momentum is None or 0 < self.ema_momentum < 1, "ema_momentum", "in (0, 1), or None")
        patience = self.early_stopping_patience
        self._require(patience is None or patience >= 1, "early_stopping_patience", "at least 1, or None")
        fits = self.average_last is None or 1 <= self.average_last <= self.epochs
        self._require(fits, "average_last", f"1 to {self.epochs} (epochs), or None")
        runs_to_its_end = self.average_last is None or patience is None
        self._require(runs_to_its_end, "early_stopping_patience", "None with average_last, which needs the last epochs")
        self._require(self.unfreeze_top is None or self.unfreeze_top >= 0, "unfreeze_top", "at least 0, or None")
        self._require(self.soup is None or self.soup >= 2, "soup", "at least 2 (epochs), or None")
        self._require(self.soup is None or self.average_last is None, "soup", "None with average_last")
        self._require(self.layer_decay is None or 0 < self.layer_decay <= 1, "layer_decay", "in (0, 1], or None")
        sized = self.image_size is None or MIN_IMAGE_SIZE <= self.image_size <= MAX_IMAGE_SIZE
        self._require(sized, "image_size", f"{MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}, or None")
        warms = not self.warmup_steps or self.schedule == "warmup_cosine"
        self._require(warms, "warmup_steps", "0 unless schedule is 'warmup_cosine'")
        for name in ("best_weights", "last_weights"):
            file = getattr(self, name)
            fits = file is None or (file.endswith(".weights.h5") and Path(file).name == file)
            self._require(fits, name, "a plain file name ending in .weights.h5")

    def override_of(self, member: MemberSpec) -> StageOverride:
        """Returns what is different for a member: by its name, or else by the name of its backbone."""
        return self.overrides.get(member.name) or self.overrides.get(member.backbone) or StageOverride()

    def of(self, member: MemberSpec) -> Stage:
        """Returns the stage as a member that is trained alone goes through it.

        Raises:
            RecipeError: What is different for it does not fit the other fields.

        Example:
            >>> stage = Stage("stage1", 2, 8, 1e-3, overrides={"tiny": StageOverride(learning_rate=1e-2)})
            >>> stage.of(MemberSpec("tiny", alias="first")).learning_rate
            0.01
        """
        return replace(self, overrides={}, **self.override_of(member).given())

    def check_overrides(self, members: Sequence[MemberSpec], joint: bool) -> None:
        """Checks that each of `overrides` belongs to a member, and that it can be obeyed.

        Raises:
            RecipeError: The message names the stage and what is wrong.
        """
        where, names = f"stage {self.name!r}: overrides", {n for m in members for n in (m.name, m.backbone)}
        for name, change in self.overrides.items():
            if name not in names:
                raise RecipeError(f"{where}: {name!r} is no member and no backbone of one: {', '.join(sorted(names))}")
            if joint and (alone := [field for field in change.given() if field != "learning_rate"]):
                raise RecipeError(
                    f"{where}.{name}.{alone[0]} needs members='separate' or 'parallel': members that are trained "
                    "jointly differ in learning_rate alone"
                )
        for member in members:
            self.of(member)

    def _require(self, fits: bool, name: str, what: str) -> None:
        if not fits:
            raise RecipeError(f"stage {self.name!r}: {name} must be {what}, got {getattr(self, name)!r}")
