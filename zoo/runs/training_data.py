"""What a run is trained on: the table of a data set without images that cannot be read, and its split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import CacheError, CheckpointError
from zoo.core.files import write_text
from zoo.core.progress import Progress, tell_warnings
from zoo.data import scan, splits
from zoo.data.cache import ImageCache, cache_images
from zoo.data.identity import DataIdentity
from zoo.data.images.reading import Reader, read_image
from zoo.data.tables import reading, several
from zoo.data.tables.several import DataSet
from zoo.data.tables.spec import TableSpec
from zoo.labels.findings import FINDINGS, LabelSchema
from zoo.names import porting
from zoo.training import feeding, resuming
from zoo.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a run is trained on.

    Attributes:
        recipe: The recipe with the findings of the table, and with the starting weights that it names by a catalog.
        table: Canonical table of the images that can be read.
        split: Its split.
        read: Reads the pixels of its images.
        data: Identity of labels and image files.
        form: Format of the table; "several" of joined data sets, "images" without a table.
    """

    recipe: Recipe
    table: pd.DataFrame
    split: splits.Split
    read: Reader
    data: DataIdentity
    form: str

    def facts(self, name: str) -> dict[str, Any]:
        """What a release says of its data, which its user calls `name`."""
        sources = {str(source): int(n) for source, n in self.table["Source"].value_counts().items()}
        return {"name": name, "form": self.form, "sources": sources}


def prepare(
    recipe: Recipe,
    data: Path | Sequence[DataSet],
    dataset: str | None,
    run: Path,
    progress: Progress,
    cache: Path | None = None,
) -> Prepared:
    """Reads the table, leaves out images that cannot be read, and makes the split or reads it from the run.

    Raises:
        CacheError: `cache` cannot be used.
        CheckpointError: The run has begun with another recipe or on other data.
    """
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
    resuming.refuse_changes(recipe, held, run)
    if recipe.fill_missing == "original":
        write_text(run / "filled.csv", reading.fill_original(table).to_csv(index=False))
    return Prepared(recipe, table, make_split(recipe, table, run, progress), read, held, dataset or "several")


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


def _cached(
    recipe: Recipe, paths: Sequence[str], root: Path, run: Path, given: Path | None, progress: Progress
) -> ImageCache | None:
    """The cache of the images, created or brought up to date, if it was requested or saves time."""
    folder, by_itself = given or run / "cache", given is None and recipe.cache == "auto"
    if given is None and recipe.cache == "never":
        return None
    shared = recipe.members == "parallel"  # the processes would each decode every image in every epoch
    if by_itself and not shared and not folder.is_dir() and not feeding.starves(recipe, paths, progress):
        return None
    try:
        size = recipe.ensemble.image_size
        return cache_images(paths, folder, size, root=root, progress=progress)
    except CacheError as error:
        if not by_itself:
            raise
        progress.message(f"continuing without a cache: {error}")
        return None


def cache(
    data: Path,
    dataset: str | None,
    size: int,
    folder: Path,
    progress: Progress,
    workers: int | None = None,
    columns: TableSpec | None = None,
) -> ImageCache:
    """Decodes the images of a data set once, for `train(..., cache=folder)` of `runs.train`, and lists the unreadable.

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


def list_skipped(skipped: pd.DataFrame, kept: int, path: Path, progress: Progress) -> None:
    """Writes the rows that were left out with the reason, and tells their number and the first names."""
    write_text(path, skipped.to_csv(index=False))
    if len(skipped):
        names = ", ".join(skipped["Image_name"].head(5)) + (" ..." if len(skipped) > 5 else "")
        progress.message(
            f"skipped {len(skipped)} of {counted(kept + len(skipped), 'image')}: {names} (reasons are in {path.name})"
        )


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
    progress.message(str(split))
    return split


def _split_of(recipe: Recipe) -> tuple[str, int, tuple[float, ...]]:
    return recipe.split.by, recipe.split.seed, tuple(recipe.split.shares)
