"""The steps of `zoo train` and `zoo demo`, from a folder of images to a release."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from zoo._version import __version__
from zoo.config.specs import to_dict
from zoo.core import home
from zoo.core.counting import counted
from zoo.core.errors import CacheError, CheckpointError
from zoo.core.files import write_json
from zoo.core.process import require_own_process
from zoo.core.progress import Progress, tell_warnings
from zoo.data import scan, splits
from zoo.data.cache import ImageCache, cache_images
from zoo.data.identity import DataIdentity
from zoo.data.images.reading import Reader, read_image
from zoo.data.tables import reading, several
from zoo.data.tables.several import DataSet
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.files.study import Study
from zoo.evaluation.result import Evaluation
from zoo.gate import reference
from zoo.labels.findings import FINDINGS, LabelSchema
from zoo.names import porting
from zoo.release import card
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release
from zoo.runs import leaks, results
from zoo.runs.gate import fit_on_training_part
from zoo.runs.restart import move_away, removed_on_failure
from zoo.training import assess, feeding, interruption, stages
from zoo.training.recipe import Recipe


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        run: Folder of the run.
        stopped: Why it stopped before its end, "" if it is done; the same command resumes it.
        result: The evaluation, as written to `metrics.json`; None if stopped.
        report: Path of the report; None if stopped.
        release: Folder of the release; None if stopped.
    """

    run: Path
    stopped: str = ""
    result: Evaluation | None = None
    report: Path | None = None
    release: Path | None = None


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
    `recipe.json`, `skipped.csv`, `split.json`, checkpoints, logs, weights, `predictions.csv`, `decision.json`,
    `metrics.json`, `provenance.json`, `gate.safetensors`, `report.md`, `report.html` and `release/`.

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
    if restart:
        move_away(run, progress)
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
    with removed_on_failure(run, progress):
        if isinstance(data, Path):
            dataset = reading.dataset_of(data, dataset, recipe.dataset, recipe.table)
        table, root = labelled_table(recipe, data, dataset, progress)
        # Ports are fetched once the table is known to fit, and before the images are decoded: both take minutes.
        recipe = dataclasses.replace(recipe, ensemble=porting.with_starts(recipe.ensemble))
        several_sets = not isinstance(data, Path) and len(data) > 1
        table, read, digests = readable_table(recipe, table, root, run, progress, cache, several_sets=several_sets)
        if isinstance(data, Path) and dataset == "csv":
            recipe = with_findings_of(recipe, table)
        held = DataIdentity.of(table, recipe.ensemble.findings, digests)
        stages.refuse_changes(recipe, held, run)
        if recipe.fill_missing == "original":
            reading.fill_original(table).to_csv(run / "filled.csv", index=False)
        split = make_split(recipe, table, run, progress)
    tell_random(recipe, progress)
    sources = {str(source): int(n) for source, n in table["Source"].value_counts().items()}
    data_facts = {"name": data_name, "form": dataset or "several", "sources": sources}
    result = stages.train(recipe, table, split, run, max_hours=max_hours, progress=progress, read=read, data=held)
    if result.stopped:
        return Outcome(run, stopped=result.stopped)
    return finish(recipe, table, split, run, progress, data_facts, read)


def tell_random(recipe: Recipe, progress: Progress) -> None:
    """Says which members start from random weights."""
    random = [member.name for member in recipe.ensemble.members if member.weights is None]
    if random:
        progress.message(f"start from random weights: {', '.join(random)}")


def labelled_table(
    recipe: Recipe, data: Path | Sequence[DataSet], dataset: str | None, progress: Progress
) -> tuple[pd.DataFrame, Path]:
    """Reads the table of one data set, or of several, and checks that its patients allow the split.

    Returns:
        The table, and the folder that holds the data.
    """
    with tell_warnings(progress):
        table, root = _table(recipe, data, dataset, progress)
    splits.check_patients(table, recipe.split)
    return table, root


