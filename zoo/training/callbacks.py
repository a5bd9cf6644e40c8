"""Keras callbacks of a stage: one for the steps of an epoch, and Keras' own between epochs, with saved state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.training import mirrored, processes
from zoo.training.nonfinite import MOST_SKIPPED, NotFinite, applied_steps
from zoo.training.recipe import Stage

#: Seconds between two reports of the loss.
REPORT_EVERY = 0.25

#: Attributes of Keras' callbacks that affect later epochs and that `BackupAndRestore` does not save.
_STATES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class StepCallback(keras.callbacks.Callback):
    """Counts and reports the steps of one epoch, and saves or stops in the middle of it when asked.

    The mean of the loss leaves out the steps that loss scaling skips, if their loss is not finite.

    Args:
        start_step: Number of steps of the epoch that are already done.
        trackers: Values of the model's metric variables after those steps; `fit` resets them to 0.
        on_loss: Called a few times a second with the step and the mean loss so far.
        due: Called after each step; returns "save", "stop" (save, then end the epoch), or "".
        save: Called with the step to write a checkpoint.

    Raises:
        NotFinite: The loss of a step that was not skipped is not finite, or too many were skipped in a row.
    """

    def __init__(
        self,
        start_step: int,
        trackers: list[np.ndarray],
        on_loss: Callable[[int, float], None],
        due: Callable[[], str],
        save: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.step = start_step
        self.stopped = False
        self._trackers, self._on_loss, self._due, self._save = trackers, on_loss, due, save
        self._reported = 0.0
        self._applied: int | None = None
        self._skipped = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Restores the running sums of the epoch's loss."""
        if self._trackers:
            for variable, value in zip(self.model.metrics_variables, self._trackers, strict=True):
                mirrored.set_value(variable, value)
        self._remember()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports the loss, then saves or stops if that is due."""
        self.step += 1
        loss = float(logs["loss"]) if logs else 0.0
        if self._applied is not None:
            loss = self._after_scaled_step(loss)
        if not math.isfinite(loss):
            raise NotFinite(self.step, "the loss")
        now = time.monotonic()
        if logs and now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._on_loss(self.step, loss)
        due = self._due()
        if due:
            # On JAX the weights of a running epoch reach the model only when a callback asks for `self.model`.
            self.model.stop_training = self.stopped = due == "stop"
            self._save(self.step)

    def _remember(self) -> None:
        """Under loss scaling, keeps the running sums of the loss, and the number of steps that were not skipped."""
        self._applied = applied_steps(self.model.optimizer)
        if self._applied is not None:
            self._sound = [mirrored.value_of(variable) for variable in self.model.metrics_variables]

    def _after_scaled_step(self, loss: float) -> float:
        """Counts a skipped step, and takes its loss out of the mean if it is not finite; returns the mean."""
        skipped = applied_steps(self.model.optimizer) == self._applied
        self._skipped = self._skipped + 1 if skipped else 0
        if self._skipped > MOST_SKIPPED:
            raise NotFinite(self.step, f"the gradient of {self._skipped} steps in a row, which were skipped,")
        if skipped and not math.isfinite(loss):
            for variable, value in zip(self.model.metrics_variables, self._sound, strict=True):
                mirrored.set_value(variable, value)
            loss = float(self.model.get_metrics_result()["loss"])
        self._remember()
        return loss


def epoch_callbacks(stage: Stage, model: keras.Model, logs: Path) -> keras.callbacks.CallbackList:
    """Builds EarlyStopping and ReduceLROnPlateau as the stage defines them, and TensorBoard if it is installed.

    The caller runs them between epochs: `on_epoch_end` needs `val_auc` and `val_loss`, and EarlyStopping then sets
    `model.stop_training`.
    """
    callbacks: list[keras.callbacks.Callback] = []
    if find_spec("tensorboard") is not None and processes.number() == 0:
        # First in the list, so that it logs the learning rate of this epoch and not the one reduced after it.
        callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    if stage.early_stopping_patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(monitor="val_auc", mode="max", patience=stage.early_stopping_patience)
        )
    if stage.schedule == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor="val_loss",
                mode="min",
                factor=stage.reduce_lr_factor,
                patience=stage.reduce_lr_patience,
                min_lr=stage.min_learning_rate,
            )
        )
    return keras.callbacks.CallbackList(callbacks, model=model)


def callback_states(callbacks: keras.callbacks.CallbackList) -> dict[str, dict[str, Any]]:
    """Returns the state of the callbacks as values that can be written as JSON."""
    return {
        type(callback).__name__: {name: getattr(callback, name, None) for name in _STATES[type(callback)]}
        for callback in callbacks.callbacks
        if type(callback) in _STATES
    }


def restore_callbacks(callbacks: keras.callbacks.CallbackList, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Restores the state from `callback_states`; call it after `on_train_begin`, which resets the state."""
    for callback in callbacks.callbacks:
        for name, value in states.get(type(callback).__name__, {}).items():
            setattr(callback, name, value)
