"""Which findings imply and which exclude each other, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zoo.core.errors import EvaluationError


@dataclass(frozen=True)
class Rules:
    """The rules that coherent findings obey.

    Attributes:
        children: Parent -> the findings that imply it: P(child) <= P(parent). A finding has one parent at most.
        normal: The finding that excludes the others: P(normal) + P(other) <= 1. "" if there is no such finding.
        beside_normal: Findings that `normal` does not exclude.

    Raises:
        ValueError: A finding has two parents, is its own ancestor, or has two of these roles.

    >>> rules = Rules({"Lung Opacity": ("Edema",)}, normal="No Finding")
    >>> rules.above("Edema"), rules.excluded(["Edema", "No Finding"])
    (['Lung Opacity'], ['Edema'])
    """

    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    normal: str = ""
    beside_normal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        listed = [child for children in self.children.values() for child in children]
        for name in listed:
            if listed.count(name) > 1:
                raise EvaluationError(f"rules: {name!r} has two parents, a finding has one at most")
            if name in self.above(name):
                raise EvaluationError(f"rules: {name!r} is above itself")
        for name in (self.normal, *self.beside_normal):
            if name in listed or name in self.children:
                raise EvaluationError(f"rules: {name!r} cannot be a parent or a child, being normal or beside it")

    def above(self, finding: str) -> list[str]:
        """Lists the parent of `finding`, the parent's parent and so on."""
        parent_of = {child: parent for parent, children in self.children.items() for child in children}
        found: list[str] = []
        while (parent := parent_of.get(found[-1] if found else finding)) is not None and parent not in found:
            found.append(parent)
        return found

    def excluded(self, findings: Sequence[str]) -> list[str]:
        """Lists those of `findings` that `normal` excludes; none where `normal` is not among them."""
        kept = (self.normal, *self.beside_normal)
        return [name for name in findings if name not in kept] if self.normal in findings else []

    def skipped(self, findings: Sequence[str]) -> list[str]:
        """Describes the rules that need a finding which is not among `findings`."""
        rules = [(parent, child) for parent, children in self.children.items() for child in children]
        lost = [f"{parent} >= {child}" for parent, child in rules if not {parent, child} <= set(findings)]
        alone = [f"{self.normal} excludes the others"] if self.normal and not self.excluded(findings) else []
        return lost + alone


#: After the hierarchy of CheXpert (Irvin et al. 2019).
CHEXPERT_RULES = Rules(
    children={
        "Lung Opacity": ("Edema", "Consolidation", "Pneumonia", "Lung Lesion", "Atelectasis"),
        "Enlarged Cardiomediastinum": ("Cardiomegaly",),
    },
    normal="No Finding",
    beside_normal=("Support Devices",),
)
