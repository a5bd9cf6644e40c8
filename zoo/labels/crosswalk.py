"""From the findings of one data set or model to those of another: what is the same, debatable, or not said.

Names are compared without case and punctuation. The table covers NIH ChestX-ray14 (Wang et al. 2017), CheXpert (Irvin
et al. 2019), PadChest (Bustos et al. 2020), VinDr-CXR (Nguyen et al. 2022) and TorchXRayVision (Cohen et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.core.csv import same_name
from zoo.core.errors import UsageError
from zoo.labels.uncertain import UNCERTAIN


@dataclass(frozen=True)
class Pair:
    """One way to say a finding with other findings.

    Attributes:
        target: The finding.
        sources: It is present if one of these is, and absent if all of these are.
        use: "always"; "debatable" for use on request only; "never" for what seems alike and is not.
        reason: Why.
    """

    target: str
    sources: tuple[str, ...]
    use: Literal["always", "debatable", "never"]
    reason: str


#: A pair with one source holds in both directions, unless it is never used.
PAIRS: tuple[Pair, ...] = (
    Pair("Pleural Effusion", ("Effusion",), "always", "two names of one finding"),
    Pair("Edema", ("Pulmonary edema",), "always", "two names of one finding"),
    Pair("Fibrosis", ("Pulmonary fibrosis",), "always", "two names of one finding"),
    Pair("Infiltration", ("Infiltrates",), "always", "two names of one finding"),
    Pair("Mass", ("Pulmonary mass",), "always", "two names of one finding"),
    Pair("Nodule/Mass", ("Nodule", "Mass"), "always", "VinDr labels both in one finding"),
    Pair("Hernia", ("Hiatal hernia",), "debatable", "NIH's Hernia is any of the diaphragm, nearly always hiatal"),
    Pair("No Finding", ("Normal",), "debatable", "each set means that none of its own findings is there"),
    Pair("Lung Lesion", ("Nodule", "Mass"), "debatable", "CheXpert's label also takes in cavities and other lesions"),
    Pair("Lung Lesion", ("Nodule/Mass",), "debatable", "CheXpert's label also takes in cavities and other lesions"),
    Pair("Pleural Other", ("Pleural thickening",), "debatable", "it also takes in scars, plaques and fibrothorax"),
    Pair("Lung Opacity", ("Infiltration",), "debatable", "it also takes in consolidation, edema, atelectasis, lesions"),
    Pair("Lung Opacity", ("Consolidation",), "never", "a part of it: absent consolidation leaves other opacities"),
    Pair("Enlarged Cardiomediastinum", ("Cardiomegaly",), "never", "a part of it: the mediastinum may be wide alone"),
    Pair("Fracture", ("Rib fracture", "Clavicle fracture"), "never", "absent ones leave fractures of other bones"),
    Pair("Pneumonia", ("Infiltration",), "never", "a sign that other diseases have as well"),
    Pair("ILD", ("Fibrosis",), "never", "an interstitial disease need not be fibrosis"),
)


@dataclass(frozen=True, eq=False)
class Crossed:
    """Labels in another schema.

    Attributes:
        values: float32 (n, k) labels of the target findings, NaN for what the source does not say.
        taken: Target finding -> the source findings it was taken from.
        missing: Target findings that the source does not say.
        unused: Source findings that no target finding was taken from.
        reasons: Sentences on debatable pairs that were used, and on pairs that were not.
    """

    values: np.ndarray
    taken: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    reasons: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """Says what was compared and what was left out."""
        renamed = [f"{f} from {' or '.join(own)}" for f, own in self.taken.items() if own != (f,)]
        found = [f"findings in common: {', '.join(self.taken) or 'none'}"]
        found += [f"findings taken from others: {', '.join(renamed)}"] if renamed else []
        found += [f"findings that the labels say nothing of, left out: {', '.join(self.missing)}"] * bool(self.missing)
        found += [f"labelled findings that were not used: {', '.join(self.unused)}"] * bool(self.unused)
        return (*found, *self.reasons)


def cross(labels: np.ndarray, source: Sequence[str], target: Sequence[str], *, debatable: bool = False) -> Crossed:
    """Brings labels into another schema.

    Args:
        labels: (n, j) of 1, 0, -1 (uncertain) and NaN.
        source: The j findings of the labels.
        target: The k findings that are wanted.
        debatable: Whether to use debatable pairs too.

    Raises:
        UsageError: The labels do not have a column for each finding.

    Example:
        >>> found = cross(np.array([[1, 0, 0]]), ["Effusion", "Nodule", "Mass"], ["Pleural Effusion", "Lung Lesion"])
        >>> found.values.tolist(), found.missing, found.unused
        ([[1.0, nan]], ('Lung Lesion',), ('Nodule', 'Mass'))
    """
    values = np.asarray(labels, np.float32)
    if values.ndim != 2 or values.shape[1] != len(source):
        raise UsageError(f"labels must be (rows, {len(source)}), got {values.shape}")
    column = {same_name(finding): j for j, finding in enumerate(source)}
    taken: dict[str, tuple[str, ...]] = {}
    reasons: list[str] = []
    out = np.full((len(values), len(target)), np.nan, np.float32)
    for k, finding in enumerate(target):
        own, why = _sources(finding, column, debatable)
        reasons += [why] if why else []
        if own:
            places = [column[same_name(name)] for name in own]
            taken[finding] = tuple(source[j] for j in places)
            out[:, k] = _union(values[:, places])
    used = {name for names in taken.values() for name in names}
    missing = tuple(finding for finding in target if finding not in taken)
    return Crossed(out, taken, missing, tuple(f for f in source if f not in used), tuple(reasons))


def _sources(finding: str, column: Mapping[str, int], debatable: bool) -> tuple[tuple[str, ...], str]:
    """The findings that say this one, and a sentence on a pair that is debatable or not to be used."""
    if same_name(finding) in column:
        return (finding,), ""
    refused = ""
    for pair in sorted(_ways(finding), key=lambda pair: ("always", "debatable", "never").index(pair.use)):
        if not all(same_name(name) in column for name in pair.sources):
            continue
        sources = " or ".join(pair.sources)
        if pair.use == "always":
            return pair.sources, ""
        if pair.use == "debatable" and debatable:
            return pair.sources, f"{finding} from {sources} is debatable: {pair.reason}"
        refused = refused or f"{finding} is not taken from {sources}: {pair.reason}"
    return (), refused


def _ways(finding: str) -> list[Pair]:
    name = same_name(finding)
    back = [
        Pair(pair.sources[0], (pair.target,), pair.use, pair.reason)
        for pair in PAIRS
        if len(pair.sources) == 1 and pair.use != "never"
    ]
    return [pair for pair in (*PAIRS, *back) if same_name(pair.target) == name]


def _union(values: np.ndarray) -> np.ndarray:
    """1 where one is 1, else uncertain where one is, else unknown where one is, else 0."""
    options = [(values == 1).any(1), (values == UNCERTAIN).any(1), np.isnan(values).any(1)]
    return np.select(options, [1.0, UNCERTAIN, np.nan], 0.0).astype(np.float32)
