"""Reads VinDr-CXR (Nguyen et al. 2022) and VinBigData's competition: several readers' labels, merged by a rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns, same_name
from zoo.core.dialects import read_any_columns
from zoo.core.errors import TableError
from zoo.data.tables.public import canonical_table, first_rows, label_column
from zoo.labels.findings import LabelSchema

#: How the labels of an image's readers become one: more than half of them, at least one, or all.
Merge: TypeAlias = Literal["majority", "any", "all"]

#: Finding -> VinDr's classes that mean it, by the names of their definitions (Nguyen et al. 2022, table 1).
MAPPING: Mapping[str, tuple[str, ...]] = {
    "Atelectasis": ("Atelectasis",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Consolidation": ("Consolidation",),
    "Edema": ("Edema",),
    "Fracture": ("Rib fracture", "Clavicle fracture"),
    "Lung Lesion": ("Nodule/Mass", "Lung tumor"),
    "Lung Opacity": ("Lung Opacity", "Infiltration", "Consolidation"),
    "No Finding": ("No finding",),
    "Pleural Effusion": ("Pleural effusion",),
    "Pleural Other": ("Pleural thickening",),
    "Pneumonia": ("Pneumonia",),
    "Pneumothorax": ("Pneumothorax",),
}

#: The classes of VinBigData's table; a class that it does not have is unknown there, not negative.
VINBIG = frozenset(
    (
        *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration"),
        *("Lung Opacity", "No finding", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening"),
        *("Pneumothorax", "Pulmonary fibrosis"),
    )
)


def read_vinbig(
    table: Path,
    images: Path,
    *,
    merge: Merge = "majority",
    schema: LabelSchema | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Reads a table of boxes (image_id, class_name, rad_id) or of labels (image_id, perhaps rad_id, a column a class).

    Each reader's labels are mapped to findings, then the readers of an image are merged. No patient is stated.

    Args:
        table: train.csv of VinBigData, or image_labels_*.csv or annotations_*.csv of VinDr-CXR.
        images: Folder of the images.
        merge: See `Merge`.
        schema: The findings wanted; the 14 by default.
        say: Called with sentences on readers and disagreement.

    Raises:
        TableError: A class or a label is not understood.
    """
    source = read_any_columns(table)[0]
    reader = source.header("rad_id", "rad_ID")
    images_of, readers = source.texts("image_id"), source.columns[reader] if reader else ("",) * len(source)
    keys = list(zip(images_of, readers, strict=True))
    votes = _from_boxes(source, keys) if source.header("class_name") else _from_columns(source, keys)
    names = list(dict.fromkeys(images_of))
    of: dict[str, list[str]] = defaultdict(list)
    for image, own in dict.fromkeys(keys):
        of[image].append(own)
    labels, disputed = {}, 0
    for finding, positive in votes.items():
        share = np.array([sum((image, own) in positive for own in of[image]) / len(of[image]) for image in names])
        disputed += int(((share > 0) & (share < 1)).sum())
        labels[finding] = _MERGED[merge](share).astype(np.float32)
    counts = Counter(len(own) for own in of.values())
    number = ", ".join(f"{n:,} by {k}" for k, n in sorted(counts.items()))
    say(f"{table.name}: images by number of readers: {number}; merged by {merge}, {disputed:,} labels were disputed")
    each = CsvColumns(source.path, tuple(source.lines[row] for row in first_rows(images_of).values()), {})
    columns = {
        "Image_name": tuple(names),
        "ViewCategory": ("Frontal",) * len(names),
        "ViewPosition": ("PA",) * len(names),
    }
    return canonical_table(each, columns, labels, images, "vindr", schema)


_MERGED: Mapping[Merge, Callable[[np.ndarray], np.ndarray]] = {
    "majority": lambda share: share > 0.5,
    "any": lambda share: share > 0,
    "all": lambda share: share == 1,
}


def _from_boxes(source: CsvColumns, keys: list[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """Finding -> the (image, reader) pairs that mark it."""
    known = {same_name(name): name for names in (*MAPPING.values(), VINBIG) for name in names}
    classes = source.texts("class_name")
    for row, text in enumerate(classes):
        if same_name(text) not in known:
            raise source.error(row, "class_name", f"unknown class {text!r}; VinDr's are {', '.join(sorted(VINBIG))}")
    local = VINBIG | {known[same_name(text)] for text in set(classes)}
    spoken = {finding: local & set(names) for finding, names in MAPPING.items()}
    meant = [known[same_name(text)] for text in classes]
    pairs = list(zip(keys, meant, strict=True))
    return {f: {key for key, own in pairs if own in names} for f, names in spoken.items() if names}


def _from_columns(source: CsvColumns, keys: list[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    votes: dict[str, set[tuple[str, str]]] = {}
    for finding, names in MAPPING.items():
        headers = [header for name in names if (header := source.header(name))]
        if headers:
            marked = np.any([label_column(source, header) == 1 for header in headers], axis=0)
            votes[finding] = {key for key, own in zip(keys, marked, strict=True) if own}
    if not votes:
        raise TableError(f"{source.path}: neither a column 'class_name' nor columns of VinDr's classes")
    return votes
