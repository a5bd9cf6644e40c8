"""The canonical form of label tables: the competition's columns, then one column per finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns
from zoo.core.warn import warn_user
from zoo.data.images.locating import Located, locate_images
from zoo.labels import facts as facts_of

#: Columns before the findings, in order.
COLUMNS = (
    "Image_path",
    "Image_name",
    "Patient_ID",
    "Study",
    "Sex",
    "Age",
    "ViewCategory",
    "ViewPosition",
    "Source",
)


def build_table(
    source: CsvColumns,
    columns: Mapping[str, str],
    labels: Mapping[str, np.ndarray],
    folders: Sequence[str | Path],
    sources: str | Sequence[str],
    *,
    located: Located | None = None,
) -> pd.DataFrame:
    """Brings the rows of a file into the canonical form; missing facts are NaN.

    A warning counts the ages and sexes that were not understood, which become NaN.

    Args:
        source: Contents of the file.
        columns: Canonical name -> column of the file. Only "Image_name" must be in the file.
        labels: Finding -> float32 (n,) of 1, 0 and NaN.
        folders: Folders of the images, searched with all their subfolders.
        sources: Value of "Source": one for all rows, or one per row.
        located: The images, if they were already found.

    Raises:
        TableError: An image name is blank, repeated, or matches two images.
        FileNotFoundError: A folder does not exist.
    """
    names = source.texts(columns["Image_name"])
    check_names(source, columns["Image_name"], names)
    images = located or locate_images(names, folders, source.path.name)
    for note in (*images.notes, *filter(None, [images.unused])):
        warn_user(note)
    texts = {key: _texts(source, own) for key, own in columns.items()}
    sexes, ages = facts_of.sexes(texts["Sex"]), facts_of.ages(texts["Age"])
    for note in (*sexes.notes(columns["Sex"]), *ages.notes(columns["Age"])):
        warn_user(f"{source.path}: {note}")
    facts: dict[str, Sequence[object] | np.ndarray] = {key: _known(found) for key, found in texts.items()}
    facts |= {
        "Patient_ID": [text if facts_of.names_patient(text) else np.nan for text in texts["Patient_ID"]],
        "Sex": [sex or np.nan for sex in sexes.values],
        "Age": ages.values,
        "Image_name": names,
        "Image_path": images.paths,
        "Source": [sources] * len(names) if isinstance(sources, str) else sources,
    }
    blank = [np.nan] * len(names)
    frame = {key: pd.Series(list(facts.get(key, blank)), dtype=float if key == "Age" else object) for key in COLUMNS}
    return pd.DataFrame(frame | {finding: pd.Series(column) for finding, column in labels.items()})


def check_names(source: CsvColumns, column: str, names: Sequence[str]) -> None:
    """Raises a `TableError` that names the line of the first blank or repeated name of an image."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if not name:
            raise source.error(row, column, "blank")
        if name in first:
            same = all(texts[row] == texts[first[name]] for texts in source.columns.values())
            kind = "with the same values" if same else "with other values"
            line = source.lines[first[name]]
            raise source.error(row, column, f"{name!r} is on line {line} already, {kind}; keep one of the two rows")
        first[name] = row


def _texts(source: CsvColumns, own: str) -> Sequence[str]:
    header = source.header(own)
    return source.columns[header] if header is not None else ("",) * len(source)


def _known(texts: Sequence[str]) -> list[object]:
    return [np.nan if facts_of.is_unknown(text) else text for text in texts]