def readable_table(
    recipe: Recipe,
    table: pd.DataFrame,
    root: Path,
    run: Path,
    progress: Progress,
    cache: Path | None = None,
    *,
    several_sets: bool = False,
) -> tuple[pd.DataFrame, Reader, Mapping[str, str]]:
    """Leaves out the rows of a table whose image cannot be read.

    Every image is decoded and hashed once, for a cache or as a check; later calls on the same files reuse the result.
    The rows that are left out are written to `skipped.csv` with the reason.

    Returns:
        The table, a function that reads its images, and path -> digest of each image file.
    """
    table, missing = reading.drop_missing(table)
    paths = list(table["Image_path"])
    cached = _cached(recipe, paths, root, run, cache, progress)
    found = cached or scan.scan(paths, run / "scan.json", root, progress)
    table, unreadable = reading.drop_unreadable(table, found.unreadable)
    skipped = pd.concat([missing, unreadable], ignore_index=True)
    list_skipped(skipped, len(table), run / "skipped.csv", progress)
    if several_sets:
        count, first = several.copies(table, found.digests)
        some = f" (first: {first})" if count else ""
        progress.message(f"images in several of the data sets, by content: {count:,}{some}")
    return table, cached.read if cached else read_image, found.digests


def _table(
    recipe: Recipe, data: Path | Sequence[DataSet], dataset: str | None, progress: Progress
) -> tuple[pd.DataFrame, Path]:
    own = recipe.ensemble.findings
    if not isinstance(data, Path):
        table = several.read_several(data, own, default=recipe.dataset, say=progress.message)
        return table, several.root_of(data)
    dataset = reading.dataset_of(data, dataset, recipe.dataset, recipe.table)
    schema = LabelSchema("recipe", own) if dataset == "csv" and own != FINDINGS else None
    say, columns = progress.message, recipe.table
    table = reading.read_table(dataset, data, uncertain="keep", schema=schema, columns=columns, say=say)
    return table, reading.home_of(data)


def with_findings_of(recipe: Recipe, table: pd.DataFrame) -> Recipe:
    """Returns the recipe with the findings of a table of one's own as outputs of its model."""
    ensemble = dataclasses.replace(recipe.ensemble, findings=reading.findings_of(table))
    return dataclasses.replace(recipe, ensemble=ensemble)


def cache(
    data: Path,
    dataset: str | None,
    size: int,
    folder: Path,
    progress: Progress,
    workers: int | None = None,
    columns: TableSpec | None = None,
) -> ImageCache:
    """Decodes the images of a data set once, for `train(..., cache=folder)`, and lists those that cannot be read.

    Args:
        data: Folder of images and table, or the table.
        dataset: Format of the table; None to find it out.
        size: Height and width in pixels.
        folder: Folder of the cache.
        progress: Receives the progress after each image.
        workers: Number of decoding threads; the number of processors by default.
        columns: Names of the columns, for a table of one's own.
    """
    dataset = reading.dataset_of(data, dataset, columns=columns)
    with tell_warnings(progress):
        table = reading.read_table(dataset, data, columns=columns, say=progress.message)
        table, missing = reading.drop_missing(table)
    root = reading.home_of(data)
    images = cache_images(list(table["Image_path"]), folder, size, root=root, progress=progress, workers=workers)
    table, unreadable = reading.drop_unreadable(table, images.unreadable)
    list_skipped(
        pd.concat([missing, unreadable], ignore_index=True), len(table), folder / "films-skipped.csv", progress
    )
    return images


def make_split(recipe: Recipe, table: pd.DataFrame, run: Path, progress: Progress) -> splits.Split:
    """Makes the split of a run and saves it as `split.json`, or reads it from there."""
    path = run / "split.json"
    if path.is_file():
        split = splits.Split.load(path, table)
        made, wanted = (split.by, split.seed, tuple(split.fractions)), _split_of(recipe)
        if made != wanted:
            raise CheckpointError(
                f"{path} was made with (by, seed, fractions) {made}, not {wanted}: use a new run folder"
            )
    else:
        with tell_warnings(progress):
            split = splits.make_split(table, recipe.ensemble.findings, recipe.split)
        split.save(path)
    sizes = ", ".join(f"{len(rows)} {part}" for part, rows in split.parts.items())
    progress.message(f"split by {split.by}: {sizes} (hash {split.hash[:12]})")
    return split


