"""The 14 findings in the one order every array uses, and how other data sets' labels map on them."""

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
    """Which findings a data set labels, and how its own label names read as ours.

    Attributes:
        name: Name of the schema, as saved in a release.
        findings: Names in array order.
        aliases: The data set's own spelling -> one of `findings`.
    """

    name: str
    findings: tuple[str, ...] = FINDINGS
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for finding in self.aliases.values():
            self.index(finding)

    def index(self, finding: str) -> int:
        """Column of `finding`; a `KeyError` with the closest name when there is none."""
        if finding not in self.findings:
            raise UnknownNameError("finding", finding, self.findings)
        return self.findings.index(finding)

    def translate(self, own_name: str) -> str | None:
        """Our name of one of the data set's labels, or None where the schema does not carry it."""
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

#: NIH ChestX-ray14 on the 14: what NIH does not label is unknown (NaN), never negative.
NIH = LabelSchema("nih-on-chexpert-14", aliases={"Effusion": "Pleural Effusion"})

#: The same with the debatable mappings, which a user has to ask for.
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
    """Returns `findings` as a tuple when each is in `schema`; raises `UnknownNameError` on the first that is not."""
    names = tuple(findings)
    for name in names:
        schema.index(name)
    return names
