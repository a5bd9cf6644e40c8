"""The optimizer of a stage: AdamW with its learning-rate schedule, weight decay and moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from zoo.core import keras_compat
from zoo.training import rates
from zoo.training.recipe import Stage


@keras.saving.register_keras_serializable("zoo")
class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW, except that `fit` does not replace the weights by their moving average, and faster on TensorFlow.

    Keras replaces them at the end of every `fit`. Here `fit` is called once per epoch, and training must continue with
    the weights themselves; `averaged_weights` gives access to the average.

    TensorFlow has the step of a variable as one kernel (`keras_compat.adam_step`): on a CPU a training step of ResNet50
    takes a sixth less with it, and is traced in half of the time.

    Attributes:
        factors: Factor of the learning rate, and of the decoupled weight decay, for each variable it was built with, in
            order; None for one rate.
        decay: With `factors`, the weight decay in place of `weight_decay`, which must then be 0.
        spared: With `factors`, positions of the variables that do not decay.
    """

    factors: tuple[float, ...] | None = None
    decay: float = 0.0
    spared: frozenset[int] = frozenset()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of AdamW (algorithm 2 of Loshchilov & Hutter 2019), at the variable's own rate."""
        if self.factors is not None:
            position = keras_compat.variable_position(self, variable)
            learning_rate = keras.ops.cast(learning_rate, variable.dtype) * self.factors[position]
            if self.decay and position not in self.spared:
                self.assign_sub(variable, variable * (learning_rate * self.decay))
        if keras.config.backend() == "tensorflow" and not self.amsgrad:
            keras_compat.adam_step(self, gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Does nothing, so that the weights stay as they are."""


def build_optimizer(model: keras.Model, stage: Stage, total_steps: int) -> keras.optimizers.Optimizer:
    """Builds the AdamW optimizer that a stage describes, with loss scaling under mixed_float16.

    Args:
        model: Its layers must already be frozen or unfrozen as the stage trains them.
        stage: Learning rate, schedule, decay and the other settings.
        total_steps: Number of batches of the whole stage, for the schedule.

    Returns:
        An optimizer whose variables are built, so that they can be saved and restored.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> stage = Stage(name="stage1", epochs=1, batch_size=4, learning_rate=0.5, schedule="constant")
        >>> float(keras.ops.convert_to_numpy(build_optimizer(model, stage, total_steps=10).learning_rate))
        0.5
    """
    factors, trained = rates.factors(model, stage), model.trainable_variables
    optimizer: Any = AdamW(
        learning_rate=_learning_rate(stage, total_steps),
        weight_decay=stage.weight_decay if factors is None else 0.0,
        clipnorm=stage.clipnorm,
        use_ema=stage.ema_momentum is not None,
        ema_momentum=0.99 if stage.ema_momentum is None else stage.ema_momentum,
        gradient_accumulation_steps=stage.accumulate if stage.accumulate > 1 else None,
    )
    # The variables with one axis are biases and the scales and offsets of normalization layers.
    spared = [] if stage.decay_norms_and_biases else [i for i, v in enumerate(trained) if len(v.shape) < 2]
    if factors is not None:
        optimizer.factors, optimizer.decay, optimizer.spared = factors, stage.weight_decay, frozenset(spared)
    elif stage.weight_decay and spared:
        optimizer.exclude_from_weight_decay(var_list=[trained[i] for i in spared])
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(trained)
    return optimizer


def _learning_rate(stage: Stage, total_steps: int) -> Any:
    if stage.schedule != "warmup_cosine":
        return stage.learning_rate
    steps = max(1, total_steps // stage.accumulate)
    warmup = min(stage.warmup_steps, steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else stage.learning_rate,
        decay_steps=steps - warmup,
        alpha=stage.min_learning_rate / stage.learning_rate,
        warmup_target=stage.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def skipped_steps(optimizer: Any, steps: int) -> int:
    """Counts the batches, of `steps`, that the optimizer skipped because gradients overflowed under float16."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0
    inner = optimizer.inner_optimizer
    return steps - keras_compat.batches_seen(inner)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Sets the model's weights to their moving average inside the block, if the optimizer keeps one."""
    optimizer: Any = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    pairs = keras_compat.moving_averages(optimizer)
    variables, averages = [variable for variable, _ in pairs], [average for _, average in pairs]
    # Copied through NumPy: JAX frees a model's arrays when it predicts, so two variables must not share one.
    kept, shown = ([np.array(keras.ops.convert_to_numpy(v)) for v in group] for group in (variables, averages))
    _assign(variables, shown)
    try:
        yield
    finally:
        _assign(variables, kept)


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
