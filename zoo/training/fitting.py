"""Trains one job (a model through one stage), epoch by epoch, so that it can be killed and resumed at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from zoo.core.errors import TrainingError, WeightsError
from zoo.core.files import whole_file
from zoo.core.progress import Progress
from zoo.data.pipeline import image_errors
from zoo.evaluation.metrics import roc_auc
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import uninitialized
from zoo.training import averaging, checkpoint, devices
from zoo.training.callbacks import StepCallback, callback_states, epoch_callbacks, restore_callbacks
from zoo.training.examples import Examples
from zoo.training.interruption import Interruption
from zoo.training.jobs import Job, Position
from zoo.training.optimizers import averaged_weights, build_optimizer, skipped_steps


@dataclass(frozen=True)
class Surroundings:
    """What all jobs of a run share.

    Attributes:
        examples: Training and validation images with their labels.
        loss: The loss that is minimised.
        logs: Folder of TensorBoard's files.
        checkpoint_minutes: Longest time between two checkpoints.
        interruption: Tells whether to stop.
        progress: Receives steps, epochs and messages.
        save: Writes a checkpoint of the given variables and the run's position.
    """

    examples: Examples
    loss: keras.losses.Loss
    logs: Path
    checkpoint_minutes: float
    interruption: Interruption
    progress: Progress
    save: Callable[[Mapping[str, np.ndarray]], None]


def fit_job(job: Job, around: Surroundings, position: Position, arrays: Mapping[str, np.ndarray] | None) -> str:
    """Trains a job to its end, from the beginning or from a checkpoint.

    The best weights are saved at the end of the epoch that reached them. When the job is done, `position` points to
    the next job.

    Args:
        job: The model and the stage.
        around: What the job shares with the other jobs.
        position: How far the run is; updated in place.
        arrays: The variables of a checkpoint, or None to start the job.

    Returns:
        "" when the job is done, otherwise the reason why it stopped; a checkpoint was then written.

    Raises:
        TrainingError: The weights are no longer finite.
    """
    fitting = _Fitting(job, around, position, arrays)
    around.progress.on_job(job.title, job.stage.epochs, fitting.steps)
    fitting.callbacks.on_train_begin()
    restore_callbacks(fitting.callbacks, position.callbacks)
    position.begun = True
    number, reason = position.job, ""
    try:
        while position.job == number and not reason:
            reason = fitting.epoch()
    finally:
        fitting.callbacks.on_train_end()
    return reason if position.job == number else ""


def build(job: Job, fresh: bool = True) -> Ensemble:
    """Builds the job's model with the weights that it starts from, or with uninitialized ones if not `fresh`."""
    keras.utils.set_random_seed(job.seed)
    if fresh and job.start is None:
        model = Ensemble.from_spec(job.spec, start=True)
    else:
        with uninitialized():
            model = Ensemble.from_spec(job.spec)
    if fresh and job.start is not None:
        if not job.start.is_file():
            raise WeightsError(f"{job.title}: the weights of the stage before are missing: {job.start}")
        model.load_weights(job.start)
    return model


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes the model's weights to a `.weights.h5` file, atomically and without the optimizer."""
    # Keras would include the optimizer of a compiled model, which makes the file three times as large.
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        with whole_file(path) as new:
            model.save_weights(new)
    finally:
        model.optimizer = optimizer


