"""`zoo distill`: a small student learns the probabilities of a model, on images with or without labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.errors import UsageError
from zoo.core.process import require_own_process
from zoo.core.progress import Progress
from zoo.data.identity import DataIdentity
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.decision import Decision, Origin, positives, probabilities
from zoo.inference.load import load
from zoo.inference.predictor import Predictor
from zoo.inference.starting import RuntimeName
from zoo.names import porting
from zoo.release.folder import ReleaseFolder
from zoo.runs import seen_before, taught_data, train, training_data
from zoo.runs.restart import move_away, removed_on_failure
from zoo.runs.teacher_logits import cached_logits
from zoo.runs.train import Outcome, Taught
from zoo.runs.training_data import Prepared
from zoo.training import interruption, resuming, stages
from zoo.training.recipe import Recipe, apply_overrides
from zoo.training.student import Student, student_recipe

#: What a release says of the labels that were learned and evaluated, if they are those of the data.
OWN = "the data's own"


@dataclass(frozen=True)
class Lesson:
    """What a student is taught.

    Attributes:
        teacher: Name of the teacher, as `zoo.load` takes it.
        student: How the student is built and learns.
        data: Folder of images with or without a table, or the table.
        unlabelled: Files and folders of further images without labels, all for the training part.
        dataset: Format of the table; None to find it out.
        columns: Names of the columns, for a table of one's own.
        overrides: Changes of the recipe in the form "path=value".
        data_name: Name of the data set, for the model card.
        runtime: Runtime of the teacher.
        logits: CSV of the teacher's logits, written or continued; by default `teacher.csv` in the run folder.
        cache: Folder of decoded images; by default the recipe decides.
    """

    teacher: str
    student: Student
    data: Path
    unlabelled: tuple[Path, ...] = ()
    dataset: str | None = None
    columns: TableSpec = field(default_factory=TableSpec)
    overrides: tuple[str, ...] = ()
    data_name: str = ""
    runtime: RuntimeName = "keras"
    logits: Path | None = None
    cache: Path | None = None


def distill(
    lesson: Lesson, run: Path, progress: Progress, *, max_hours: float | None = None, restart: bool = False
) -> Outcome:
    """Computes the teacher's logits of all images once, trains the student on them and writes its release.

    The same call resumes a killed or stopped one, in the teacher's pass or in training. The run folder holds what that
    of `zoo train` holds, and the teacher's logits.

    With labels, the decision is fitted on the labelled images of the validation part, and the test part is evaluated
    as always. If no image is labelled, the labels of all parts are the teacher's decisions at its default operating
    point: the student keeps the teacher's calibration, its thresholds are those that agree best with the teacher on the
    validation part, and the report and the card say that its figures measure agreement with the teacher.

    Args:
        lesson: The teacher, the student and the images.
        run: Folder of the run; created if missing.
        progress: Receives the progress of every step.
        max_hours: Stops training cleanly after this many hours.
        restart: Whether to move an earlier run in `run` away and start anew, instead of resuming it; and to replace
            the `logits` of the lesson if they are of another teacher or of other images.

    Raises:
        CheckpointError: The run would be resumed with another teacher, recipe or other data.
        UnknownNameError: No such teacher or backbone.
        UsageError: `alpha` is above 0 and no image is labelled.
        StateError: This process was forked from one that had already loaded or trained a model.
    """
    require_own_process()
    if restart:
        move_away(run, progress)
    try:
        with interruption.at_once():
            return _distill(lesson, run, progress, max_hours, restart)
    except interruption.Signalled as stop:
        return Outcome(run, stopped=stop.name)


def _distill(lesson: Lesson, run: Path, progress: Progress, max_hours: float | None, restart: bool) -> Outcome:
    teacher = load(lesson.teacher, runtime=lesson.runtime)
    with removed_on_failure(run, progress):
        held = _prepare(lesson, teacher, run, progress)
    paths = list(held.table["Image_path"])
    logits = cached_logits(teacher, paths, lesson.logits or run / "teacher.csv", progress, restart=restart)
    facts = _facts(teacher, held, progress)
    table, kept = held.table, None
    if not _is_labelled(held):
        table, kept = _labelled_by(teacher, held, logits, progress), _calibration(teacher, held.recipe)
    facts["labels"] = OWN if kept is None else "the teacher's decisions"
    teacher_licence = str(facts["licence"])
    del teacher  # its weights are not needed beside the student's
    recipe, split, read = held.recipe, held.split, held.read
    train.tell_random(recipe, progress)
    result = stages.train(
        recipe, table, split, run, max_hours=max_hours, progress=progress, read=read, data=held.data, teacher=logits
    )
    if result.stopped:
        return Outcome(run, stopped=result.stopped)
    licence = "" if teacher_licence == "unknown" else teacher_licence
    taught = Taught({"distillation": facts}, kept, licence, _notes(facts))
    return train.finish(recipe, table, split, run, progress, held.facts(lesson.data_name), read, taught)


def _prepare(lesson: Lesson, teacher: Predictor, run: Path, progress: Progress) -> Prepared:
    """Reads the images and the table, and splits the labelled part of them."""
    recipe = apply_overrides(student_recipe(lesson.student, teacher, lesson.columns), lesson.overrides)
    found = taught_data.read(recipe, lesson.data, lesson.dataset, lesson.unlabelled, progress)
    recipe = found.recipe
    recipe = dataclasses.replace(recipe, ensemble=porting.with_starts(recipe.ensemble))
    table, read, digests = training_data.readable_table(recipe, found.table, found.root, run, progress, lesson.cache)
    table = taught_data.without_copies(table, digests, progress)
    data = DataIdentity.of(table, recipe.ensemble.findings, digests)
    resuming.refuse_changes(recipe, data, run)
    split = taught_data.make_split(recipe, table, run, progress)
    return Prepared(recipe, table, split, read, data, found.form)


def _is_labelled(held: Prepared) -> bool:
    labels = reading.labels_of(held.table, held.recipe.ensemble.findings)
    return not bool(np.isnan(labels).all())


def _labelled_by(teacher: Predictor, held: Prepared, logits: np.ndarray, progress: Progress) -> pd.DataFrame:
    """The table with the teacher's decisions as labels."""
    assert held.recipe.teaching is not None
    if held.recipe.teaching.alpha:
        raise UsageError(
            f"alpha {held.recipe.teaching.alpha:g} weights the labels, and no image has one: alpha must be 0"
        )
    decision = teacher.decision or Decision(teacher.labels)
    called = positives(probabilities(logits, decision), decision)
    progress.message(
        "no image is labelled: thresholds are fitted to, and figures measure agreement with, the decisions of "
        f"{PurePath(teacher.name).name} at its operating point {decision.default}"
    )
    columns = {finding: pd.Series(values) for finding, values in zip(teacher.labels, called.T, strict=True)}
    return held.table.assign(**columns)


