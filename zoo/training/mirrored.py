"""TensorFlow's MirroredStrategy: one step of several replicas is the step that one device would take.

Keras leaves three differences, which are removed here: a mean over known labels is one over the whole batch (`total`),
batch norms use the statistics of the whole batch, and gradients are summed before they are clipped, accumulated or
tested for overflow (`Optimizer` does so on each replica with its own gradients).

On JAX a step is a function of the whole batch, so that nothing of this is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np

from zoo.core import keras_compat

#: End of the path of a variable with the random state of dropout.
_SEED = "seed_generator_state"


def scope(count: int) -> AbstractContextManager[Any]:
    """Context in which a model and its optimizer are made for `count` devices; without effect for one, or on JAX."""
    if count == 1 or keras.config.backend() != "tensorflow":
        return nullcontext()
    scope: AbstractContextManager[Any] = _strategy(count).scope()
    return scope


@cache
def _strategy(count: int) -> Any:
    """One strategy for all models of a process: two would number their messages alike, and take each other's."""
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def total(value: Any) -> Any:
    """The sum of a number over the replicas of a step; outside of one, or on JAX, the number itself.

    Example:
        >>> total(3.0)
        3.0
    """
    if keras.config.backend() != "tensorflow":
        return value
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def prepare(model: keras.Model) -> None:
    """Makes the steps of a model, compiled in `scope`, those of one device; without effect without replicas.

    Only dropout differs: each replica gets a random state of its own, where Keras would drop the same on all.
    """
    if keras.config.backend() != "tensorflow" or model.distribute_strategy.num_replicas_in_sync == 1:
        return
    for layer in keras_compat.layers_within(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    for variable in model.non_trainable_variables:
        if variable.path.endswith(_SEED):
            for number, own in enumerate(_own_values(variable) or ()):
                seed, used = np.array(own)
                own.assign([int(seed) ^ number * 0x9E3779B9 % 2**32, used])
    _sum_first(model.optimizer, model.trainable_variables)


def _sum_first(optimizer: Any, trained: Sequence[keras.Variable]) -> None:
    """Lets an optimizer sum the gradients of all replicas before anything else is done with them."""
    import tensorflow as tf

    apply, first = keras_compat.local_apply(optimizer), optimizer.variables[0].value

    def apply_everywhere(strategy: Any, grads: Any, variables: Sequence[Any]) -> None:
        summed = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, [(grad, first) for grad in grads])
        strategy.extended.update(first, lambda _, *own: apply(list(own), variables), args=tuple(summed), group=False)

    def apply_summed(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        pairs = [(g, v) for g, v in zip(grads, trainable_variables or trained, strict=True) if g is not None]
        args = [grad for grad, _ in pairs], [variable for _, variable in pairs]
        tf.distribute.get_replica_context().merge_call(apply_everywhere, args=args)

    optimizer.apply = apply_summed


def value_of(variable: keras.Variable) -> np.ndarray:
    """Copies the value of a variable; of one that each replica has its own sum of, (replicas, ...)."""
    own = _own_values(variable)
    if own is None:
        return np.array(keras.ops.convert_to_numpy(variable))
    return np.stack([np.array(value) for value in own])


def set_value(variable: keras.Variable, value: np.ndarray) -> None:
    """Sets a variable to what `value_of` returned."""
    own = _own_values(variable)
    if own is None:
        variable.assign(value)
        return
    for replica, part in zip(own, value, strict=True):
        replica.assign(part)


def _own_values(variable: keras.Variable) -> Sequence[Any] | None:
    """What each replica keeps for itself: sums of a metric, whose total would not go on with the same rounding, and
    the random state of dropout."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    held = variable.value
    own = variable.synchronization == "on_read" or variable.path.endswith(_SEED)
    if not own or not isinstance(held, tf.distribute.DistributedValues):
        return None
    values: Sequence[Any] = held.distribute_strategy.experimental_local_results(held)
    return values
