"""What a run consists of, and how far it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec
from zoo.training.recipe import Recipe, Stage


@dataclass(frozen=True)
class Job:
    """The ensemble, or one member, through one stage.

    Attributes:
        title: Its name in the history.
        spec: What is trained: the ensemble, or an ensemble of one member.
        stage: How.
        folder: Where its weights files go.
        start: Weights to begin from, or None for the spec's own.
        seed: Of initial weights, dropout, order and augmentation.
        first_epoch: Epochs of the stages before it, so that no stage repeats the order of another.
    """

    title: str
    spec: EnsembleSpec
    stage: Stage
    folder: Path
    start: Path | None
    seed: int
    first_epoch: int


@dataclass
class Position:
    """How far a run is: what a checkpoint holds beside the variables.

    Attributes:
        job: Position of the job in the plan.
        begun: Whether the variables saved with this are that job's; False between jobs.
        epoch: Epochs of the job that are done.
        step: Steps of the next epoch that are done.
        best: The job's best val_auc.
        callbacks: What its callbacks remember.
        history: A row an epoch, of all jobs.
    """

    job: int = 0
    begun: bool = False
    epoch: int = 0
    step: int = 0
    best: float | None = None
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def next_job(self) -> None:
        """Moves to the beginning of the job after this one."""
        self.job, self.begun, self.epoch, self.step = self.job + 1, False, 0, 0
        self.best, self.callbacks = None, {}


def plan(recipe: Recipe, run_dir: Path) -> list[Job]:
    """The jobs of a recipe in order: each stage of the ensemble, or of each member in turn."""
    if recipe.members == "joint":
        return _stages(recipe, recipe.ensemble, run_dir, recipe.seed, "")
    jobs = []
    for i, member in enumerate(recipe.ensemble.members):
        alone = single(recipe.ensemble, i)
        jobs += _stages(recipe, alone, member_folder(run_dir, member.name), recipe.seed + i, f"{member.name} ")
    return jobs


def single(spec: EnsembleSpec, index: int) -> EnsembleSpec:
    """The ensemble of one of its members alone."""
    member = spec.members[index]
    return dataclasses.replace(spec, name=f"{spec.name}-{member.name}", members=(member,), member_weights=())


def member_folder(run_dir: Path, member: str) -> Path:
    """Where the weights files of a member that is trained alone lie."""
    return run_dir / "members" / member


def _stages(recipe: Recipe, spec: EnsembleSpec, folder: Path, seed: int, prefix: str) -> list[Job]:
    jobs, start, first_epoch = [], None, 0
    for stage in recipe.stages:
        jobs.append(Job(prefix + stage.name, spec, stage, folder, start, seed, first_epoch))
        start, first_epoch = folder / stage.best_weights, first_epoch + stage.epochs
    return jobs
