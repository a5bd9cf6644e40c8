"""The data sets that can be read, by name: a row for each, with the module that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from zoo.data.tables.competition import competition_files, read_competition
from zoo.data.tables.nih import nih_files, read_nih
from zoo.data.tables.plain import csv_file, read_csv_table
from zoo.data.tables.spec import TableSpec
from zoo.labels.findings import CHEXPERT, NIH, NIH_DEBATABLE, LabelSchema


@dataclass(frozen=True)
class Files:
    """What is to be read.

    Attributes:
        folder: Folder of the data set.
        table: Its table, if it was named.
        images: Its folder of images, if it was named.
        schema: The findings to read; None for all that a plain CSV has.
        columns: The names of columns, for a plain CSV.
        say: Called with each sentence on what was understood.
    """

    folder: Path
    table: Path | None = None
    images: Path | None = None
    schema: LabelSchema | None = None
    columns: TableSpec = field(default_factory=TableSpec)
    say: Callable[[str], None] = lambda text: None


#: Reads a data set into a canonical table with labels 1, 0, -1 (uncertain) and NaN.
Read: TypeAlias = Callable[[Files], pd.DataFrame]


@dataclass(frozen=True)
class Dataset:
    """One kind of data set.

    Attributes:
        title: Its name and reference.
        files: What its folder holds, in words.
        read: Reads it.
        schema: Mapping of its labels to the 14 findings; None if it has findings of its own.
        tables: Patterns of the names of its tables, by which a folder is recognised.
    """

    title: str
    files: str
    read: Read
    schema: LabelSchema | None
    tables: tuple[str, ...]


def _csv(files: Files) -> pd.DataFrame:
    findings = files.schema.findings if files.schema is not None else None
    table = files.table or csv_file(files.folder)
    return read_csv_table(table, files.images, columns=files.columns, findings=findings, say=files.say)


def _competition(files: Files) -> pd.DataFrame:
    csv, images = competition_files(files.folder, files.table, files.images)
    return read_competition(csv, images, uncertain="keep", schema=files.schema)


def _nih(files: Files) -> pd.DataFrame:
    return read_nih(*nih_files(files.folder, files.table, files.images), schema=files.schema)


#: Name of `--dataset` -> the data set.
DATASETS: Mapping[str, Dataset] = {
    "csv": Dataset("any table with a column of images and labels", "a CSV, or a folder with one", _csv, None, ()),
    "competition": Dataset(
        "Grand X-Ray Slam, Division B or A",
        "train2.csv and train2/, or train1.csv and train1/",
        _competition,
        CHEXPERT,
        ("train1.csv", "train2.csv"),
    ),
    "nih": Dataset(
        "NIH ChestX-ray14 (Wang et al. 2017)", "Data_Entry*.csv and images*/", _nih, NIH, ("Data_Entry*.csv",)
    ),
    "nih-debatable": Dataset(
        "NIH ChestX-ray14 with a wider mapping", "Data_Entry*.csv and images*/", _nih, NIH_DEBATABLE, ()
    ),
}


def recognise(data: Path) -> str:
    """The name of the data set in a folder or file, by the names of its tables; "csv" for any other.

    Example:
        >>> recognise(Path("no/such/folder"))
        'csv'
    """
    tables: Sequence[Path] = [data] if data.is_file() else sorted(data.iterdir()) if data.is_dir() else []
    for name, dataset in DATASETS.items():
        if any(table.match(pattern) for table in tables for pattern in dataset.tables):
            return name
    return "csv"


def described() -> str:
    """The names with what each reads, for help.

    Example:
        >>> described().partition(";")[0]
        'csv: any table with a column of images and labels (a CSV, or a folder with one)'
    """
    return "; ".join(f"{name}: {dataset.title} ({dataset.files})" for name, dataset in DATASETS.items())
