"""The optimiser of a stage: AdamW, what it decays, its learning rate, its average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from zoo.core import keras_compat
from zoo.training.recipe import Stage


@keras.saving.register_keras_serializable("zoo")
class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW, but `fit` never replaces the weights by their average.

    Keras does so at the end of every `fit`; here `fit` is called once an epoch, and training has to go on with the
    weights themselves. `averaged_weights` shows the average instead.
    """

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leaves the weights as they are."""


def build_optimizer(model: keras.Model, stage: Stage, total_steps: int) -> keras.optimizers.Optimizer:
    """AdamW for the model's trainable variables, as the stage says; scaled losses under mixed_float16.

    Args:
        model: Frozen and unfrozen already.
        stage: Its numbers.
        total_steps: Batches of the whole stage, for the schedule.

    Returns:
        An optimiser whose variables exist, so that they can be saved and restored.
    """
    optimizer: Any = AdamW(
        learning_rate=_learning_rate(stage, total_steps),
        weight_decay=stage.weight_decay,
        clipnorm=stage.clipnorm,
        use_ema=stage.ema_momentum is not None,
        ema_momentum=0.99 if stage.ema_momentum is None else stage.ema_momentum,
        gradient_accumulation_steps=stage.accumulate if stage.accumulate > 1 else None,
    )
    if stage.weight_decay and not stage.decay_norms_and_biases:
        # Biases, and the scales and shifts of norms, are the variables of one axis.
        optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
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
    """How many of `steps` batches an overflow under float16 made the optimiser skip; the weights took no harm."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0
    inner = optimizer.inner_optimizer
    return steps - keras_compat.batches_seen(inner)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """In the block the model's trainable weights are their moving average, where the optimiser keeps one."""
    optimizer: Any = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    pairs = keras_compat.moving_averages(optimizer)
    variables, averages = [variable for variable, _ in pairs], [average for _, average in pairs]
    # Through NumPy: JAX frees the arrays of a model when it predicts, and two variables must not share one.
    kept, shown = ([np.array(keras.ops.convert_to_numpy(v)) for v in group] for group in (variables, averages))
    _assign(variables, shown)
    try:
        yield
    finally:
        _assign(variables, kept)


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
