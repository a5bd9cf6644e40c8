"""Trains the stages of a recipe on the training part of a split, resuming where an earlier process stopped."""

from __future__ import annotations

import csv
import dataclasses
import gc
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import pandas as pd

from zoo._version import __version__
from zoo.config.specs import to_dict
from zoo.core.errors import CheckpointError
from zoo.core.files import write_text
from zoo.core.progress import Progress, Silent
from zoo.core.warn import warn_user
from zoo.data.identity import DataIdentity, refuse_other_data
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import uninitialized
from zoo.training import devices, interruption
from zoo.training.checkpoint import Checkpoints
from zoo.training.examples import Examples
from zoo.training.fitting import Surroundings, fit_job, save_weights
from zoo.training.jobs import Position, member_folder, plan, single
from zoo.training.losses import build_loss, label_weights
from zoo.training.recipe import Recipe, differences

#: File in the run folder that records the data of the run.
DATA = "data.json"


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
) -> RunResult:
    """Trains all stages of a recipe, or the rest of them.

    After a kill, SIGTERM, Ctrl-C or `max_hours`, the same call resumes from the newest checkpoint. On the same CPU,
    package versions and backend, the weights and history are then identical to those of an uninterrupted run.

    The run folder receives `recipe.json`, `split.json`, `label_weights.json`, `history.csv`, `logs/` (TensorBoard),
    `checkpoint/` and the weights files that the stages name; with `members="separate"` also `members/`.

    Args:
        recipe: The recipe.
        table: Canonical table. Its training rows are trained on; its validation rows are scored after each epoch.
        split: Split of this table.
        run_dir: Folder of the run; created if missing.
        max_hours: Stops cleanly after this many hours.
        progress: Receives steps, epochs and messages.
        read: Reads the pixels of an image, from its file or from a cache.
        data: Identity of labels and image files, for `data.json`; by default the labels of `table` alone.

    Raises:
        CheckpointError: Another process trains in this folder, or it holds a run with another recipe, split, data or
            precision.
        TableError: No finding has both classes in the training part.
        TrainingError: The weights are no longer finite.
    """
    run_dir, progress = Path(run_dir), progress or Silent()
    run_dir.mkdir(parents=True, exist_ok=True)
    with (
        _locked(run_dir),
        interruption.watch(max_hours) as watch,
        devices.precision(recipe.precision) as precision,
    ):
        devices.leave_gpu_to_the_backend()
        devices.build_graphs_quickly()
        examples = Examples.from_table(recipe, table, split, read)
        for note in examples.notes:
            progress.message(note)
        weights = _label_weights(recipe, examples)
        data = data or DataIdentity.of(table, recipe.ensemble.findings)
        identity = _identity(recipe, split, precision, data)
        checkpoints = Checkpoints(run_dir / "checkpoint")
        position, arrays = _resume(checkpoints, identity, recipe, data, progress)
        _write_inputs(run_dir, recipe, split, weights, data)

        def save(variables: Mapping[str, np.ndarray]) -> None:
            _write_history(run_dir, position)
            checkpoints.save(variables, {"identity": identity, "position": dataclasses.asdict(position)})

        around = Surroundings(
            examples=examples,
            loss=_loss(recipe, weights),
            logs=run_dir / "logs",
            checkpoint_minutes=recipe.checkpoint_minutes,
            interruption=watch,
            progress=progress,
            save=save,
        )
        stopped = _run_jobs(recipe, run_dir, around, position, arrays)
        if not stopped and recipe.members == "separate":
            merge_members(recipe, run_dir)
    return RunResult(
        run_dir=run_dir,
        stopped=stopped,
        history=tuple(position.history),
        label_weights={name: facts["weight"] for name, facts in weights.items()},
        untrained=tuple(name for name, facts in weights.items() if not facts["positives"]),
        weights=run_dir / recipe.stages[-1].best_weights,
    )


def _run_jobs(
    recipe: Recipe,
    run_dir: Path,
    around: Surroundings,
    position: Position,
    arrays: Mapping[str, np.ndarray] | None,
) -> str:
    jobs = plan(recipe, run_dir)
    while position.job < len(jobs):
        stopped = around.interruption.reason or fit_job(jobs[position.job], around, position, arrays)
        if stopped:
            return stopped
        arrays = None
        # Models contain reference cycles: without this, two of them would be in memory at once.
        gc.collect()
    return around.interruption.signal  # in the last epoch: what follows training is left to the next call


