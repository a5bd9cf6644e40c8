"""Trains one job (a model through one stage), epoch by epoch, so that it can be killed and resumed at any moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from zoo.core.errors import TrainingError
from zoo.data.pipeline import image_errors
from zoo.training import checkpoint, devices, mirrored, nonfinite, processes
from zoo.training.building import build
from zoo.training.callbacks import StepCallback, callback_states, epoch_callbacks, restore_callbacks
from zoo.training.jobs import Job, Position
from zoo.training.keeping import Kept
from zoo.training.nonfinite import NotFinite
from zoo.training.optimizers import averaged_weights, build_optimizer, skipped_steps
from zoo.training.surroundings import Surroundings
from zoo.training.validation import validate


def fit_job(job: Job, around: Surroundings, position: Position, arrays: Mapping[str, np.ndarray] | None) -> str:
    """Trains a job to its end, from the beginning or from a checkpoint; `position` then points to the next job.

    The best weights are saved at the end of the epoch that reached them.

    Args:
        job: The model and the stage.
        around: What the job shares with the other jobs.
        position: How far the run is; updated in place.
        arrays: The variables of a checkpoint, or None to start the job.

    Returns:
        "" when the job is done, otherwise why it stopped; a checkpoint was then written.

    Raises:
        TrainingError: Something is not finite, and the stage may not back off (any more).
    """
    number, reason = position.job, ""
    fitting = _Fitting(job, around, position, arrays)
    around.progress.on_job(job.title, job.stage.epochs, fitting.steps)
    fitting.begin()
    try:
        while position.job == number and not reason:
            try:
                reason = fitting.epoch()
            except NotFinite as seen:
                given_up, fitting = fitting, _backed_off(job, around, position, seen)
                given_up.callbacks.on_train_end()
    finally:
        fitting.callbacks.on_train_end()
    return reason if position.job == number else ""


def _backed_off(job: Job, around: Surroundings, position: Position, seen: NotFinite) -> _Fitting:
    """Goes back to the start of the epoch, with half the learning rate.

    Raises:
        TrainingError: The stage may not back off (any more).
    """
    what, used, most = _told(job, around, position, seen), position.back_offs, job.stage.back_offs
    if used >= most:
        tried = f" after {used} of {most} back-offs" if most else ""
        raise TrainingError(
            f"{what}{tried}. The last checkpoint is kept; use a lower learning_rate or another precision, or let the "
            "stage halve its learning rate by itself (back_offs)"
        )
    start = _start(job, around, position, pinned=True)
    position.become(start[0])
    position.back_offs = used + 1
    fitting = _Fitting(job, around, position, start[1])
    fitting.begin()
    if start[1] is not None and job.stage.schedule != "warmup_cosine":
        # The checkpoint's own rate; that of a schedule or of a new optimizer is halved already.
        fitting.model.optimizer.learning_rate = fitting.rate / 2
    around.progress.message(
        f"{what}. Epoch {position.epoch + 1} is repeated from its start with a learning rate of {fitting.rate:.3g} "
        f"(back-off {used + 1} of {most})"
    )
    fitting.save()
    return fitting


def _told(job: Job, around: Surroundings, position: Position, seen: NotFinite) -> str:
    """Names what was not finite first, by training once more from the newest checkpoint, which is finite."""
    then, arrays = _start(job, around, position, pinned=False)
    again = _Fitting(job, around, then, arrays)
    with image_errors():
        cause = nonfinite.cause_of(again.model, around.loss, job.spec.findings, again.batches(), then.step)
    if cause is None:  # a device that does not repeat its results exactly
        return f"{job.title}, epoch {position.epoch + 1}{f', step {seen.step}' if seen.step else ''}: {seen.what}"
    return f"{job.title}, epoch {then.epoch + 1}, step {cause.step} of {again.steps}: NaN or infinite: {cause.what}"


def _start(
    job: Job, around: Surroundings, position: Position, pinned: bool
) -> tuple[Position, Mapping[str, np.ndarray] | None]:
    """Position and variables of the epoch's start if `pinned`, else of the newest checkpoint of the epoch."""
    found = around.saved(pinned)
    if found is None and around.saved(False) is None:
        found = Position(), None
    if found is None or found[0].job != position.job:
        raise TrainingError(f"{job.title}: something is not finite, and the checkpoint to go back to is missing")
    return found


