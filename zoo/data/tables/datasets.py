"""The data sets that can be read, by name: a row for each, with the module that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from zoo.core.counting import counted
from zoo.data.tables.chexpert import chexpert_tables, read_chexpert, read_chexpert_test
from zoo.data.tables.competition import competition_files, read_competition
from zoo.data.tables.mimic import read_mimic
from zoo.data.tables.nih import nih_files, read_nih
from zoo.data.tables.openi import read_openi
from zoo.data.tables.padchest import read_padchest
from zoo.data.tables.plain import csv_file, read_csv_table
from zoo.data.tables.public import find_table, one_file
from zoo.data.tables.rsna import read_rsna
from zoo.data.tables.siim import read_siim
from zoo.data.tables.spec import TableSpec
from zoo.data.tables.vinbig import Merge, read_vinbig
from zoo.labels.findings import CHEXPERT, NIH, NIH_DEBATABLE, LabelSchema


@dataclass(frozen=True)
class Files:
    """What is to be read.

    Attributes:
        folder: Folder of the data set.
        table: Its table, if it was named.
        images: Its folder of images, if it was named.
        schema: The findings to read; None for all that a plain CSV has.
        columns: The names of columns, for a plain CSV.
        say: Called with each sentence on what was understood.
    """

    folder: Path
    table: Path | None = None
    images: Path | None = None
    schema: LabelSchema | None = None
    columns: TableSpec = field(default_factory=TableSpec)
    say: Callable[[str], None] = lambda text: None


#: Reads a data set into a canonical table with labels 1, 0, -1 (uncertain) and NaN.
Read: TypeAlias = Callable[[Files], pd.DataFrame]


@dataclass(frozen=True)
class Dataset:
    """One kind of data set.

    Attributes:
        title: Its name and reference.
        files: What its folder holds, in words.
        read: Reads it.
        schema: Mapping of its labels to the 14 findings; None if it has findings of its own.
        tables: Patterns of the names of its tables, by which a folder is recognised.
    """

    title: str
    files: str
    read: Read
    schema: LabelSchema | None
    tables: tuple[str, ...]


def _csv(files: Files) -> pd.DataFrame:
    findings = files.schema.findings if files.schema is not None else None
    table = files.table or csv_file(files.folder)
    return read_csv_table(table, files.images, columns=files.columns, findings=findings, say=files.say)


def _competition(files: Files) -> pd.DataFrame:
    csv, images = competition_files(files.folder, files.table, files.images)
    return read_competition(csv, images, uncertain="keep", schema=files.schema)


def _nih(files: Files) -> pd.DataFrame:
    return read_nih(*nih_files(files.folder, files.table, files.images), schema=files.schema)


def _both(files: Files) -> pd.DataFrame:
    """Both divisions; an image is named with its folder, since their names may be equal. Patients are shared."""
    parts = []
    for division in ("train1", "train2"):
        csv, images = competition_files(files.folder, files.folder / f"{division}.csv", files.images)
        part = read_competition(csv, images, uncertain="keep", schema=files.schema)
        parts.append(part.assign(Image_name=[f"{division}/{name}" for name in part["Image_name"]]))
        patients = part["Patient_ID"].nunique()
        files.say(f"{csv.name}: {counted(len(part), 'image')} of {counted(patients, 'patient')}")
    shared = set(parts[0]["Patient_ID"].dropna()) & set(parts[1]["Patient_ID"].dropna())
    files.say(
        f"{counted(len(shared), 'patient is', 'patients are')} in both divisions; a split keeps their images together"
    )
    return pd.concat(parts, ignore_index=True)


def _images(files: Files, *names: str) -> Path:
    """The folder of images: the given one, the first of these names that exists, or the data set's folder."""
    return files.images or next((path for name in names if (path := files.folder / name).is_dir()), files.folder)


def _chexpert(files: Files) -> pd.DataFrame:
    tables = [files.table] if files.table else chexpert_tables(files.folder)
    return read_chexpert(tables, _images(files), schema=files.schema, say=files.say)


def _chexpert_test(files: Files) -> pd.DataFrame:
    table = find_table(files.folder, files.table, _TEST, "CheXpert's test labels")
    return read_chexpert_test(table, _images(files, "test"), schema=files.schema, say=files.say)


def _mimic(labeller: str) -> Read:
    def read(files: Files) -> pd.DataFrame:
        images = _images(files, "files")
        return read_mimic(files.folder, images, labeller, table=files.table, schema=files.schema, say=files.say)

    return read


def _padchest(files: Files) -> pd.DataFrame:
    table = find_table(files.folder, files.table, _PADCHEST, "PadChest")
    return read_padchest(table, _images(files, "images"), schema=files.schema, say=files.say)


def _vinbig(merge: Merge) -> Read:
    def read(files: Files) -> pd.DataFrame:
        table = find_table(files.folder, files.table, _VINBIG, "VinDr-CXR")
        images = _images(files, "train", "images")
        return read_vinbig(table, images, merge=merge, schema=files.schema, say=files.say)

    return read


def _rsna(files: Files) -> pd.DataFrame:
    table = find_table(files.folder, files.table, _RSNA, "RSNA")
    return read_rsna(table, _images(files, "stage_2_train_images"), schema=files.schema, say=files.say)


