"""The steps of `zoo train` and `zoo demo`, from a folder of images to a release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from zoo.config.specs import to_dict
from zoo.core.files import write_json
from zoo.core.process import require_own_process
from zoo.core.progress import Progress, Silent
from zoo.data import splits
from zoo.data.images.reading import Reader, read_image
from zoo.data.tables.several import DataSet
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.study import Study
from zoo.evaluation.result import Evaluation
from zoo.gate import reference
from zoo.release import card
from zoo.release.convert import ENSEMBLE
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release
from zoo.runs import leaks, provenance, results, training_data
from zoo.runs.gate import fit_on_training_part
from zoo.runs.restart import move_away, removed_on_failure
from zoo.runs.tested import own_scores
from zoo.training import assess, interruption, processes, replicas, stages
from zoo.training.recipe import Recipe


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        run: Folder of the run.
        stopped: Why it stopped before its end, "" if it is done; the same command resumes it.
        result: The evaluation, as written to `metrics.json`; None if stopped, and in a process that is not the first.
        report: Path of the report; None if stopped.
        release: Folder of the release; None if stopped.
    """

    run: Path
    stopped: str = ""
    result: Evaluation | None = None
    report: Path | None = None
    release: Path | None = None


@dataclass(frozen=True)
class Taught:
    """What the release of a student says of its teacher; by default there is none.

    Attributes:
        facts: Added to the provenance.
        calibrated: Decision of the teacher, whose calibration is kept where no labels are known; else None.
        license: The teacher's licence, "" if unknown.
        notes: Sentences for the report.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    calibrated: Decision | None = None
    license: str = ""
    notes: tuple[str, ...] = ()


def train(
    recipe: Recipe,
    data: Path | Sequence[DataSet],
    run: Path,
    progress: Progress,
    *,
    dataset: str | None = None,
    data_name: str = "",
    max_hours: float | None = None,
    cache: Path | None = None,
    restart: bool = False,
) -> Outcome:
    """Trains a recipe on a folder of images, evaluates it on the test part and writes a release.

    The same call resumes a killed or stopped run; SIGTERM and Ctrl-C stop it cleanly at any time. The run folder holds
    `recipe.json`, `skipped.csv`, `split.json`, checkpoints, logs, weights, `predictions.csv`, `ensemble.json` (the
    model, with the weights of its members), `decision.json`, `metrics.json`, `provenance.json`, `gate.safetensors`,
    `tested.safetensors`, `report.md`, `report.html` and `release/`.

    Args:
        recipe: The recipe.
        data: Folder of images and table, or the table; or several data sets, which are joined
            (`data.tables.several`).
        run: Folder of the run; created if missing.
        progress: Receives the progress of every step.
        dataset: Format of the table, if it differs from the recipe's.
        data_name: Name of the data set, for the model card.
        max_hours: Stops cleanly after this many hours.
        cache: Folder of decoded images, which is created or brought up to date; by default the recipe decides.
        restart: Whether to move an earlier run in `run` away and start anew, instead of resuming it.

    Raises:
        CacheError: `cache` cannot be used.
        CheckpointError: The run would be resumed with another recipe or on other data.
        StateError: This process was forked from one that had already loaded or trained a model.
    """
    require_own_process()
    replicas.prepare(recipe.devices)
    if processes.number():
        progress = Silent()
    if restart:
        processes.by_first(lambda: move_away(run, progress))
    try:
        with interruption.at_once():
            return _train(recipe, data, run, progress, dataset, data_name, max_hours, cache)
    except interruption.Signalled as stop:
        return Outcome(run, stopped=stop.name)


def _train(
    recipe: Recipe,
    data: Path | Sequence[DataSet],
    run: Path,
    progress: Progress,
    dataset: str | None,
    data_name: str,
    max_hours: float | None,
    cache: Path | None,
) -> Outcome:
    def prepare() -> training_data.Prepared:
        with removed_on_failure(run, progress):
            return training_data.prepare(recipe, data, dataset, run, progress, cache)

    held, helps = processes.in_turn(prepare), processes.number() > 0
    recipe, table, split, read = held.recipe, held.table, held.split, held.read
    tell_random(recipe, progress)
    result = stages.train(recipe, table, split, run, max_hours=max_hours, progress=progress, read=read, data=held.data)
    if result.stopped:
        return Outcome(run, stopped=result.stopped)
    processes.leave()
    if helps:
        return Outcome(run)
    return finish(recipe, table, split, run, progress, held.facts(data_name), read)


def tell_random(recipe: Recipe, progress: Progress) -> None:
    """Says which members start from random weights."""
    random = [member.name for member in recipe.ensemble.members if member.weights is None]
    if random:
        progress.message(f"start from random weights: {', '.join(random)}")


def finish(
    recipe: Recipe,
    table: pd.DataFrame,
    split: splits.Split,
    run: Path,
    progress: Progress,
    data_facts: dict[str, Any],
    read: Reader = read_image,
    taught: Taught | None = None,
) -> Outcome:
    """Fits the decision on the validation part, evaluates the test part, and writes the report and the release."""
    taught = taught or Taught()
    found = assess.assess(recipe, table, split, run, progress, read, taught.calibrated)
    facts = provenance.of_training(recipe, table, split, data_facts) | dict(taught.facts)
    tested = table.iloc[split.rows("test")]
    result, shown = _report(found, tested, run, progress, taught)
    decisions = {name: decision.to_dict() for name, decision in found.member_decisions.items()}
    write_json(run / "decision.json", {"ensemble": found.decision.to_dict(), "members": decisions})
    write_json(run / "provenance.json", facts)
    write_json(run / ENSEMBLE, to_dict(found.spec))
    gate = fit_on_training_part(table, split, recipe.ensemble.image_size, read, progress, recipe.seed)
    if gate is not None:
        reference.save(gate, run / reference.FILE)
    paths = list(tested["Image_path"])
    kept = own_scores(found.scores, paths, gate, recipe.ensemble.image_size, progress, recipe.seed)
    if kept is not None:
        kept.write(run)
    folder = write_release(
        run / "release",
        found.model,
        found.spec,
        found.decision,
        member_decisions=found.member_decisions,
        metrics=result,
        provenance=facts,
        card=card.render(
            found.spec,
            result,
            decision=found.decision,
            provenance=facts,
            license=taught.license,
            checks=str(gate or ""),
        ),
        license=taught.license,
        trained_on=TrainedOn.of_run(run),
        gate=gate,
        tested=kept,
    )
    return Outcome(run, result=result, report=shown, release=folder)


def _report(
    found: assess.Assessment, tested: pd.DataFrame, run: Path, progress: Progress, taught: Taught
) -> tuple[Evaluation, Path]:
    """Completes the evaluation of the test part and writes it."""
    with progress.task("report", 3) as advance:
        groups, paths = results.groups_of(tested), list(tested["Image_path"])
        study = Study({found.spec.name: found.scores}, tested["Image_name"].to_numpy(str), groups, {}, ())
        shared = leaks.find(study, None, progress, run / "split.json", paths=paths)
        result = results.complete(found.result, found.scores, found.decision, groups=groups, leakage=shared)
        result = dataclasses.replace(result, notes=(*taught.notes, *(result.notes or ())))
        advance()
        wrong = results.mistakes(found.model, paths, found.scores, found.decision)
        advance()
        shown = results.write(
            result, run, history=run / "history.csv", mistakes=wrong, method=results.method(found.model)
        )
        advance()
    return result, shown
