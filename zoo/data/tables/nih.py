"""Reads NIH ChestX-ray14 (Wang et al. 2017): `Data_Entry*.csv` with one or several folders `images*/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import read_columns
from zoo.core.errors import TableError
from zoo.data.tables.canonical import build_table
from zoo.labels.findings import NIH, LabelSchema
from zoo.labels.listed import NIH_LABELS, read_listed

_COLUMNS = {
    "Image_name": "Image Index",
    "Patient_ID": "Patient ID",
    "Study": "Follow-up #",
    "Sex": "Patient Gender",
    "Age": "Patient Age",
    "ViewPosition": "View Position",
}


def read_nih(
    csv: str | Path, images: str | Path | Sequence[str | Path], *, schema: LabelSchema | None = None
) -> pd.DataFrame:
    """Reads NIH's table into the canonical form, with labels mapped to the zoo's findings by `schema`.

    A finding that NIH labels is 1 if one of its names is in the row's list and 0 otherwise; a finding that NIH does not
    label is NaN, never 0. "No Finding" is 1 only if it is the whole field; it means none of NIH's own 14 findings. A
    blank field or "nan" means that all findings are unknown.

    Args:
        csv: Path of the table, of either release (2017 with ages such as "058Y", or v2020).
        images: Image folder, or several.
        schema: Mapping of labels; `findings.NIH` by default, `findings.NIH_DEBATABLE` for a wider mapping.

    Raises:
        TableError: A column is missing, a label is not one of NIH's, or an image is repeated; names file and line.
        FileNotFoundError: A file or folder does not exist.
    """
    schema = schema or NIH
    source = read_columns(csv)
    listed = read_listed(source, "nih", exact=True)
    names: dict[str, set[str]] = {finding: set() for finding in schema.findings}
    for label in NIH_LABELS:
        ours = schema.translate(label)
        if ours is not None:
            names[ours].add(label)
    labels = {finding: _column(listed.labels(own), len(source)) for finding, own in names.items()}
    folders = [images] if isinstance(images, str | Path) else list(images)
    table = build_table(source, _COLUMNS, labels, folders, "nih")
    # All images of the data set are frontal (Wang et al. 2017); the view position is PA or AP.
    return table.assign(ViewCategory=pd.Series(["Frontal"] * len(table), dtype=object))


def nih_files(folder: Path, labels: Path | None, images: Path | None) -> tuple[Path, list[Path]]:
    """Returns the table and the image folders in `folder`; given paths are returned unchanged.

    Raises:
        TableError: There is no table, more than one, or no image folder; states which files were expected.
    """
    tables = [labels] if labels else sorted(folder.glob("Data_Entry*.csv"))
    if len(tables) != 1:
        found = ", ".join(p.name for p in tables) or "none"
        raise TableError(
            f"{folder}: expected one table Data_Entry*.csv, found {found}; leave one there "
            "(in Python, labels=FILE names one)"
        )
    folders = [images] if images else sorted(p for p in folder.glob("images*") if p.is_dir())
    if not folders:
        raise TableError(
            f"{folder}: expected a folder images/ or images_*/, found none (in Python, images=FOLDER names one)"
        )
    return tables[0], folders


def _column(labels: np.ndarray | None, rows: int) -> np.ndarray:
    return np.full(rows, np.nan, np.float32) if labels is None else labels.astype(np.float32)
