"""Trains the stages of a recipe on the training part of a split, resuming where an earlier process stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd

from zoo.config.specs import to_dict
from zoo.core.errors import CheckpointError
from zoo.core.files import write_text
from zoo.core.progress import Progress, Silent
from zoo.data.identity import DataIdentity
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import uninitialized
from zoo.training import building, devices, folds, interruption, loop, parallel, processes, replicas, resuming
from zoo.training.examples import Examples
from zoo.training.interruption import Interruption
from zoo.training.jobs import member_folder, plan
from zoo.training.loop import LabelWeights, Part, Work
from zoo.training.losses import label_weights
from zoo.training.processes import Agreed
from zoo.training.recipe import Recipe

#: One row per epoch.
History = list[dict[str, Any]]


@dataclass(frozen=True)
class RunResult:
    """The result of `train`.

    Attributes:
        run_dir: Folder of the run.
        stopped: "" when the run is done, otherwise why it stopped ("max_hours", "SIGTERM" or "SIGINT"); the same call
            resumes it.
        history: One row per epoch, of all calls together; also in `history.csv`.
        label_weights: Weight of each finding in the loss.
        untrained: Findings without a positive label in the training part.
        weights: File of the best weights of the last stage; missing if the run stopped before they were written.
    """

    run_dir: Path
    stopped: str
    history: tuple[dict[str, Any], ...]
    label_weights: dict[str, float]
    untrained: tuple[str, ...]
    weights: Path


def train(
    recipe: Recipe,
    table: pd.DataFrame,
    split: Split,
    run_dir: str | Path,
    *,
    max_hours: float | None = None,
    progress: Progress | None = None,
    read: Reader = read_image,
    data: DataIdentity | None = None,
    teacher: np.ndarray | None = None,
) -> RunResult:
    """Trains all stages of a recipe, or the rest of them.

    After a kill, SIGTERM, Ctrl-C or `max_hours`, the same call resumes from the newest checkpoint. On the same CPU,
    package versions and backend, the weights and history are then identical to those of an uninterrupted run.

    The run folder receives `recipe.json`, `split.json`, `label_weights.json`, `history.csv`, `logs/` (TensorBoard),
    `checkpoint/` and the weights files that the stages name; with members "separate" or "parallel" also `members/`.

    With `members="parallel"` each member is trained by a process of its own (`training.parallel`); this one builds no
    model meanwhile. `read` is then sent to them, so it must be `read_image`, the `read` of an `ImageCache`, or a
    function that can be imported.

    Args:
        recipe: The recipe.
        table: Canonical table. Its training rows are trained on; its validation rows are scored after each epoch.
        split: Split of this table.
        run_dir: Folder of the run; created if missing.
        max_hours: Stops cleanly after this many hours.
        progress: Receives steps, epochs and messages.
        read: Reads the pixels of an image, from its file or from a cache.
        data: Identity of labels and image files, for `data.json`; by default the labels of `table` alone.
        teacher: Logits (rows of the table, findings) of the recipe's teacher; None if it has none.

    Raises:
        CheckpointError: Another process trains in this folder, or it holds a run with another recipe, split, data or
            precision.
        TableError: No finding has both classes in the training part.
        TrainingError: The weights are no longer finite, or the process of a member ended before it was done.
    """
    run_dir, progress = Path(run_dir), progress or Silent()
    run_dir.mkdir(parents=True, exist_ok=True)
    replicas.prepare(recipe.devices)
    with (
        _locked(run_dir),
        interruption.watch(max_hours) as watch,
        devices.precision(recipe.precision) as precision,
    ):
        devices.leave_gpu_to_the_backend()
        building.check(recipe, fresh=not resuming.has_begun(run_dir))
        whole, parts = _parts(recipe, table, split, read, teacher)
        for note in whole.examples.notes:
            progress.message(note)
        data = data or DataIdentity.of(table, recipe.ensemble.findings)
        resuming.refuse_changes(recipe, data, run_dir)
        with replicas.sharing(recipe) as count:
            identity = resuming.identity_of(recipe, split, precision, data, replicas.named(count))
            jobs = tuple(plan(recipe, run_dir))
            work = Work(jobs, run_dir, run_dir, recipe, parts, identity, devices=count)
            write = partial(_write_inputs, run_dir, recipe, split, whole.weights, data)
            stopped, history = (
                _side_by_side(work, write, watch, progress)
                if recipe.members == "parallel"
                else _here(work, write, watch, progress)
            )
        if not stopped and recipe.members != "joint":
            processes.by_first(lambda: merge_members(recipe, run_dir))
    return RunResult(
        run_dir=run_dir,
        stopped=stopped,
        history=tuple(history),
        label_weights={name: facts["weight"] for name, facts in whole.weights.items()},
        untrained=recipe.ensemble.untrained
        if recipe.teaching is not None
        else tuple(name for name, facts in whole.weights.items() if not facts["positives"]),
        weights=run_dir / recipe.stages[-1].best_weights,
    )


def _here(work: Work, write: Callable[[], None], watch: Interruption, progress: Progress) -> tuple[str, History]:
    """Runs all jobs in this process; returns why they stopped, or "", and the history."""
    devices.build_graphs_quickly()
    position, arrays = processes.in_turn(lambda: work.resume(progress))
    processes.require_same(json.dumps([dataclasses.asdict(position), work.identity], sort_keys=True), "runs")
    processes.by_first(write)
    return loop.run(
        work, position, arrays, Agreed(watch) if processes.count() > 1 else watch, progress
    ), position.history


def _side_by_side(
    work: Work, write: Callable[[], None], watch: Interruption, progress: Progress
) -> tuple[str, History]:
    """Runs the jobs of each member in a process of its own; returns as `_here`."""
    members = parallel.prepare(work, progress)
    write()
    stopped, history = parallel.run(members, watch, progress)
    loop.write_history(work.run_dir, history)
    return stopped, history


def merge_members(recipe: Recipe, run_dir: Path) -> None:
    """Writes the weights files of the ensemble from those of its separately trained members."""
    with uninitialized():
        model = Ensemble.from_spec(folds.model_of(recipe))
    alone = [Ensemble([member]) for member in model.members]  # of the same layers: what a member's file holds
    for file in [f for stage in recipe.stages for f in (stage.best_weights, stage.last_weights) if f]:
        for member, who in zip(alone, folds.lineup(recipe), strict=True):
            member.load_weights(member_folder(run_dir, who.trainer) / (who.snapshot or file))
        building.save_weights(model, run_dir / file)


def _parts(
    recipe: Recipe, table: pd.DataFrame, split: Split, read: Reader, teacher: np.ndarray | None
) -> tuple[Part, dict[int, Part]]:
    """What the whole run learns from, and fold -> what the members of that fold learn from."""

    def part(of: Split) -> Part:
        examples = Examples.from_table(recipe, table, of, read, teacher)
        return Part(examples, _label_weights(recipe, examples))

    whole = part(folds.learned_from(recipe, split))
    if not recipe.folds:
        return whole, {0: whole}
    place = folds.assign(recipe, table, split)
    return whole, {fold: part(folds.split_of(split, place, fold)) for fold in range(1, recipe.folds + 1)}


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    if processes.number():
        yield  # the first process holds the lock for all
        return
    try:
        with filelock.FileLock(run_dir / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise CheckpointError(f"{run_dir}: another process is training in this folder") from error


def _label_weights(recipe: Recipe, examples: Examples) -> dict[str, dict[str, float]]:
    """Finding -> its weight in the loss, with its numbers of positives and negatives."""
    findings, (low, high) = recipe.ensemble.findings, recipe.loss.weight_range or (1.0, 1.0)
    labels = examples.labels[:, -len(findings) :]  # behind the teacher's probabilities, if there are any
    taught = recipe.teaching is not None
    weights = np.ones(len(findings)) if taught else label_weights(labels, low, high, findings)
    counts = [np.sum(labels == value, axis=0) for value in (1, 0)]
    return {
        name: {"weight": float(weights[i]), "positives": int(counts[0][i]), "negatives": int(counts[1][i])}
        for i, name in enumerate(findings)
    }


def _write_inputs(run_dir: Path, recipe: Recipe, split: Split, weights: LabelWeights, data: DataIdentity) -> None:
    write_text(run_dir / "recipe.json", json.dumps(to_dict(recipe), indent=1))
    write_text(run_dir / "label_weights.json", json.dumps(weights, indent=1))
    if not (run_dir / resuming.DATA).is_file() or any(data.digests.values()):
        data.save(run_dir / resuming.DATA)
    split.save(run_dir / "split.json")  # the checkpoint knows its hash; one that was damaged is whole again
