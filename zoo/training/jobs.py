"""The jobs of a training run, and the position of a run among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec
from zoo.training import folds
from zoo.training.recipe import Recipe, Stage


@dataclass(frozen=True)
class Job:
    """Training of the ensemble, or of one member, through one stage.

    Attributes:
        title: Name in the history.
        spec: The model that is trained: the ensemble, or an ensemble of one member.
        stage: The stage.
        folder: Folder of its weights files.
        start: Weights file to start from, or None for the weights that the spec names.
        seed: Seed of initial weights, dropout, image order and augmentation.
        first_epoch: Number of epochs in the stages before it, so that no stage repeats the image order of another.
        member: Name of the member that is trained alone, "" for the whole ensemble.
        fold: The fold that it is trained without, from 1; 0 without folds.
    """

    title: str
    spec: EnsembleSpec
    stage: Stage
    folder: Path
    start: Path | None
    seed: int
    first_epoch: int
    member: str = ""
    fold: int = 0


@dataclass
class Position:
    """How far a run has got; a checkpoint holds this besides the variables.

    Attributes:
        job: Index of the current job in the plan.
        begun: Whether the saved variables belong to that job; False between jobs.
        epoch: Number of finished epochs of the job.
        step: Number of finished steps of the next epoch.
        best: Best val_auc of the job.
        callbacks: State of the job's callbacks.
        history: One row per epoch, of all jobs.
        weights: Member and file -> sha256 of the best weights of each stage, as they were written.
        back_offs: How often the job has halved its learning rate because something was not finite.
    """

    job: int = 0
    begun: bool = False
    epoch: int = 0
    step: int = 0
    best: float | None = None
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    back_offs: int = 0

    def next_job(self) -> None:
        """Moves to the start of the next job."""
        self.job, self.begun, self.epoch, self.step = self.job + 1, False, 0, 0
        self.best, self.callbacks, self.back_offs = None, {}, 0

    def become(self, other: Position) -> None:
        """Takes over all values of another position."""
        for name, value in dataclasses.asdict(other).items():
            setattr(self, name, value)


def plan(recipe: Recipe, run_dir: Path) -> list[Job]:
    """Returns the jobs of a recipe in order: the stages of the ensemble, or of each member in turn.

    Every member that is trained on its own has a seed of its own, also if two have one backbone.

    Example:
        >>> from zoo.training.recipe import load_recipe
        >>> [job.title for job in plan(load_recipe("xrayslam_demo"), Path("run"))][:2]
        ['resnet50 stage1', 'efficientnetb3 stage1']
    """
    if recipe.members == "joint":
        return _stages(recipe.stages, recipe.ensemble, run_dir, recipe.seed, "")
    folds.bases_of(recipe)  # two of one name are refused now, not when they are evaluated after training
    jobs: list[Job] = []
    for member in folds.lineup(recipe):
        if not member.snapshot:
            alone, seed = single(folds.model_of(recipe), member.name), recipe.seed + len(jobs) // len(recipe.stages)
            own = [stage.of(recipe.ensemble.members[member.of]) for stage in recipe.stages]
            stages = _stages(own, alone, member_folder(run_dir, member.name), seed, member.name)
            jobs += [dataclasses.replace(job, fold=member.fold) for job in stages]
    return jobs


def single(spec: EnsembleSpec, name: str) -> EnsembleSpec:
    """Returns the spec of an ensemble that holds one member alone."""
    alone = spec.only({name})
    return dataclasses.replace(alone, name=f"{spec.name}-{alone.members[0].name}", weighting="uniform")


def member_folder(run_dir: Path, member: str) -> Path:
    """Returns the folder of the weights files of a member that is trained on its own."""
    return run_dir / "members" / member


def _stages(stages: Sequence[Stage], spec: EnsembleSpec, folder: Path, seed: int, member: str) -> list[Job]:
    prefix = f"{member} " if member else ""
    jobs, start, first_epoch = [], None, 0
    for stage in stages:
        sized = dataclasses.replace(spec, image_size=stage.image_size or spec.image_size)
        jobs.append(Job(prefix + stage.name, sized, stage, folder, start, seed, first_epoch, member))
        start, first_epoch = folder / stage.best_weights, first_epoch + stage.epochs
    return jobs
