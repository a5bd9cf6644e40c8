"""Reads CheXpert (Irvin et al. 2019): train.csv and valid.csv, and the labels of its test set (500 studies)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.core.errors import TableError
from zoo.core.paths import path_key
from zoo.data.images.listing import walk_images
from zoo.data.tables.public import canonical_table, find_table, label_column
from zoo.data.tables.views import view_columns
from zoo.labels.findings import CHEXPERT, LabelSchema

_PATIENT, _STUDY = re.compile(r"patient\w+", re.IGNORECASE), re.compile(r"study\w+", re.IGNORECASE)

Say = Callable[[str], None]


def read_chexpert(
    tables: Sequence[Path], images: Path, *, schema: LabelSchema | None = None, say: Say = lambda text: None
) -> pd.DataFrame:
    """Reads one or several tables of CheXpert together; uncertain labels stay -1, blanks are NaN.

    Patient and study are parts of the path ("patient00001/study1"). A path whose beginning differs from the folder's
    ("CheXpert-v1.0-small/train/...") is joined by its longest end that is unique.

    Args:
        tables: train.csv, valid.csv, or both.
        images: Folder of the images.
        schema: The findings wanted; the 14 by default.
        say: Called with a sentence on each table.
    """
    parts = [_read_one(path, images, schema or CHEXPERT, say) for path in tables]
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def chexpert_tables(folder: Path) -> list[Path]:
    """The training and the validation table of a folder, those that exist."""
    found = [path for name in ("train.csv", "valid.csv") if (path := folder / name).is_file()]
    return found or [find_table(folder, None, ["*chexpert*train*.csv*", "train*.csv*"], "CheXpert")]


def read_chexpert_test(
    table: Path, images: Path, *, schema: LabelSchema | None = None, say: Say = lambda text: None
) -> pd.DataFrame:
    """Reads the labels of CheXpert's test set, a row for each study, and gives them to every image of the study.

    Args:
        table: The table, with the column "Study" ("CheXpert-v1.0/test/patient64741/study1") or "Path".
        images: Folder of the images, with a folder for each study below it.
        schema: The findings wanted; the 14 by default.
        say: Called with a sentence on what was joined.

    Raises:
        TableError: The folder holds no image of any study.
    """
    source = read_any_columns(table)[0]
    column = source.header("Study", "Path") or source.required("Study")
    row_of = {_study(text): row for row, text in enumerate(source.columns[column])}
    files = [path for path in walk_images(images) if _study(path) in row_of]
    if not files:
        raise TableError(f"{images}: no image of the {counted(len(row_of), 'study')} of {table.name}")
    rows = [row_of[_study(path)] for path in files]
    say(f"{table.name}: {len(set(rows)):,} of {counted(len(row_of), 'study')} have images: {len(files):,}")
    names = tuple(str(Path(path).relative_to(images)) for path in files)
    columns = {header: tuple(texts[row] for row in rows) for header, texts in source.columns.items()}
    each = replace(source, lines=tuple(source.lines[row] for row in rows), columns=columns)
    return _table(each, names, images, schema or CHEXPERT, "chexpert-test")


def _read_one(path: Path, images: Path, schema: LabelSchema, say: Say) -> pd.DataFrame:
    source = read_any_columns(path)[0]
    say(f"{path.name}: {counted(len(source), 'image')}")
    part = "chexpert-valid" if "valid" in path.name else "chexpert-train"
    return _table(source, source.texts("Path"), images, schema, part)


def _table(source: CsvColumns, names: Sequence[str], images: Path, schema: LabelSchema, part: str) -> pd.DataFrame:
    headers = {finding: header for finding in schema.findings if (header := source.header(finding))}
    if not headers:
        source.required(schema.findings[0])
    columns = {
        "Image_name": tuple(names),
        "Patient_ID": tuple(map(_patient, names)),
        "Study": tuple(map(_study, names)),
    }
    for key, header in (("Sex", "Sex"), ("Age", "Age")):
        if own := source.header(header):
            columns[key] = source.columns[own]
    frontal, position = source.header("Frontal/Lateral"), source.header("AP/PA")
    if frontal and position:
        columns |= view_columns(source.columns[position], source.columns[frontal])[0]
    labels = {finding: label_column(source, header) for finding, header in headers.items()}
    return canonical_table(source, columns, labels, images, part, schema)


def _patient(path: str) -> str:
    return next((part for part in path_key(path) if _PATIENT.fullmatch(part)), "")


def _study(path: str) -> str:
    study = next((part for part in path_key(path) if _STUDY.fullmatch(part)), "")
    return f"{_patient(path)}/{study}" if study else ""
