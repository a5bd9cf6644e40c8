"""The jobs of one process, from its checkpoint to their end."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.core.files import write_text
from zoo.core.keras_compat import freeing_graphs
from zoo.core.progress import Progress
from zoo.training import processes, resuming
from zoo.training.checkpoint import Checkpoints
from zoo.training.distillation import DistillationLoss
from zoo.training.examples import Examples
from zoo.training.fitting import fit_job
from zoo.training.interruption import Interruption
from zoo.training.jobs import Job, Position
from zoo.training.losses import build_loss
from zoo.training.recipe import Recipe
from zoo.training.surroundings import Surroundings

#: Finding -> its weight in the loss, with its numbers of positives and negatives.
LabelWeights = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Part:
    """What the jobs of a fold learn from.

    Attributes:
        examples: Training and validation images.
        weights: Weights of the findings in the loss.
    """

    examples: Examples
    weights: LabelWeights


@dataclass(frozen=True)
class Work:
    """What one process trains; it can be sent to another process.

    Attributes:
        jobs: The jobs, in order.
        folder: Receives `checkpoint/` and `history.csv`.
        run_dir: Folder of the run, for `logs/` and messages.
        recipe: The recipe.
        parts: Fold of a job -> what it learns from.
        identity: What must be equal for the work to be resumed (`resuming.identity_of`).
        who: Name of the member that is trained, "" for all of them.
        devices: Number of devices that share each batch.
    """

    jobs: tuple[Job, ...]
    folder: Path
    run_dir: Path
    recipe: Recipe
    parts: Mapping[int, Part]
    identity: Mapping[str, Any]
    who: str = ""
    devices: int = 1

    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this work."""
        return Checkpoints(self.folder / "checkpoint")

    def begun(self) -> tuple[Mapping[str, Any], Position] | None:
        """Identity and position of the newest checkpoint; None if nothing was begun.

        Raises:
            CheckpointError: It cannot be resumed as this work.
        """
        snapshot = self.checkpoints().load()
        if snapshot is None:
            return None
        resuming.compare(snapshot.state["identity"], self.identity, self.recipe, self.run_dir)
        return snapshot.state["identity"], Position(**snapshot.state["position"])

    def resume(self, progress: Progress) -> tuple[Position, Mapping[str, np.ndarray] | None]:
        """The position and variables to resume from; see `resuming.resume`."""
        return resuming.resume(self.checkpoints(), self.identity, self.recipe, self.run_dir, progress, self.who)


def run(
    work: Work, position: Position, arrays: Mapping[str, np.ndarray] | None, watch: Interruption, progress: Progress
) -> str:
    """Runs the remaining jobs of a work, with Keras' dtype policy as it is.

    Args:
        work: The work.
        position: How far it is; updated in place.
        arrays: The variables of the checkpoint, or None.
        watch: Tells whether to stop.
        progress: Receives steps, epochs and messages.

    Returns:
        "" when all jobs are done, otherwise the reason why they stopped; a checkpoint was then written.

    Raises:
        TrainingError: The weights are no longer finite.
    """
    checkpoints = work.checkpoints()

    def write(variables: Mapping[str, np.ndarray]) -> None:
        write_history(work.folder, position.history)
        # The start of an epoch is kept for a stage that may have to repeat it.
        pin = position.step == 0 and any(job.stage.back_offs for job in work.jobs)
        checkpoints.save(variables, {"identity": work.identity, "position": dataclasses.asdict(position)}, pin=pin)

    def save(variables: Mapping[str, np.ndarray]) -> None:
        processes.by_first(lambda: write(variables))

    def saved(pinned: bool) -> tuple[Position, Mapping[str, np.ndarray] | None] | None:
        snapshot = checkpoints.pinned() if pinned else checkpoints.load()
        if snapshot is None:
            return None
        then = Position(**snapshot.state["position"])
        return then, snapshot.arrays if then.begun else None

    def around(part: Part) -> Surroundings:
        return Surroundings(
            examples=part.examples,
            loss=_loss(work.recipe, part.weights),
            logs=work.run_dir / "logs",
            checkpoint_minutes=work.recipe.checkpoint_minutes,
            interruption=watch,
            progress=progress,
            save=save,
            saved=saved,
            devices=work.devices,
        )

    arounds = {fold: around(part) for fold, part in work.parts.items()}
    return run_jobs([(job, arounds[job.fold]) for job in work.jobs], watch, position, arrays)


def run_jobs(
    jobs: Sequence[tuple[Job, Surroundings]],
    watch: Interruption,
    position: Position,
    arrays: Mapping[str, np.ndarray] | None,
) -> str:
    """Runs the jobs from `position` on; returns "" when all are done, otherwise the reason why they stopped."""
    while position.job < len(jobs):
        job, around = jobs[position.job]
        if watch.reason:
            return watch.reason
        with freeing_graphs():  # or the memory of this job would be in use beside that of the next
            stopped = fit_job(job, around, position, arrays)
        if stopped:
            return stopped
        arrays = None
    return watch.signal  # in the last epoch: what follows training is left to the next call


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Rewrites the whole file: appending could leave a row of an epoch that a killed process did not finish."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    write_text(folder / "history.csv", text.getvalue())


def _loss(recipe: Recipe, weights: LabelWeights) -> keras.losses.Loss:
    spec = recipe.loss
    values = None if spec.weight_range is None else [facts["weight"] for facts in weights.values()]
    loss = build_loss(spec.name, label_weights=values, form=spec.form, smoothing=spec.smoothing, **spec.options)
    if recipe.teaching is None:
        return loss
    return DistillationLoss(loss, recipe.teaching.temperature, recipe.teaching.alpha)
