"""Names that data sets give to the columns that describe an image: identifiers, patient, split, age, sex, view."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.core.csv import same_name

IMAGE_IDS = ("Image Index", "Image_name", "Image", "Image ID", "File name", "File", "Image path", "Path", "DICOM ID")
IDS = (*IMAGE_IDS, "Study", "Study ID", "Accession number", "ID")
PATIENTS = (
    *("Patient ID", "Patient", "Subject ID", "Patienten-ID", "Patientennummer", "ID patient", "N° patient"),
    *("Numéro patient", "Paciente", "ID paciente", "Paziente"),
)
STUDIES = ("Study ID", "Study", "Study Instance UID", "Accession number", "Follow-up #")
SPLITS = ("Split", "Part", "Partition", "Subset")
FINDING_LABELS = "Finding Labels"

#: Not "Sexo": in Spanish tables of H and M the M is a woman ("mujer").
SEX = ("Sex", "Gender", "Patient Sex", "Patient Gender", "Geschlecht", "Sexe")
AGE = ("Age", "Patient Age", "Age years", "Alter", "Âge", "Edad", "Età")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "view": ("View Category", "Frontal/Lateral", "View"),
    "position": ("View Position", "AP/PA"),
    "source": ("Source", "Dataset"),
}
_OTHERS = ("Follow-up #", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", "Unnamed: 0", "Index")
_NAMES = (*IDS, *PATIENTS, *STUDIES, *SPLITS, FINDING_LABELS, *SEX, *AGE, *sum(GROUPS.values(), ()), *_OTHERS)
_FACTS = frozenset(map(same_name, _NAMES))


def is_fact(header: str) -> bool:
    """Whether a column describes the image (identifier, age, view) or has no name, so that it is not a finding.

    Example:
        >>> is_fact("Patient Age"), is_fact("Edema")
        (True, False)
    """
    return not header or same_name(header) in _FACTS
