"""NIH ChestX-ray14 (Wang et al. 2017): `Data_Entry*.csv` with one or several folders `images*/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns, read_columns
from zoo.core.errors import TableError, closest
from zoo.data.tables.canonical import build_table
from zoo.labels.facts import is_unknown
from zoo.labels.findings import NIH, NIH_FINDINGS, LabelSchema

#: NIH's own names, as "Finding Labels" holds them, joined by "|".
NIH_LABELS = tuple(sorted((*NIH_FINDINGS, "No Finding")))

_COLUMNS = {
    "Image_name": "Image Index",
    "Patient_ID": "Patient ID",
    "Study": "Follow-up #",
    "Sex": "Patient Gender",
    "Age": "Patient Age",
    "ViewPosition": "View Position",
}
_FIELD = "Finding Labels"


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
    rows = _label_sets(source)
    names: dict[str, set[str]] = {finding: set() for finding in schema.findings}
    for label in NIH_LABELS:
        ours = schema.translate(label)
        if ours is not None:
            names[ours].add(label)
    labels = {finding: _column(rows, own) for finding, own in names.items()}
    folders = [images] if isinstance(images, str | Path) else list(images)
    table = build_table(source, _COLUMNS, labels, folders, "nih")
    # Every film of the set is frontal (Wang et al. 2017); the position says PA or AP.
    return table.assign(ViewCategory=pd.Series(["Frontal"] * len(table), dtype=object))


def nih_files(folder: Path, labels: Path | None, images: Path | None) -> tuple[Path, list[Path]]:
    """The table and the image folders in `folder`; what is given is taken as given.

    Raises:
        TableError: No table, more than one, or no image folder; says what was looked for.
    """
    tables = [labels] if labels else sorted(folder.glob("Data_Entry*.csv"))
    if len(tables) != 1:
        found = ", ".join(p.name for p in tables) or "none"
        raise TableError(f"{folder}: expected one table Data_Entry*.csv, found {found}; name one with labels=")
    folders = [images] if images else sorted(p for p in folder.glob("images*") if p.is_dir())
    if not folders:
        raise TableError(f"{folder}: expected a folder images/ or images_*/, found none; name one with images=")
    return tables[0], folders


def _label_sets(source: CsvColumns) -> list[frozenset[str]]:
    texts = source.texts(_FIELD)
    # Nothing, or "nan", is no label at all: the row is unknown in every finding.
    sets = {
        text: frozenset() if is_unknown(text) else frozenset(part.strip() for part in text.split("|"))
        for text in set(texts)
    }
    bad = {text for text, found in sets.items() if _problem(found)}
    for row, text in enumerate(texts):
        if text in bad:
            raise source.error(row, _FIELD, _problem(sets[text]))
    return [sets[text] for text in texts]


def _problem(labels: frozenset[str]) -> str:
    unknown = sorted(labels.difference(NIH_LABELS))
    if unknown:
        near = closest(unknown[0], NIH_LABELS, n=1)
        return f"unknown NIH label {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if "No Finding" in labels and len(labels) > 1:
        return f"'No Finding' beside {', '.join(sorted(labels - {'No Finding'}))}"
    return ""


def _column(rows: Sequence[frozenset[str]], own: set[str]) -> np.ndarray:
    if not own:
        return np.full(len(rows), np.nan, np.float32)
    return np.array([not own.isdisjoint(labels) if labels else np.nan for labels in rows], np.float32)