class _Fitting:
    """A compiled model with its callbacks, and the steps of an epoch."""

    def __init__(
        self, job: Job, around: Surroundings, position: Position, arrays: Mapping[str, np.ndarray] | None
    ) -> None:
        self.job, self.around, self.position = job, around, position
        self.steps = around.examples.steps(job.stage)
        self.model = build(job, fresh=arrays is None)
        self._unfreeze()
        self.model.compile(
            optimizer=build_optimizer(self.model, job.stage, self.steps * job.stage.epochs),
            loss=around.loss,
            jit_compile=devices.jit_compile(),
            # `build_optimizer` has already added loss scaling if the dtype policy needs it.
            auto_scale_loss=False,
        )
        if arrays is not None:
            checkpoint.restore(self.model, arrays)
        self.callbacks = epoch_callbacks(job.stage, self.model, around.logs / job.title.replace(" ", "-"))
        self._saved_at = time.monotonic()

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
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "skipped_steps": skipped_steps(self.model.optimizer, (position.epoch + 1) * self.steps),
        }
        with averaged_weights(self.model):
            logs |= self._validate()
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
        trackers = [np.array(keras.ops.convert_to_numpy(v)) for v in model.metrics_variables] if position.step else []
        callback = StepCallback(position.step, trackers, self._report, self._due, self._save_step)
        epoch = self.job.first_epoch + position.epoch
        with image_errors():
            model.fit(
                self.around.examples.batches(self.job.stage, self.job.seed, epoch, position.step),
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
        return "save" if time.monotonic() - self._saved_at >= 60 * self.around.checkpoint_minutes else ""

    def _save_step(self, step: int) -> None:
        self.position.step = step
        self._save()

    def _save(self) -> None:
        self.around.save(checkpoint.collect(self.model) if self.position.begun else {})
        self._saved_at = time.monotonic()

    def _validate(self) -> dict[str, float]:
        """Computes loss and mean AUC over the whole validation part, not as a mean over batches."""
        examples = self.around.examples
        labels = examples.validation_labels
        with image_errors():
            logits = self.model.predict(examples.validation_batches(self.job.stage), verbose=0)[: len(labels)]
        if not np.isfinite(logits).all():
            raise TrainingError(
                f"{self.job.title}, epoch {self.position.epoch + 1}: the network gives NaN or infinite logits; "
                "use a lower learning_rate or another precision"
            )
        targets = labels if examples.validation_targets is None else examples.validation_targets
        return {
            "val_loss": float(self.around.loss(targets, logits)),
            "val_auc": float(np.nanmean(roc_auc(labels, logits))),
        }

    def _keep(self, val_auc: float) -> None:
        """Saves the weights if they are the best so far, or if they are to be averaged at the end of the stage."""
        stage, folder = self.job.stage, self.job.folder
        better = self.position.best is None or val_auc > self.position.best
        if better:
            self.position.best = val_auc
        if better and stage.average_last is None:
            save_weights(self.model, folder / stage.best_weights)
        epoch = self.position.epoch
        chosen = averaging.best_epochs({**self._aucs(), epoch: val_auc}, stage)
        if averaging.is_averaged(stage, epoch) or epoch in chosen:
            save_weights(self.model, averaging.epoch_file(folder, stage, epoch))

    def _aucs(self) -> dict[int, float]:
        """Epoch (from 0) of the job -> its val_auc, of the finished epochs."""
        rows = [row for row in self.position.history if row["job"] == self.job.title]
        return {row["epoch"] - 1: row["val_auc"] for row in rows}

    def _finish_epoch(self) -> None:
        position, stage = self.position, self.job.stage
        position.epoch, position.step = position.epoch + 1, 0
        position.callbacks = callback_states(self.callbacks)
        finished = self.model.stop_training or position.epoch == stage.epochs
        if finished:
            if stage.last_weights:
                with averaged_weights(self.model):
                    save_weights(self.model, self.job.folder / stage.last_weights)
            if stage.average_last is not None:
                self._save_average()
            if stage.soup is not None:
                self._save_soup()
            position.next_job()
        self._save()
        if stage.soup is not None or (finished and stage.average_last is not None):
            # Only after the checkpoint that no longer needs them.
            averaging.forget_epochs(
                self.job.folder, stage, () if finished else averaging.best_epochs(self._aucs(), stage)
            )

    def _save_soup(self) -> None:
        """Saves the greedy soup of the best epochs as the best weights and reports its loss and AUC."""
        job, stage, folder = self.job, self.job.stage, self.job.folder
        batches = self.around.examples.batches(stage, job.seed, job.first_epoch + stage.epochs - 1, 0)
        epochs = averaging.best_epochs(self._aucs(), stage)
        with image_errors():
            soup = averaging.set_soup(self.model, folder, stage, epochs, batches, lambda: self._validate()["val_auc"])
        logs = self._validate()
        save_weights(self.model, folder / stage.best_weights)
        self.around.progress.message(
            f"{job.title}: greedy soup of epochs {', '.join(str(e + 1) for e in soup)}, tried "
            f"{len(epochs)}: val_loss {logs['val_loss']:.4f}, val_auc {logs['val_auc']:.4f}"
        )

    def _save_average(self) -> None:
        """Saves the average of the last epochs as the best weights and reports its loss and AUC."""
        job, stage = self.job, self.job.stage
        batches = self.around.examples.batches(stage, job.seed, job.first_epoch + stage.epochs - 1, 0)
        with image_errors():
            averaging.set_average(self.model, job.folder, stage, batches)
        logs = self._validate()
        save_weights(self.model, job.folder / stage.best_weights)
        self.around.progress.message(
            f"{job.title}: mean of the weights of the last {stage.average_last} epochs: "
            f"val_loss {logs['val_loss']:.4f}, val_auc {logs['val_auc']:.4f}"
        )