class _Fitting:
    """A compiled model with its callbacks, and the steps of an epoch."""

    def __init__(
        self, job: Job, around: Surroundings, position: Position, arrays: Mapping[str, np.ndarray] | None
    ) -> None:
        self.job, self.around, self.position = job, around, position
        self.steps = around.examples.steps(job.stage)
        stage = nonfinite.slowed(job.stage, position.back_offs)
        with mirrored.scope(around.devices):
            self.model = build(job, arrays is None, position.weights)
            self._unfreeze()
            self.model.compile(
                optimizer=build_optimizer(self.model, stage, self.steps * stage.epochs),
                loss=around.loss,
                jit_compile=devices.jit_compile(around.devices),
                # `build_optimizer` has already added loss scaling if the dtype policy needs it.
                auto_scale_loss=False,
            )
        mirrored.prepare(self.model)
        if arrays is not None:
            checkpoint.restore(self.model, arrays)
        self.kept = Kept(job, around, position, self.model)
        self.callbacks = epoch_callbacks(stage, self.model, around.logs / job.title.replace(" ", "-"))
        self._saved_at = time.monotonic()

    def begin(self) -> None:
        """Begins the callbacks from the position's state."""
        self.callbacks.on_train_begin()
        restore_callbacks(self.callbacks, self.position.callbacks)
        self.position.begun = True

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def batches(self) -> Any:
        """The remaining training batches of the epoch."""
        epoch = self.job.first_epoch + self.position.epoch
        return self.around.examples.batches(self.job.stage, self.job.seed, epoch, self.position.step)

    def _unfreeze(self) -> None:
        stage = self.job.stage
        if stage.unfreeze_top is None:
            self.model.unfreeze_all()
            return
        for name, trainable in self.model.unfreeze_top(stage.unfreeze_top, stage.train_batch_norm).items():
            self.around.progress.message(f"{self.job.title}: {name}: {trainable}")

    def epoch(self) -> str:
        """Trains the rest of an epoch, validates and saves; returns the reason to stop, or ""."""
        position, started = self.position, time.monotonic()
        if position.step < self.steps and not self._train():
            return self.around.interruption.reason
        # The loss is the mean over the whole epoch, also after a resume: its running sums are in the checkpoint.
        logs = {
            "loss": float(self.model.get_metrics_result()["loss"]),
            "learning_rate": self.rate,
            "skipped_steps": skipped_steps(self.model.optimizer, (position.epoch + 1) * self.steps),
        }
        with averaged_weights(self.model):
            logs |= validate(self.model, self.around, self.job.stage)
            self._keep(logs["val_auc"])
        self.model.stop_training = False
        self.callbacks.on_epoch_end(position.epoch, dict(logs))
        seconds = round(time.monotonic() - started, 2)
        row = {"job": self.job.title, "stage": self.job.stage.name, "epoch": position.epoch + 1}
        position.history.append({**row, **logs, "best": position.best, "seconds": seconds})
        self.around.progress.on_epoch(self.job.title, position.epoch, logs)
        self._finish_epoch()
        return self.around.interruption.reason

    def _train(self) -> bool:
        """Runs the remaining steps of the epoch; returns False if it was stopped before the end (and saved)."""
        position, model = self.position, self.model
        trackers = [mirrored.value_of(v) for v in model.metrics_variables] if position.step else []
        callback = StepCallback(position.step, trackers, self._report, self._due, self._save_step)
        with image_errors():
            model.fit(
                self.batches(),
                initial_epoch=position.epoch,
                epochs=position.epoch + 1,
                shuffle=False,
                verbose=0,
                callbacks=[callback],
            )
        return not callback.stopped

    def _report(self, step: int, loss: float) -> None:
        self.around.progress.on_step(self.job.title, self.position.epoch, step, self.steps, loss)

    def _due(self) -> str:
        if self.around.interruption.reason:
            return "stop"
        due = time.monotonic() - self._saved_at >= 60 * self.around.checkpoint_minutes
        return "save" if processes.largest(due) else ""

    def _save_step(self, step: int) -> None:
        self.position.step = step
        self.save()

    def save(self) -> None:
        """Writes a checkpoint, unless a variable is not finite."""
        arrays = checkpoint.collect(self.model) if self.position.begun else {}
        if nonfinite.first_bad(arrays):
            raise NotFinite(self.position.step, "a weight or a variable of the optimizer")
        self.around.save(arrays)
        self._saved_at = time.monotonic()

    def _keep(self, val_auc: float) -> None:
        """Saves the weights if they are the best so far, or if they are to be averaged at the end of the stage."""
        position = self.position
        better = position.best is None or val_auc > position.best
        if better:
            position.best = val_auc
        self.kept.keep(val_auc, better)

    def _finish_epoch(self) -> None:
        position, stage = self.position, self.job.stage
        position.epoch, position.step = position.epoch + 1, 0
        position.callbacks = callback_states(self.callbacks)
        finished = self.model.stop_training or position.epoch == stage.epochs
        if finished:
            self.kept.finish()
            position.next_job()
        self.save()
        if finished and (stage.soup or stage.average_last):
            self.save()  # so that the checkpoint before the newest does not need the files of epochs either
        self.kept.forget(finished)  # only after the checkpoint that no longer needs them
