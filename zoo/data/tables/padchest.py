"""Reads PadChest (Bustos et al. 2020): PADCHEST_chest_x_ray_images_labels_160K_*.csv, with lists of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.data.tables.plain_columns import split_list
from zoo.data.tables.public import canonical_table, listed
from zoo.data.tables.views import view_columns
from zoo.labels.findings import LabelSchema

#: Finding -> PadChest's labels that mean it, after its tree of radiographic findings (Bustos et al. 2020, appendix).
MAPPING: Mapping[str, tuple[str, ...]] = {
    "Atelectasis": (
        *("atelectasis", "laminar atelectasis", "lobar atelectasis", "segmental atelectasis", "atelectasis basal"),
        *("total atelectasis", "round atelectasis"),
    ),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation", "air bronchogram"),
    "Edema": ("pulmonary edema",),
    "Enlarged Cardiomediastinum": ("mediastinal enlargement", "superior mediastinal enlargement"),
    "Fracture": (
        *("fracture", "rib fracture", "callus rib fracture", "clavicle fracture", "humeral fracture"),
        "vertebral fracture",
    ),
    "Lung Lesion": ("nodule", "multiple nodules", "pulmonary mass", "lung metastasis"),
    "Lung Opacity": (
        *("infiltrates", "interstitial pattern", "reticular interstitial pattern", "alveolar pattern"),
        *("reticulonodular interstitial pattern", "ground glass pattern", "miliary opacities", "consolidation"),
        *("air bronchogram", "increased density"),
    ),
    "No Finding": ("normal",),
    "Pleural Effusion": (
        *("pleural effusion", "loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax"),
        "empyema",
    ),
    "Pleural Other": (
        *("pleural thickening", "apical pleural thickening", "calcified pleural thickening", "pleural plaques"),
        *("calcified pleural plaques", "fissure thickening", "minor fissure thickening", "major fissure thickening"),
        "pleural mass",
    ),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Support Devices": (
        *("NSG tube", "endotracheal tube", "tracheostomy tube", "chest drain tube", "gastrostomy tube", "catheter"),
        *("central venous catheter", "central venous catheter via jugular vein", "nephrostomy tube", "pacemaker"),
        *("central venous catheter via subclavian vein", "central venous catheter via umbilical vein", "dai"),
        *("reservoir central venous catheter", "ventriculoperitoneal drain tube", "single chamber device"),
        *("dual chamber device", "electrical device", "artificial heart valve", "artificial mitral heart valve"),
        *("artificial aortic heart valve", "double J stent", "aortic endoprosthesis"),
    ),
}

#: Labels that say nothing of the findings: a row with no other label is unknown.
_SAY_NOTHING = frozenset(("unchanged", "suboptimal study"))

#: The authors' mark of images that should not be used; their labels are unknown.
_EXCLUDED = "exclude"


def read_padchest(
    table: Path, images: Path, *, schema: LabelSchema | None = None, say: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Reads PadChest, with its labels mapped by `MAPPING`.

    A row is unknown in all findings if its list is blank or empty, says only "unchanged" or "suboptimal study", or
    holds "exclude". The age is the year of the study minus the year of birth.

    Args:
        table: The table.
        images: Folder of the images, with or without PadChest's numbered subfolders.
        schema: The findings wanted; the 14 by default.
        say: Called with sentences on what is unknown and what is not mapped.
    """
    source = read_any_columns(table)[0]
    texts = source.texts("Labels")
    lists = {text: frozenset(split_list(text, ",")) for text in set(texts)}
    speaks = {text: bool(names - _SAY_NOTHING) and _EXCLUDED not in names for text, names in lists.items()}
    unknown, excluded = sum(not speaks[t] for t in texts), sum(_EXCLUDED in lists[t] for t in texts)
    say(
        f"{table.name}: {counted(len(source), 'image')}; {unknown:,} say nothing and are unknown, {excluded:,} of "
        "them 'exclude'"
    )
    used = {name for names in MAPPING.values() for name in names}
    others = Counter(name for text in texts for name in lists[text] - used)
    often = ", ".join(f"{name} ({n:,})" for name, n in others.most_common(5))
    say(f"{table.name}: {len(others):,} labels mean none of the 14 findings, most often {often}")
    labels = listed([lists[text] if speaks[text] else None for text in texts], MAPPING)
    columns = {
        "Image_name": source.texts("ImageID"),
        "Patient_ID": source.texts("PatientID"),
        "Study": source.texts("StudyID"),
        "Sex": source.texts("PatientSex_DICOM"),
        "Age": _ages(source),
        **view_columns(source.texts("Projection"))[0],
    }
    return canonical_table(source, columns, labels, images, "padchest", schema)


def _ages(source: CsvColumns) -> tuple[str, ...]:
    pairs = zip(source.texts("StudyDate_DICOM"), source.texts("PatientBirth"), strict=True)
    return tuple(
        str(int(study[:4]) - int(float(birth)))
        if re.fullmatch(r"\d{8}", study) and re.fullmatch(r"\d{4}(\.0)?", birth) and study[:4] >= birth[:4]
        else ""
        for study, birth in pairs
    )
