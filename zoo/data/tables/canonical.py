"""The one form every label table is brought into: the competition's columns, then one column per finding."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns
from zoo.core.joining import join, relative_path
from zoo.core.warn import warn_user
from zoo.data.images.listing import LeftOut, walk_images
from zoo.labels import facts as facts_of

#: Columns in front of the findings, in order.
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
) -> pd.DataFrame:
    """Brings the rows of a file into the canonical form, with gaps as NaN.

    A warning counts the ages and sexes that were not understood; they are gaps.

    Args:
        source: The file's text.
        columns: Canonical name -> the file's own name. Only "Image_name" has to be in the file.
        labels: Finding -> float32 (n,) of 1, 0 and NaN.
        folders: Where the images are, searched with all their subfolders.
        sources: Value of "Source", or one a row.

    Raises:
        TableError: A blank or repeated image name, or one that means two images.
        FileNotFoundError: A folder that is not there.
    """
    names = source.texts(columns["Image_name"])
    _check_names(source, columns["Image_name"], names)
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
        "Image_path": locate_images(names, folders, str(source.path)),
        "Source": [sources] * len(names) if isinstance(sources, str) else sources,
    }
    blank = [np.nan] * len(names)
    frame = {key: pd.Series(list(facts.get(key, blank)), dtype=float if key == "Age" else object) for key in COLUMNS}
    return pd.DataFrame(frame | {finding: pd.Series(column) for finding, column in labels.items()})


def locate_images(names: Sequence[str], folders: Sequence[str | Path], source: str = "the table") -> list[str]:
    """Absolute path of the image that each name means, among those in the folders and below them.

    Names are joined as `zoo.core.joining.join` says. A name that is nowhere gets the path it should have had in the
    first folder, which it cannot lead out of. Warnings say what was disregarded and which images have no name.

    Args:
        names: (n,) file names, paths or identifiers, each once.
        folders: Where the images are.
        source: What the names are from, for messages.

    Raises:
        FileNotFoundError: A folder that is not there.
        TableError: A name means two images, or two names mean one; shows both.
    """
    roots = [str(Path(folder).absolute()) for folder in folders]
    left_out = LeftOut()
    paths = list(dict.fromkeys(path for root in roots for path in walk_images(root, left_out)))
    found = join(names, paths, source=source, roots=roots, identity=os.path.realpath)
    for note in found.notes:
        warn_user(note)
    unused = found.unused(len(paths))
    if len(unused):
        some = f"{len(unused):,} of {len(paths):,} images have no row, first {paths[unused[0]]!r}"
        warn_user(f"{source}: left out, since {some}")
    if left_out.counts:
        warn_user(f"{', '.join(roots)}: left out {left_out}")
    nowhere = Path(roots[0])
    return [
        paths[row] if row >= 0 else str(nowhere / relative_path(name))
        for row, name in zip(found.rows, names, strict=True)
    ]


def _check_names(source: CsvColumns, column: str, names: Sequence[str]) -> None:
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