def _siim(files: Files) -> pd.DataFrame:
    table = find_table(files.folder, files.table, _SIIM, "SIIM")
    return read_siim(table, _images(files, "dicom-images-train"), schema=files.schema, say=files.say)


def _openi(files: Files) -> pd.DataFrame:
    reports = files.table or one_file(files.folder, "NLMCXR_reports*.tgz", "NLMCXR_reports*.tar.gz")
    folder = next((path for name in ("ecgen-radiology", "reports") if (path := files.folder / name).is_dir()), None)
    return read_openi(reports or folder or files.folder, _images(files, "images"), schema=files.schema, say=files.say)


_TEST = ("groundtruth.csv", "test_labels.csv", "*test*labels*.csv", "test.csv")
_PADCHEST = ("PADCHEST_*.csv*",)
_VINBIG = ("vinbigdata-train*.csv*", "image_labels_train.csv", "annotations_train.csv", "train.csv")
_RSNA = ("stage_2_train_labels.csv*", "*stage_2_train_labels.csv*")
_SIIM = ("train-rle.csv", "siim*rle*.csv*", "*rle*.csv*")


#: Name of `--dataset` -> the data set.
DATASETS: Mapping[str, Dataset] = {
    "csv": Dataset("any table with a column of images and labels", "a CSV, or a folder with one", _csv, None, ()),
    "competition": Dataset(
        "Grand X-Ray Slam, Division B or A",
        "train2.csv and train2/, or train1.csv and train1/",
        _competition,
        CHEXPERT,
        ("train1.csv", "train2.csv"),
    ),
    "nih": Dataset(
        "NIH ChestX-ray14 (Wang et al. 2017)", "Data_Entry*.csv and images*/", _nih, NIH, ("Data_Entry*.csv",)
    ),
    "nih-debatable": Dataset(
        "NIH ChestX-ray14 with a wider mapping", "Data_Entry*.csv and images*/", _nih, NIH_DEBATABLE, ()
    ),
    "competition-both": Dataset(
        "Grand X-Ray Slam, both divisions", "train1.csv, train1/, train2.csv and train2/", _both, CHEXPERT, ()
    ),
    "chexpert": Dataset(
        "CheXpert (Irvin et al. 2019)", "train.csv and valid.csv, those that exist", _chexpert, CHEXPERT, ()
    ),
    "chexpert-test": Dataset(
        "labels of CheXpert's test set, a row a study",
        "groundtruth.csv or test_labels.csv",
        _chexpert_test,
        CHEXPERT,
        (),
    ),
    "mimic-chexpert": Dataset(
        "MIMIC-CXR-JPG (Johnson et al. 2019), CheXpert's labeller",
        "mimic-cxr-*-chexpert.csv.gz, -metadata.csv.gz and files/",
        _mimic("chexpert"),
        CHEXPERT,
        ("mimic-cxr-*-chexpert.csv*",),
    ),
    "mimic-negbio": Dataset(
        "MIMIC-CXR-JPG, NegBio's labeller",
        "mimic-cxr-*-negbio.csv.gz, -metadata.csv.gz and files/",
        _mimic("negbio"),
        CHEXPERT,
        ("mimic-cxr-*-negbio.csv*",),
    ),
    "padchest": Dataset("PadChest (Bustos et al. 2020)", "PADCHEST_*.csv", _padchest, CHEXPERT, _PADCHEST),
    "vindr": Dataset(
        "VinDr-CXR (Nguyen et al. 2022) and VinBigData, by the majority of an image's readers",
        "train.csv, image_labels_train.csv or annotations_train.csv",
        _vinbig("majority"),
        CHEXPERT,
        _VINBIG[:3],
    ),
    "vindr-any": Dataset("the same, by at least one reader", "the same", _vinbig("any"), CHEXPERT, ()),
    "vindr-all": Dataset("the same, by all readers", "the same", _vinbig("all"), CHEXPERT, ()),
    "rsna": Dataset(
        "RSNA Pneumonia Detection (Shih et al. 2019)",
        "stage_2_train_labels.csv, perhaps stage_2_detailed_class_info.csv",
        _rsna,
        CHEXPERT,
        _RSNA[:1],
    ),
    "siim": Dataset("SIIM-ACR Pneumothorax (2019)", "train-rle.csv", _siim, CHEXPERT, _SIIM[:2]),
    "openi": Dataset(
        "OpenI, Indiana University (Demner-Fushman et al. 2016)",
        "NLMCXR_reports.tgz or ecgen-radiology/",
        _openi,
        CHEXPERT,
        ("NLMCXR_reports*", "ecgen-radiology"),
    ),
}


def recognise(data: Path) -> str:
    """The name of the data set in a folder or file, by the names of its tables; "csv" for any other.

    Example:
        >>> recognise(Path("no/such/folder"))
        'csv'
    """
    tables: Sequence[Path] = [data] if data.is_file() else sorted(data.iterdir()) if data.is_dir() else []
    for name, dataset in DATASETS.items():
        if any(table.match(pattern) for table in tables for pattern in dataset.tables):
            return name
    return "csv"


def described() -> str:
    """The names with what each reads, for help.

    Example:
        >>> described().partition(";")[0]
        'csv: any table with a column of images and labels (a CSV, or a folder with one)'
    """
    return "; ".join(f"{name}: {dataset.title} ({dataset.files})" for name, dataset in DATASETS.items())
