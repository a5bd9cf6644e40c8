"""Reads the competition's table: `train2.csv` with folder `train2/` (Division B), or `train1.csv` (Division A)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns, read_columns
from zoo.core.errors import TableError, UsageError
from zoo.core.paths import file_name
from zoo.core.warn import warn_user
from zoo.data.tables.canonical import build_table
from zoo.labels import facts
from zoo.labels.findings import CHEXPERT, LabelSchema

#: Training images of Division B that no decoder opens; the original solution excludes them too.
KNOWN_BROKEN = ("00043046_001_001.jpg", "00052495_001_001.jpg", "00056890_001_001.jpg")

#: What -1 becomes; "keep" leaves the mark, so that a recipe's rules for each finding can replace it in training.
Uncertain: TypeAlias = Literal["nan", "zero", "one", "keep"]

_FACTS = ("Image_name", "Patient_ID", "Study", "Sex", "Age", "ViewCategory", "ViewPosition")
_UNCERTAIN = {"nan": np.nan, "zero": 0.0, "one": 1.0, "keep": -1.0}
_DIVISIONS = ("train2", "train1")


def read_competition(
    csv: str | Path, images: str | Path, *, uncertain: Uncertain = "nan", schema: LabelSchema | None = None
) -> pd.DataFrame:
    """Reads the competition's table into the canonical form.

    Columns are found by name, with spaces or underscores; other columns are ignored with a warning. A label is 1, 0, -1
    (uncertain, as in CheXpert, Irvin et al. 2019), or blank or "NaN" (unknown). "Source" names the archive of each
    image by its file name (`facts.archives`) if both archives are in the table.

    Args:
        csv: Path of the table.
        images: Folder of the images.
        uncertain: Replacement of -1: NaN, 0 or 1; "keep" leaves -1. A blank label is always NaN.
        schema: Findings to read; all 14 by default.

    Raises:
        TableError: A column is missing, a label has another value, or an image is repeated; names file and line.
        FileNotFoundError: The file or folder does not exist.
    """
    if uncertain not in _UNCERTAIN:
        raise UsageError(f"uncertain must be one of {', '.join(map(repr, _UNCERTAIN))}, got {uncertain!r}")
    schema = schema or CHEXPERT
    source = read_columns(csv)
    source.required("Image_name")
    labels = {finding: _labels(source, finding, schema, _UNCERTAIN[uncertain]) for finding in schema.findings}
    _note_columns(source, schema)
    sources = facts.archives([file_name(name) for name in source.texts("Image_name")]) or "competition"
    return build_table(source, {fact: fact for fact in _FACTS}, labels, [images], sources)


def competition_files(folder: Path, labels: Path | None, images: Path | None) -> tuple[Path, Path]:
    """Returns the table and the image folder in `folder`, Division B before A; given paths are returned unchanged.

    Raises:
        TableError: Neither division is in the folder; states which files were expected.
    """
    for division in [labels.stem] if labels and labels.stem in _DIVISIONS else _DIVISIONS:
        csv, found = labels or folder / f"{division}.csv", images or folder / division
        if csv.is_file() and found.is_dir():
            return csv, found
    wanted = " or ".join(f"{labels or name + '.csv'} with {images or name}/" for name in _DIVISIONS)
    there = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing: it is empty"
    raise TableError(f"{folder}: expected {wanted}, found {there} (a table of your own is read with --dataset csv)")


def _labels(source: CsvColumns, finding: str, schema: LabelSchema, uncertain: float) -> np.ndarray:
    own = [name for name, ours in schema.aliases.items() if ours == finding and source.header(name) is not None]
    column = own[0] if own and source.header(finding) is None else finding
    # Each of the few distinct texts is parsed once, then looked up for each row.
    texts = source.texts(column)
    meaning = {text: facts.label(text) for text in set(texts)}
    for row, text in enumerate(texts):
        if meaning[text] is None:
            raise source.error(row, column, f"a label is 0, 1, -1 or blank, got {text!r}")
    labels = np.array([meaning[text] for text in texts], np.float32)
    return np.where(labels == -1, np.float32(uncertain), labels)


def _note_columns(source: CsvColumns, schema: LabelSchema) -> None:
    known = {source.header(name) for name in (*_FACTS, *schema.findings, *schema.aliases)}
    extra = [name for name in source.columns if name not in known]
    absent = [name for name in _FACTS if source.header(name) is None]
    if extra:
        warn_user(f"{source.path}: left out columns {', '.join(map(repr, extra))}")
    if absent:
        warn_user(f"{source.path}: no columns {', '.join(map(repr, absent))}; they stay empty")
