"""What a student learns on: the images of a data set, labelled or not, and further images without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import TableError
from zoo.core.progress import Progress, tell_warnings
from zoo.data import splits
from zoo.data.images.listing import find_images
from zoo.data.tables import reading
from zoo.data.tables.canonical import COLUMNS
from zoo.labels.findings import LabelSchema
from zoo.runs import training_data
from zoo.training.recipe import Recipe

#: Value of "Source" of an image that came without a table.
UNLABELLED = "unlabelled"

#: Endings of the tables that a data set may have.
_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".gz", ".json", ".parquet")


@dataclass(frozen=True, eq=False)
class Found:
    """The images.

    Attributes:
        recipe: The recipe, with the split that these images allow.
        table: Canonical table; the rows without a table come last.
        root: Folder of the data.
        form: Format of the table, "images" if there is none.
    """

    recipe: Recipe
    table: pd.DataFrame
    root: Path
    form: str


def read(recipe: Recipe, data: Path, dataset: str | None, unlabelled: Sequence[Path], progress: Progress) -> Found:
    """Reads the table of a data set for the findings of the recipe, or lists its images if it has no table.

    Args:
        recipe: Gives the findings, the columns and the split.
        data: Folder of images with or without a table, or the table.
        dataset: Format of the table; None to find it out.
        unlabelled: Further images.
        progress: Receives what was found.

    Raises:
        TableError: The table has none of the findings.
        SplitError: A split by patient, and the table names no patient.
    """
    findings, root = recipe.ensemble.findings, reading.home_of(data)
    with tell_warnings(progress):
        if _has_table(data, recipe, dataset):
            form = reading.dataset_of(data, dataset, recipe.dataset, recipe.table)
            table = _for_findings(_table(recipe, data, form, progress), findings, progress)
            splits.check_patients(table, recipe.split)
        else:
            form, table = "images", _rows(find_images([data], progress.message), root, findings)
            split = dataclasses.replace(recipe.split, by="image", fractions=recipe.split.shares)
            recipe = dataclasses.replace(recipe, split=split)
            progress.message(
                f"{data} has no table: {counted(len(table), 'image')} without labels and patients, split by image"
            )
        if unlabelled:
            more = find_images(unlabelled, progress.message)
            known = set(table["Image_path"])
            more = [path for path in more if path not in known]
            progress.message(f"{counted(len(more), 'further image')} without labels, for the training part")
            table = pd.concat([table, _rows(more, None, findings)], ignore_index=True)
    return Found(recipe, table, root, form)


def without_copies(table: pd.DataFrame, digests: Mapping[str, str], progress: Progress) -> pd.DataFrame:
    """Leaves out the images without labels that are copies of others, so that none is in two parts.

    Args:
        table: Canonical table.
        digests: Path -> digest of its file.
        progress: Receives their number.
    """
    keys = table["Image_path"].map(lambda path: digests.get(path) or path)
    copies = keys.duplicated() & (table["Source"] == UNLABELLED)
    if copies.any():
        count = counted(int(copies.sum()), "unlabelled copy", "unlabelled copies")
        first = table["Image_name"][copies].iloc[0]
        progress.message(f"left out {count} of other images (first: {first})")
    return table[~copies].reset_index(drop=True)


def make_split(recipe: Recipe, table: pd.DataFrame, run: Path, progress: Progress) -> splits.Split:
    """Splits the images of the data set, and puts all others into the training part; or reads `split.json` of the run.

    Raises:
        CheckpointError: `split.json` was made by another rule.
    """
    own = (table["Source"] != UNLABELLED).to_numpy()
    if not (run / "split.json").is_file() and not own.all() and own.any():
        with tell_warnings(progress):
            split = splits.make_split(table[own], recipe.ensemble.findings, recipe.split)
        splits.with_training_rows(split, table).save(run / "split.json")
    return training_data.make_split(recipe, table, run, progress)


def _has_table(data: Path, recipe: Recipe, dataset: str | None) -> bool:
    if dataset is not None or recipe.table.names_columns or not data.is_dir():
        return True
    return any(_is_table(path) for path in data.iterdir())


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in _TABLES


def _table(recipe: Recipe, data: Path, form: str, progress: Progress) -> pd.DataFrame:
    schema = LabelSchema("teacher", recipe.ensemble.findings) if form == "csv" else None
    say, columns = progress.message, recipe.table
    try:
        return reading.read_table(form, data, uncertain="keep", schema=schema, columns=columns, say=say)
    except TableError as error:
        found = sorted(path.name for path in data.iterdir() if _is_table(path)) if data.is_dir() else []
        if len(found) != 1:
            raise
        raise TableError(
            f"{error}. If {found[0]} is no table, move it away: images alone are taught as well"
        ) from error


def _for_findings(table: pd.DataFrame, findings: Sequence[str], progress: Progress) -> pd.DataFrame:
    """The table with one column for each finding of the teacher, NaN for those that it does not have."""
    own = reading.findings_of(table)
    missing, others = [f for f in findings if f not in own], [f for f in own if f not in findings]
    if len(missing) == len(findings):
        raise TableError(
            f"the table has none of the teacher's findings: {', '.join(own)} instead of {', '.join(findings)}"
        )
    if missing:
        progress.message(f"not in the table, so learned from the teacher alone: {', '.join(missing)}")
    if others:
        progress.message(f"not among the teacher's findings, so not used: {', '.join(others)}")
    table = table.assign(**{finding: np.float32(np.nan) for finding in missing})
    return table[[*COLUMNS, *findings]]


def _rows(paths: Sequence[str], root: Path | None, findings: Sequence[str]) -> pd.DataFrame:
    """Canonical rows of images without a table; those below `root` are named by their path in it, and are its own."""
    absolute = [str(Path(path).absolute()) for path in paths]
    names = [Path(p).relative_to(root).as_posix() if root is not None else p for p in absolute]
    facts = {"Image_path": absolute, "Image_name": names, "Source": "images" if root is not None else UNLABELLED}
    columns = {key: facts.get(key, np.nan) for key in COLUMNS} | {f: np.float32(np.nan) for f in findings}
    return pd.DataFrame(columns, index=range(len(paths)))
