"""Reads MIMIC-CXR-JPG (Johnson et al. 2019): the labels of CheXpert's or NegBio's labeller, joined to its metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.data.tables.public import canonical_table, find_table, label_column, one_file
from zoo.data.tables.views import view_columns
from zoo.labels.findings import CHEXPERT, LabelSchema


def read_mimic(
    folder: Path,
    images: Path,
    labeller: str,
    *,
    table: Path | None = None,
    schema: LabelSchema | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Reads a row for each image of the metadata, with the labels of its study; -1 stays, blanks are NaN.

    The tables have no sex and no age. The official split, if its file is there, is counted and not used.

    Args:
        folder: Folder of mimic-cxr-2.*-{chexpert,negbio,metadata,split}.csv.gz.
        images: Folder of the images (files/p10/p10000032/s50414267/<dicom_id>.jpg).
        labeller: "chexpert" or "negbio".
        table: The labels' table, if it was named.
        schema: The findings wanted; the 14 by default.
        say: Called with sentences on what was joined.

    Raises:
        TableError: The labels or the metadata are missing, or a label is not understood.
    """
    schema = schema or CHEXPERT
    labels = read_any_columns(find_table(folder, table, [f"mimic-cxr-*-{labeller}.csv*"], f"{labeller}'s labels"))[0]
    source = read_any_columns(find_table(folder, None, ["mimic-cxr-*-metadata.csv*"], "metadata"))[0]
    row_of = {study: row for row, study in enumerate(labels.texts("study_id"))}
    dicoms, subjects, studies = (source.texts(name) for name in ("dicom_id", "subject_id", "study_id"))
    rows = [row_of.get(study, -1) for study in studies]
    lacking = len({study for study, row in zip(studies, rows, strict=True) if row < 0})
    unused = len(row_of.keys() - set(studies))
    say(
        f"{source.path.name}: {counted(len(source), 'image')} of {counted(len(set(studies)), 'study')}; "
        f"{counted(lacking, 'study without labels is', 'studies without labels are')} unknown; "
        f"{counted(unused, 'labelled study has', 'labelled studies have')} no image"
    )
    _tell_split(folder, say)
    names = tuple(f"p{p[:2]}/p{p}/s{s}/{d}.jpg" for d, p, s in zip(dicoms, subjects, studies, strict=True))
    views = source.columns[source.header("ViewPosition") or source.required("ViewPosition")]
    columns = {"Image_name": names, "Patient_ID": subjects, "Study": studies, **view_columns(views)[0]}
    every = {f: _spread(labels, header, rows) for f in schema.findings if (header := labels.header(f))}
    return canonical_table(source, columns, every, images, "mimic", schema)


def _spread(labels: CsvColumns, header: str, rows: list[int]) -> np.ndarray:
    """The label of each image's study, NaN without one (row -1)."""
    return np.append(label_column(labels, header), np.float32(np.nan))[rows]


def _tell_split(folder: Path, say: Callable[[str], None]) -> None:
    path = one_file(folder, "mimic-cxr-*-split.csv*")
    if path is not None:
        counts = Counter(read_any_columns(path)[0].texts("split"))
        shown = ", ".join(f"{part} {n:,}" for part, n in counts.most_common())
        say(f"{path.name}: the official split ({shown}) is not used; --set split.by=... makes the run's own")
