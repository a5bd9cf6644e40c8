"""Keras callbacks of a stage: one inside the epoch, and Keras' own between epochs, with states that can be saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.training.recipe import Stage

#: Seconds between two reports of the loss.
REPORT_EVERY = 0.25

#: What of Keras' callbacks decides later epochs; `BackupAndRestore` loses it.
_STATES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class StepCallback(keras.callbacks.Callback):
    """Counts the steps of one epoch, reports them, and saves or stops in the middle when asked to.

    Args:
        start_step: Steps of the epoch that are done already.
        trackers: Values of the model's metric variables after those steps; `fit` sets them to 0.
        on_loss: Told the step and the mean loss so far, some times a second.
        due: Asked after each step: "save", "stop" (save, then end the epoch), or "".
        save: Called with the step.
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

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the sums behind the epoch's loss back."""
        if self._trackers:
            for variable, value in zip(self.model.metrics_variables, self._trackers, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports, saves, stops."""
        self.step += 1
        now = time.monotonic()
        if logs and now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._on_loss(self.step, float(logs["loss"]))
        due = self._due()
        if due:
            # On JAX the weights of a running epoch reach the model only when a callback asks for `self.model`.
            self.model.stop_training = self.stopped = due == "stop"
            self._save(self.step)


def epoch_callbacks(stage: Stage, model: keras.Model, logs: Path) -> keras.callbacks.CallbackList:
    """EarlyStopping and ReduceLROnPlateau as the stage says, TensorBoard where it is installed.

    For a loop that drives them itself, between the epochs.
    Their `on_epoch_end` wants `val_auc` and `val_loss`; `model.stop_training` is then what EarlyStopping says.
    """
    callbacks: list[keras.callbacks.Callback] = []
    if find_spec("tensorboard") is not None:
        # The first in the list: the learning rate it writes is then the epoch's own.
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
    """What the callbacks remember of earlier epochs, JSON-able."""
    return {
        type(callback).__name__: {name: getattr(callback, name, None) for name in _STATES[type(callback)]}
        for callback in callbacks.callbacks
        if type(callback) in _STATES
    }


def restore_callbacks(callbacks: keras.callbacks.CallbackList, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets what `callback_states` gave; after `on_train_begin`, which clears it."""
    for callback in callbacks.callbacks:
        for name, value in states.get(type(callback).__name__, {}).items():
            setattr(callback, name, value)
