"""Codes of findings in DICOM objects, each with its source; a finding without a verified code has a private one.

Three sources are used, in this order:

- PS3.16, the context groups of the DICOM standard: SNOMED CT codes of DICOM's own subset and DICOM's own codes (DCM),
  as pydicom 3.0.2 lists them (`pydicom.sr._concepts_dict`, generated from the standard).
- RadLex 4.3, read in two published mappings that state to have been compared with RadLex and that agree with each
  other. RadLex itself was not at hand: have these codes checked before they enter a terminology server.
- The private coding scheme 99XRAYZOO, where neither has a concept of the same scope that could be verified.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.core.files import content_key

#: Designator of the private coding scheme of this package (PS3.16, 8.2: private designators begin with 99).
PRIVATE = "99XRAYZOO"

#: Longest Code Value (0008,0100), a Short String.
_LONGEST = 16

_SUBSET = "PS3.16, CID {}"
_RADLEX = "RadLex 4.3, second-hand: two published mappings agree"


@dataclass(frozen=True)
class Coded:
    """A code of a finding.

    Attributes:
        value: Code Value (0008,0100).
        scheme: Coding Scheme Designator (0008,0102): "SCT", "DCM", "RADLEX" or `PRIVATE`.
        meaning: Code Meaning (0008,0104).
        source: Where the code was read.
        site: Anatomical site that narrows the concept to the finding: its SNOMED CT code and meaning, or None.
    """

    value: str
    scheme: str
    meaning: str
    source: str
    site: tuple[str, str] | None = None


_LUNG = ("39607008", "Lung")

#: Finding -> its code. Findings that are not here have a private code.
CODES: dict[str, Coded] = {
    "Atelectasis": Coded("RID28493", "RADLEX", "atelectasis", _RADLEX),
    "Consolidation": Coded("RID43255", "RADLEX", "consolidation", _RADLEX),
    "Edema": Coded("19242006", "SCT", "Pulmonary edema", _SUBSET.format(3700)),
    "Fracture": Coded("RID4650", "RADLEX", "fracture", _RADLEX),
    "Lung Lesion": Coded("52988006", "SCT", "Lesion", _SUBSET.format(7151), _LUNG),
    "Lung Opacity": Coded("112001", "DCM", "Opacity", _SUBSET.format(6102), _LUNG),
    "Pleural Effusion": Coded("60046008", "SCT", "Pleural effusion", _SUBSET.format(8134)),
    "Pneumonia": Coded("RID5350", "RADLEX", "pneumonia", _RADLEX),
    "Pneumothorax": Coded("36118008", "SCT", "Pneumothorax", _SUBSET.format(6102)),
    # NIH ChestX-ray14's other findings.
    "Effusion": Coded("60046008", "SCT", "Pleural effusion", _SUBSET.format(8134)),
    "Emphysema": Coded("RID4799", "RADLEX", "emphysema", _RADLEX),
    "Fibrosis": Coded("112674009", "SCT", "Fibrosis", _SUBSET.format(6335), _LUNG),
    "Infiltration": Coded("112121", "DCM", "Infiltrate", _SUBSET.format(6102), _LUNG),
    "Mass": Coded("4147007", "SCT", "Mass", _SUBSET.format(6102), _LUNG),
    "Nodule": Coded("27925004", "SCT", "Nodule", _SUBSET.format(6102), _LUNG),
}


def code_of(finding: str) -> Coded:
    """Returns the code of a finding.

    Args:
        finding: Name of the finding, as in a release.

    Returns:
        Its entry in `CODES`; otherwise a private code that follows from the name alone.

    Example:
        >>> code_of("Pneumothorax").value, code_of("Cardiomegaly").value, code_of("Cardiomegaly").scheme
        ('36118008', 'CARDIOMEGALY', '99XRAYZOO')
    """
    if finding in CODES:
        return CODES[finding]
    return Coded(private_value(finding), PRIVATE, finding[:64] or "unnamed", "private: no code was verified")


def private_value(name: str) -> str:
    """Returns the Code Value of a name in the private scheme, at most 16 characters; long names end in a hash.

    Example:
        >>> private_value("No Finding"), private_value("Enlarged Cardiomediastinum")
        ('NO_FINDING', 'ENLARGED_-361c34')
    """
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    if plain and "_" not in name and len(plain) <= _LONGEST and plain == name.upper().replace(" ", "_"):
        return plain
    return f"{plain[:9]}-{content_key(name, 6)}"
