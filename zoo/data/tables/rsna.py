"""Reads the RSNA Pneumonia Detection Challenge (Shih et al. 2019): stage_2_train_labels.csv and what lies beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.core.errors import TableError
from zoo.data.tables.public import canonical_table, first_rows, label_column, one_file
from zoo.data.tables.views import view_columns
from zoo.labels.findings import LabelSchema

#: The classes of stage_2_detailed_class_info.csv.
_CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


def read_rsna(
    table: Path, images: Path, *, schema: LabelSchema | None = None, say: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Reads a row for each image: several boxes of an image are one label.

    "Target", an opacity that suggests pneumonia, is the label of Pneumonia and of Lung Opacity. With
    stage_2_detailed_class_info.csv beside the table, No Finding is its class "Normal", else it is unknown. The set's
    "patientId" names an image; who the patient is, tells pneumonia-challenge-dataset-mappings_2018.json (the name of
    the image at NIH), if it is there. Age, sex and view come from *dicom_headers.csv, if it is there.

    Args:
        table: stage_2_train_labels.csv.
        images: Folder of the images (stage_2_train_images).
        schema: The findings wanted; the 14 by default.
        say: Called with sentences on what was merged and found.

    Raises:
        TableError: Rows of an image contradict each other, or a class is unknown.
    """
    source = read_any_columns(table)[0]
    ids = source.texts("patientId")
    target = label_column(source, source.required("Target"))
    first = first_rows(ids)
    for row, image in enumerate(ids):
        if target[row] != target[first[image]]:
            raise source.error(
                row, "Target", f"{image!r} is {target[first[image]]:g} on line {source.lines[first[image]]}"
            )
    say(
        f"{table.name}: {len(source):,} rows of {counted(len(first), 'image')}; several boxes of an image are one label"
    )
    rows = list(first.values())
    own = target[rows]
    labels = {"Pneumonia": own, "Lung Opacity": own}
    details = one_file(table.parent, "stage_2_detailed_class_info.csv*")
    if details is not None:
        labels["No Finding"] = _normal(read_any_columns(details)[0], list(first))
    each = CsvColumns(source.path, tuple(source.lines[row] for row in rows), {})
    columns = {
        "Image_name": tuple(first),
        **_patients(table.parent, list(first), say),
        **_headers(table.parent, list(first)),
    }
    return canonical_table(each, columns, labels, images, "rsna", schema)


def _normal(source: CsvColumns, images: list[str]) -> np.ndarray:
    texts = source.texts("class")
    for row, text in enumerate(texts):
        if text not in _CLASSES:
            raise source.error(row, "class", f"unknown class {text!r}; RSNA's are {', '.join(_CLASSES)}")
    of = dict(zip(source.texts("patientId"), texts, strict=True))
    return np.array([float(of[image] == "Normal") if image in of else np.nan for image in images], np.float32)


def _patients(folder: Path, images: list[str], say: Callable[[str], None]) -> dict[str, tuple[str, ...]]:
    path = one_file(folder, "*dataset-mappings*.json")
    if path is None:
        say("no *dataset-mappings*.json: the patients are unknown, and images of one person cannot be kept together")
        return {}
    try:
        entries = json.loads(path.read_text("utf-8"))
        of = {str(entry["subset_img_id"]): str(entry["img_id"]).partition("_")[0] for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: not the mapping of RSNA's images to NIH's ({type(error).__name__})") from None
    say(
        f"{path.name}: names the patient of {sum(image in of for image in images):,} of {counted(len(images), 'image')}"
    )
    return {"Patient_ID": tuple(of.get(image, "") for image in images)}


def _headers(folder: Path, images: list[str]) -> dict[str, tuple[str, ...]]:
    path = one_file(folder, "*dicom_headers.csv*")
    if path is None:
        return {}
    source = read_any_columns(path)[0]
    row_of = {name.removesuffix(".dcm"): row for row, name in enumerate(source.texts("Filename"))}
    texts = {
        key: tuple(own[row_of[i]] if i in row_of else "" for own in [source.texts(header)] for i in images)
        for key, header in (("Sex", "PatientSex"), ("Age", "PatientAge"), ("ViewPosition", "ViewPosition"))
    }
    return texts | view_columns(texts["ViewPosition"])[0]
