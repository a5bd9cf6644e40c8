"""The 14 findings, in the order that every array uses, and the mapping of other data sets' labels to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zoo.core.errors import UnknownNameError

#: The 14 CheXpert findings (Irvin et al. 2019), alphabetical: the column order of every label and output array.
FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)


@dataclass(frozen=True)
class LabelSchema:
    """The findings that a data set labels, and the mapping of its own label names to them.

    Attributes:
        name: Name of the schema, as saved in a release.
        findings: Names in array order.
        aliases: Label name of the data set -> one of `findings`.

    Example:
        >>> NIH.translate("Effusion"), NIH.index("Edema")
        ('Pleural Effusion', 3)
    """

    name: str
    findings: tuple[str, ...] = FINDINGS
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for finding in self.aliases.values():
            self.index(finding)

    def index(self, finding: str) -> int:
        """Returns the column of `finding`; raises `UnknownNameError` with the closest name if there is none."""
        if finding not in self.findings:
            raise UnknownNameError("finding", finding, self.findings)
        return self.findings.index(finding)

    def translate(self, own_name: str) -> str | None:
        """Returns the finding of one of the data set's labels, or None if the schema has no such finding."""
        if own_name in self.findings:
            return own_name
        return self.aliases.get(own_name)


CHEXPERT = LabelSchema("chexpert-14")

#: NIH ChestX-ray14's own 14 findings (Wang et al. 2017), alphabetical, in its own spelling.
NIH_FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)

#: NIH ChestX-ray14 mapped to the 14 CheXpert findings; findings that NIH does not label are unknown (NaN).
NIH = LabelSchema("nih-on-chexpert-14", aliases={"Effusion": "Pleural Effusion"})

#: The same mapping with debatable entries, which are used on request only.
NIH_DEBATABLE = LabelSchema(
    "nih-on-chexpert-14-debatable",
    aliases={
        "Effusion": "Pleural Effusion",
        "Mass": "Lung Lesion",
        "Nodule": "Lung Lesion",
        "Pleural_Thickening": "Pleural Other",
        "Infiltration": "Lung Opacity",
    },
)


def check_findings(findings: Iterable[str], schema: LabelSchema = CHEXPERT) -> tuple[str, ...]:
    """Returns `findings` as a tuple, or raises `UnknownNameError` for the first one that is not in `schema`.

    Example:
        >>> check_findings(["Edema"])
        ('Edema',)
    """
    names = tuple(findings)
    for name in names:
        schema.index(name)
    return names
