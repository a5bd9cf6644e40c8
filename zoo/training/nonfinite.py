"""Values that are not finite: what became NaN or infinite first, at which step, and what a stage does about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from zoo.core.counting import listed
from zoo.core.keras_compat import batches_seen
from zoo.models.ensemble import Ensemble
from zoo.training.stage import Stage

#: Steps in a row that may be skipped under mixed_float16: the loss scale then is 2^-25 of what it was.
MOST_SKIPPED = 40

#: Ends of the names of an optimizer's variables that hold gradients, or sums of them.
_OF_GRADIENTS = ("momentum", "velocity", "gradient_accumulator")

#: Names that a message lists at most.
_NAMED = 3


class NotFinite(Exception):
    """A value of training is NaN or infinite.

    Args:
        step: Step of the epoch at which it was seen, from 1; 0 in the validation after it.
        what: What it is.

    Example:
        >>> str(NotFinite(3, "the loss"))
        'step 3: the loss is NaN or infinite'
    """

    def __init__(self, step: int, what: str) -> None:
        self.step, self.what = step, what
        super().__init__(f"step {step}: {what} is NaN or infinite" if step else what)


@dataclass(frozen=True)
class Cause:
    """What became non-finite first.

    Attributes:
        step: Step of the epoch, from 1.
        what: The quantity, with the member and finding if they are known.
    """

    step: int
    what: str


def slowed(stage: Stage, back_offs: int) -> Stage:
    """Returns a stage with the learning rate halved once for each time that it has backed off.

    Example:
        >>> slowed(Stage("s", 1, 8, learning_rate=0.4, min_learning_rate=0.3), 2).learning_rate
        0.1
    """
    rate = stage.learning_rate * 0.5**back_offs
    return replace(stage, learning_rate=rate, min_learning_rate=min(stage.min_learning_rate, rate))


def first_bad(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the name of the first array that holds a NaN or infinite number, "" if none does.

    Example:
        >>> first_bad({"a": np.ones(2), "b": np.array([1, np.nan])})
        'b'
    """
    bad = (n for n, a in arrays.items() if np.issubdtype(a.dtype, np.inexact) and not np.isfinite(a).all())
    return next(bad, "")


def cause_of(
    model: Ensemble, loss: keras.losses.Loss, findings: Sequence[str], batches: Iterable[Any], step: int
) -> Cause | None:
    """Trains a model on batches until something is not finite, and says what; its weights are of no use afterwards.

    Before a step whose loss is not finite, the weights are those of the step before it, so that the member and the
    finding can be named. Steps that loss scaling skips are none.

    Args:
        model: The compiled model with its last good weights.
        loss: The loss.
        findings: Names of the columns of its logits.
        batches: Batches from the step after `step` on, of images and targets.
        step: Number of finished steps of the epoch.

    Returns:
        None if all steps stay finite, as on a device that does not repeat its results exactly.
    """
    for batch in batches:
        images, targets = (np.asarray(part) for part in batch[:2])
        step += 1
        before, applied = _values(model.variables), applied_steps(model.optimizer)
        model.reset_metrics()
        value = float(model.train_on_batch(images, targets, return_dict=True)["loss"])
        skipped = applied is not None and applied_steps(model.optimizer) == applied
        if not skipped and not np.isfinite(value):
            for variable, earlier in zip(model.variables, before, strict=True):
                variable.assign(earlier)
            return Cause(step, _of_loss(model, loss, findings, images, targets, value))
        if bad := [v for v in model.weights if not _is_finite(v)]:
            return Cause(step, _of_weights(model, bad))
    return None


def applied_steps(optimizer: Any) -> int | None:
    """Counts the batches that were not skipped by loss scaling; None without it."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return None
    return batches_seen(optimizer.inner_optimizer)


def _of_loss(
    model: Ensemble,
    loss: keras.losses.Loss,
    findings: Sequence[str],
    images: np.ndarray,
    targets: np.ndarray,
    value: float,
) -> str:
    """Says why the loss of a batch is not finite, given the weights before its step."""
    logits = {member.name: keras.ops.convert_to_numpy(member(images, training=True)) for member in model.members}
    if bad := [name for name, values in logits.items() if not np.isfinite(values).all()]:
        return f"{_members(bad)}: logits"
    together = keras.ops.convert_to_numpy(model(images, training=True))
    guilty = []
    for place, finding in enumerate(findings):
        alone = np.full_like(targets, np.nan)
        for column in range(place, targets.shape[1], len(findings)):  # a student has two targets for each
            alone[:, column] = targets[:, column]
        if not np.isfinite(float(loss(alone, together))):
            guilty.append(finding)
    of = f" of {listed(guilty, _NAMED)}" if guilty else ""
    return f"the loss{of} ({value})"


def _of_weights(model: Ensemble, bad: list[Any]) -> str:
    """Says what made weights non-finite in a step with a finite loss."""
    gradients = any(v.path.endswith(_OF_GRADIENTS) and not _is_finite(v) for v in model.optimizer.variables if v.path)
    trained = {id(v) for v in model.trainable_variables}
    if not any(id(v) in trained for v in bad):
        kind = "moving statistics"
    else:
        kind = "gradient" if gradients else "weights"
    ids = {id(v) for v in bad}
    who = [member.name for member in model.members if any(id(v) in ids for v in member.weights)]
    return f"{_members(who)}: {kind} of {listed([v.path for v in bad], _NAMED)}"


def _members(names: list[str]) -> str:
    return f"member{'s' if len(names) > 1 else ''} {listed(names, _NAMED)}"


def _values(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _is_finite(variable: keras.Variable) -> bool:
    return bool(np.isfinite(np.asarray(keras.ops.convert_to_numpy(variable), np.float64)).all())
