"""Quality checks of a release: fitted when it is made, or added to one by `zoo gate`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.errors import UsageError
from zoo.core.progress import Progress, tell_warnings
from zoo.data import contents, splits
from zoo.data.images.reading import Reader, read_image
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.gate import reference
from zoo.gate.fitting import MIN_PATIENTS, fit_images
from zoo.gate.reference import Reference
from zoo.release import install
from zoo.release.read import read_release


@dataclass(frozen=True)
class Added:
    """What `add` made.

    Attributes:
        release: Folder of the release.
        images: Number of images that the checks were fitted on.
        patients: Number of their patients.
        of_training: Whether these are training images of the release, by their digests.
    """

    release: Path
    images: int
    patients: int
    of_training: bool


def fit_on_training_part(
    table: pd.DataFrame, split: splits.Split, size: int, read: Reader, progress: Progress, seed: int
) -> Reference | None:
    """Fits the checks on the training part of a table; None with too few patients."""
    part = table.iloc[split.rows("train")]
    return fit_images(list(part["Image_path"]), splits.patients_of(part), size, read, progress, seed=seed)


def add(
    source: str | Path,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    dataset: str | None = None,
    columns: TableSpec | None = None,
    seed: int = 0,
) -> Added:
    """Fits quality checks for a release that has none, and writes a copy of it with them.

    Where the release records which images it was trained on and some of these are in the data, only they are used;
    otherwise all images are: the checks then compare with them, such as those of one's own hospital.

    Args:
        source: Installed name, release folder, or folder of a finished run.
        data: Folder of images and table, or the table.
        out: Folder of the new release.
        progress: Receives the progress.
        dataset: Format of the table; by default it is found out.
        columns: Names of the columns, for a table of one's own.
        seed: Of the draw and of the changes that are learned.

    Raises:
        UsageError: There are images of too few patients.
        TableError: The table cannot be used.
    """
    found = read_release(install.local(source))
    dataset = reading.dataset_of(data, dataset, columns=columns)
    with tell_warnings(progress):
        table = reading.read_table(dataset, data, columns=columns, say=progress.message)
    table, _ = reading.drop_missing(table)
    trained = np.zeros(len(table), bool)
    if found.trained_on is not None:
        with progress.task("comparing files with the record of the release", len(table)) as advance:
            digests = [held.digest for held in contents.read(list(table["Image_path"]), advance)]
        trained = found.trained_on.find(digests)[0]
    used = table[trained] if trained.any() else table
    what = "training images of the release" if trained.any() else "images, whether trained on or not"
    progress.message(f"quality checks compare with {len(used):,} {what} (the data hold {len(table):,})")
    patients = splits.patients_of(used)
    gate = fit_images(list(used["Image_path"]), patients, found.spec.image_size, read_image, progress, seed=seed)
    if gate is None:
        raise UsageError(f"{data}: quality checks need images of {MIN_PATIENTS} patients or more")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / reference.FILE
        reference.save(gate, file)
        install.copy(found.folder, out)
        install.carry(out, {reference.FILE: file})
    return Added(out, int(gate.images), int(gate.patients), bool(trained.any()))
