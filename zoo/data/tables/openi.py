"""Reads OpenI, the Indiana University collection (Demner-Fushman et al. 2016): reports as XML, coded with MeSH."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.core.errors import TableError
from zoo.data.tables.public import canonical_table, listed, one_file
from zoo.data.tables.views import view_columns
from zoo.labels.findings import LabelSchema

#: Finding -> the beginnings of the codes that people gave ("Opacity/lung/upper lobe"), up to a "/". Every report is
#: coded, so a finding that no code names is negative. Enlarged Cardiomediastinum has no code of its own.
MAPPING: Mapping[str, tuple[str, ...]] = {
    "Atelectasis": ("Pulmonary Atelectasis",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Consolidation": ("Consolidation",),
    "Edema": ("Pulmonary Edema",),
    "Fracture": ("Fractures, Bone",),
    "Lung Lesion": ("Nodule/lung", "Mass/lung"),
    "Lung Opacity": ("Opacity/lung", "Opacity/pulmonary alveoli", "Infiltrate", "Airspace Disease", "Consolidation"),
    "No Finding": ("normal",),
    "Pleural Effusion": ("Pleural Effusion", "Hydropneumothorax", "Hemothorax", "Hemopneumothorax"),
    "Pleural Other": ("Thickening/pleura", "Nodule/pleura"),
    "Pneumonia": ("Pneumonia",),
    "Pneumothorax": ("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"),
    "Support Devices": ("Catheters, Indwelling", "Tube, Inserted", "Medical Device", "Implanted Medical Device"),
}

#: Codes that say that nothing was coded: the report's labels are unknown.
_UNCODED = frozenset(("No Indexing", "Technical Quality of Image Unsatisfactory"))

#: A report is some 10 kB; a larger file is none.
_LARGEST = 10**6


def read_openi(
    reports: Path, images: Path, *, schema: LabelSchema | None = None, say: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Reads a row for each image of each report, with the report's codes mapped by `MAPPING`.

    A report is one study of one patient. The views come from nlmcxr_dicom_metadata.csv, if it is beside the reports.

    Args:
        reports: NLMCXR_reports.tgz, or the folder with its XML files.
        images: Folder of the images (CXR1_1_IM-0001-3001.png).
        schema: The findings wanted; the 14 by default.
        say: Called with sentences on the reports.

    Raises:
        TableError: A report is no XML, or there is none.
    """
    rows: list[tuple[str, str, frozenset[str] | None]] = []
    unknown = without = count = 0
    for name, text in _texts(reports):
        uid, codes, own_images = _report(name, text)
        speaks = bool(codes) and {code.partition("/")[0] for code in codes}.isdisjoint(_UNCODED)
        count, unknown, without = count + 1, unknown + (not speaks), without + (not own_images)
        rows += [(image, uid, codes if speaks else None) for image in own_images]
    if not rows:
        raise TableError(f"{reports}: no report with an image (*.xml)")
    say(
        f"{reports.name}: {count:,} reports with {counted(len(rows), 'image')}; {without:,} reports without an image; "
        f"{unknown:,} were not coded and are unknown"
    )
    names, uids, codes_of = zip(*rows, strict=True)
    own = {code for codes in codes_of if codes for code in codes}
    meant = {finding: tuple(code for code in own if _begins(code, starts)) for finding, starts in MAPPING.items()}
    columns = {"Image_name": names, "Patient_ID": uids, "Study": uids, **_views(reports.parent, list(names))}
    source = CsvColumns(reports, tuple(range(1, len(rows) + 1)), {})
    return canonical_table(source, columns, listed(list(codes_of), meant), images, "openi", schema)


def _texts(reports: Path) -> Iterator[tuple[str, bytes]]:
    if reports.is_dir():
        for path in sorted(reports.rglob("*.xml")):
            yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(reports) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.name.endswith(".xml") else None
                if file is not None and member.size <= _LARGEST:
                    yield member.name, file.read()
    except tarfile.TarError as error:
        raise TableError(f"{reports}: neither an archive of reports nor a folder of them ({error})") from None


def _report(name: str, text: bytes) -> tuple[str, frozenset[str], list[str]]:
    """Identifier, codes and images of one report."""
    if b"<!ENTITY" in text:  # a report defines none; a hostile file would expand them without end
        raise TableError(f"{name}: not a report of OpenI: it defines XML entities")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise TableError(f"{name}: not a report in XML ({error})") from None
    uid = root.find("uId")
    codes = frozenset((node.text or "").strip() for node in root.findall(".//MeSH/major")) - {""}
    images = [image.attrib.get("id", "") for image in root.findall(".//parentImage")]
    return uid.attrib.get("id", "") if uid is not None else name, codes, [image for image in images if image]


def _begins(code: str, starts: tuple[str, ...]) -> bool:
    return any(code == start or code.startswith(f"{start}/") for start in starts)


def _views(folder: Path, images: list[str]) -> dict[str, tuple[str, ...]]:
    path = one_file(folder, "nlmcxr_dicom_metadata.csv*")
    if path is None:
        return {}
    source = read_any_columns(path)[0]
    of = dict(zip(source.texts("imageid"), source.texts("View Position"), strict=True))
    return view_columns([of.get(image, "") for image in images])[0]