def merge_members(recipe: Recipe, run_dir: Path) -> None:
    """Writes the weights files of the ensemble from those of its separately trained members."""
    with uninitialized():
        model = Ensemble.from_spec(recipe.ensemble)
        alone = [Ensemble.from_spec(single(recipe.ensemble, i)) for i in range(len(model.members))]
    for file in [f for stage in recipe.stages for f in (stage.best_weights, stage.last_weights) if f]:
        for member, one in zip(model.members, alone, strict=True):
            one.load_weights(member_folder(run_dir, member.name) / file)
            member.set_weights(one.members[0].get_weights())
        save_weights(model, run_dir / file)


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    try:
        with filelock.FileLock(run_dir / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise CheckpointError(f"{run_dir}: another process is training in this folder") from error


def _label_weights(recipe: Recipe, examples: Examples) -> dict[str, dict[str, float]]:
    """Finding -> its weight in the loss, with its numbers of positives and negatives."""
    findings, (low, high) = recipe.ensemble.findings, recipe.loss.weight_range or (1.0, 1.0)
    weights = label_weights(examples.labels, low, high, findings)
    counts = [np.sum(examples.labels == value, axis=0) for value in (1, 0)]
    return {
        name: {"weight": float(weights[i]), "positives": int(counts[0][i]), "negatives": int(counts[1][i])}
        for i, name in enumerate(findings)
    }


def _loss(recipe: Recipe, weights: Mapping[str, Mapping[str, float]]) -> keras.losses.Loss:
    spec = recipe.loss
    values = None if spec.weight_range is None else [facts["weight"] for facts in weights.values()]
    return build_loss(spec.name, label_weights=values, form=spec.form, smoothing=spec.smoothing, **spec.options)


def refuse_changes(recipe: Recipe, data: DataIdentity, run_dir: Path) -> None:
    """Raises if a run that has begun would be resumed with another recipe or on other data; reads no weights.

    Raises:
        CheckpointError: The message names the differences.
    """
    if not any((run_dir / "checkpoint").glob("[0-9]*")) or not (run_dir / "recipe.json").is_file():
        return
    _refuse_recipe(json.loads((run_dir / "recipe.json").read_text("utf-8")), recipe, run_dir)
    if (run_dir / DATA).is_file():
        refuse_other_data(DataIdentity.load(run_dir / DATA), data, run_dir)


def _identity(recipe: Recipe, split: Split, precision: str, data: DataIdentity) -> dict[str, Any]:
    """What must be equal for a run to be resumed, and the versions, of which a change gives a warning."""
    versions = {"zoo": __version__, "keras": keras.__version__, "backend": keras.config.backend()}
    return {
        "recipe": to_dict(recipe),
        "split": split.hash,
        "data": data.key,
        "precision": precision,
        "versions": versions,
    }


def _resume(
    checkpoints: Checkpoints, now: dict[str, Any], recipe: Recipe, data: DataIdentity, progress: Progress
) -> tuple[Position, Mapping[str, np.ndarray] | None]:
    """The position and variables to resume from; the start and None in a new folder."""
    snapshot = checkpoints.load()
    if snapshot is None:
        return Position(), None
    run_dir = checkpoints.folder.parent
    refuse_changes(recipe, data, run_dir)
    _compare(snapshot.state["identity"], now, recipe, run_dir)
    position = Position(**snapshot.state["position"])
    done = f"{len(position.history)} epochs" + (f" and {position.step} steps" if position.step else "")
    progress.message(f"resuming after {done}")
    return position, snapshot.arrays if position.begun else None


def _compare(saved: Mapping[str, Any], now: Mapping[str, Any], recipe: Recipe, run_dir: Path) -> None:
    _refuse_recipe(saved["recipe"], recipe, run_dir)
    for what, key in saved.get("data", {}).items():
        if key and now["data"][what] and key != now["data"][what]:
            raise CheckpointError(f"{run_dir} was trained on other {what}: use another run folder (--run) or --replace")
    if saved["split"] != now["split"]:
        raise CheckpointError(f"{run_dir} was trained with another split or table: use a new run folder or --replace")
    if saved["precision"] != now["precision"]:
        raise CheckpointError(
            f"{run_dir} was trained in {saved['precision']}, but this device would use {now['precision']}: "
            "resume it on a similar device, or use a new run folder"
        )
    for name, version in saved["versions"].items():
        if version != now["versions"].get(name):
            warn_user(
                f"{run_dir} is resumed under {name} {now['versions'].get(name)} but began under {version}: the result "
                "will not be bit for bit that of an uninterrupted run"
            )


def _refuse_recipe(saved: Mapping[str, Any], recipe: Recipe, run_dir: Path) -> None:
    changed = differences(saved, recipe)
    if changed:
        raise CheckpointError(
            f"{run_dir} was trained with another recipe (it differs in {', '.join(changed)}): use a new run folder "
            "or --replace"
        )


def _write_inputs(
    run_dir: Path, recipe: Recipe, split: Split, weights: Mapping[str, Mapping[str, float]], data: DataIdentity
) -> None:
    write_text(run_dir / "recipe.json", json.dumps(to_dict(recipe), indent=1))
    write_text(run_dir / "label_weights.json", json.dumps(weights, indent=1))
    if not (run_dir / DATA).is_file() or any(data.digests.values()):
        data.save(run_dir / DATA)
    if not (run_dir / "split.json").is_file():
        split.save(run_dir / "split.json")


def _write_history(run_dir: Path, position: Position) -> None:
    """Rewrites the whole file: appending could leave a row of an epoch that a killed process did not finish."""
    text = io.StringIO()
    if position.history:
        writer = csv.DictWriter(text, fieldnames=list(position.history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(position.history)
    write_text(run_dir / "history.csv", text.getvalue())