def finish(
    recipe: Recipe,
    table: pd.DataFrame,
    split: splits.Split,
    run: Path,
    progress: Progress,
    data_facts: dict[str, Any],
    read: Reader = read_image,
) -> Outcome:
    """Fits the decision on the validation part, evaluates the test part, and writes the report and the release."""
    found = assess.assess(recipe, table, split, run, progress, read)
    facts = provenance(recipe, table, split, data_facts)
    tested = table.iloc[split.rows("test")]
    with progress.task("report", 3) as advance:
        groups, paths = results.groups_of(tested), list(tested["Image_path"])
        study = Study({recipe.ensemble.name: found.scores}, tested["Image_name"].to_numpy(str), groups, {}, ())
        shared = leaks.find(study, None, progress, run / "split.json", paths=paths)
        result = results.complete(found.result, found.scores, found.decision, groups=groups, leakage=shared)
        advance()
        wrong = results.mistakes(found.model, paths, found.scores, found.decision)
        advance()
        shown = results.write(
            result, run, history=run / "history.csv", mistakes=wrong, method=results.method(found.model)
        )
        advance()
    decisions = {name: decision.to_dict() for name, decision in found.member_decisions.items()}
    write_json(run / "decision.json", {"ensemble": found.decision.to_dict(), "members": decisions})
    write_json(run / "provenance.json", facts)
    gate = fit_on_training_part(table, split, recipe.ensemble.image_size, read, progress, recipe.seed)
    if gate is not None:
        reference.save(gate, run / reference.FILE)
    folder = write_release(
        run / "release",
        found.model,
        recipe.ensemble,
        found.decision,
        member_decisions=found.member_decisions,
        metrics=result,
        provenance=facts,
        card=card.render(recipe.ensemble, result, decision=found.decision, provenance=facts, checks=str(gate or "")),
        trained_on=TrainedOn.of_run(run),
        gate=gate,
    )
    return Outcome(run, result=result, report=shown, release=folder)


def provenance(
    recipe: Recipe, table: pd.DataFrame, split: splits.Split, data_facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the origin of a release: data, recipe, split, seed, code and versions."""
    found = origin(table, split, recipe.seed, data_facts)
    made_by = to_dict(dataclasses.replace(recipe, ensemble=recipe.ensemble.without_paths()))
    return {"data": found["data"], "recipe": made_by, **found}


def origin(
    table: pd.DataFrame, split: splits.Split, seed: int, data_facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns what every release says of its origin: data, split, seed, code and versions."""
    import keras

    return {
        "data": {**(data_facts or {}), "films": len(table), "patients": len({*splits.patients_of(table)})},
        "split": {
            "by": split.by,
            "seed": split.seed,
            "hash": split.hash,
            "films": {part: len(rows) for part, rows in split.parts.items()},
            "leaked_patients": splits.leaked_patients(table, split),
        },
        "seed": seed,
        "zoo": __version__,
        "code": _code(),
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _code() -> str:
    """sha256 over the package's source code, which distinguishes two builds of one version."""
    root = home.PACKAGE
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _split_of(recipe: Recipe) -> tuple[str, int, tuple[float, ...]]:
    return recipe.split.by, recipe.split.seed, tuple(recipe.split.shares)


def _cached(
    recipe: Recipe, paths: Sequence[str], root: Path, run: Path, given: Path | None, progress: Progress
) -> ImageCache | None:
    """The cache of the images, created or brought up to date, if it was requested or would speed up an accelerator."""
    folder, by_itself = given or run / "cache", given is None and recipe.cache == "auto"
    if given is None and recipe.cache == "never":
        return None
    if by_itself and not folder.is_dir() and not feeding.starves(recipe, paths, progress):
        return None
    try:
        size = recipe.ensemble.image_size
        return cache_images(paths, folder, size, root=root, progress=progress)
    except CacheError as error:
        if not by_itself:
            raise
        progress.message(f"continuing without a cache: {error}")
        return None


def list_skipped(skipped: pd.DataFrame, kept: int, path: Path, progress: Progress) -> None:
    """Writes the rows that were left out with the reason, and tells their number and the first names."""
    skipped.to_csv(path, index=False)
    if len(skipped):
        names = ", ".join(skipped["Image_name"].head(5)) + (" ..." if len(skipped) > 5 else "")
        progress.message(
            f"skipped {len(skipped)} of {counted(kept + len(skipped), 'image')}: {names} (reasons are in {path.name})"
        )
