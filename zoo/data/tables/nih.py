"""NIH ChestX-ray14 (Wang et al. 2017): `Data_Entry*.csv` with one or several folders `images*/`."""

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
    """Reads NIH's table into the canonical form, its labels mapped on ours by `schema`.

    A finding that NIH labels is 1 when one of its names is in the row's list and 0 otherwise; a finding that NIH does
    not label is NaN, never 0. "No Finding" is 1 only where it is the whole field; it means none of NIH's own 14.
    A blank field or "nan" is unknown in every finding.

    Args:
        csv: The table; of either release (2017 with ages such as "058Y", or v2020).
        images: The image folder, or several.
        schema: The mapping; `findings.NIH` by default, `findings.NIH_DEBATABLE` for the wider one.

    Raises:
        TableError: A missing column, a label that is not NIH's, a repeated image; names file, line and column.
        FileNotFoundError: No such file or folder.
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
    # Every image of the set is frontal (Wang et al. 2017); the position says PA or AP.
    return table.assign(ViewCategory=pd.Series(["Frontal"] * len(table), dtype=object))


def nih_files(folder: Path, labels: Path | None, images: Path | None) -> tuple[Path, list[Path]]:
    """The table and the image folders in `folder`; what is given is taken as given.

    Raises:
        TableError: No table, more than one, or no image folder; says what was looked for.
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