def _calibration(teacher: Predictor, recipe: Recipe) -> Decision:
    """The teacher's calibration without its thresholds."""
    decision = teacher.decision or Decision(teacher.labels)
    assert recipe.teaching is not None
    note = f"kept from the teacher, {recipe.teaching.teacher} ({recipe.teaching.manifest_sha256[:12]})"
    return Decision(
        decision.findings,
        decision.temperature,
        temperature_origin=Origin("the teacher's", notes=(note,)),
        calibrator=decision.calibrator,
        prior_shift=decision.prior_shift,
        trained=decision.trained,
        studies=decision.studies,
    )


def _facts(teacher: Predictor, held: Prepared, progress: Progress) -> dict[str, Any]:
    """What the release says of its teacher."""
    taught = held.recipe.teaching
    assert taught is not None
    tested = list(held.table["Image_path"].iloc[held.split.rows("test")])
    _, seen = seen_before.among(teacher, tested, progress)
    return {
        "teacher": taught.teacher,
        "source": teacher.source,
        "manifest_sha256": taught.manifest_sha256,
        "members": list(teacher.members),
        "licence": _licence(seen_before.release_of(teacher)),
        "temperature": taught.temperature,
        "alpha": taught.alpha,
        "runtime": f"{teacher.runtime.name} {teacher.runtime.precision}",
        "seen": f"Test part: {seen}",
    }


def _notes(facts: dict[str, Any]) -> tuple[str, ...]:
    """What the report says of the teacher."""
    taught = f"Taught by {facts['teacher']} (manifest {facts['manifest_sha256'][:12]})."
    if facts["labels"] == OWN:
        return taught, str(facts["seen"])
    return (
        taught,
        "No image is labelled: the labels of this report are the teacher's decisions, and its figures measure "
        "agreement with the teacher, not accuracy.",
    )


def _licence(release: ReleaseFolder | None) -> str:
    """The licence that the teacher's release states; "" if it states none, "unknown" if its authors state none."""
    if release is None:
        return ""
    port = release.listing.provenance.port
    return port.licence if port is not None and port.licence == "unknown" else release.license
