"""The result by subgroup: each group's numbers, and the largest gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.evaluation.result.numbers import Estimate, Estimates, Measure, Resampling


@dataclass(frozen=True)
class Refused:
    """A finding that a group has too few images of.

    Attributes:
        n: Known labels in the group.
        positives: Positives among them.
    """

    n: int
    positives: int


@dataclass(frozen=True)
class Group:
    """One group's numbers.

    Attributes:
        n: Images.
        findings: Finding -> its numbers.
        macro: Means over the findings shown.
        refused: Findings that the group is too small for.
    """

    n: int
    findings: Mapping[str, Estimates]
    macro: Estimates
    refused: Mapping[str, Refused]


@dataclass(frozen=True)
class Gap(Estimate):
    """The difference between the two groups that are furthest apart; its value is never negative.

    Attributes:
        higher: The group with the higher number.
        lower: The other one.
        values: The number of each of the two.
        pairs: Pairs of groups that these two were chosen among.
        level: Confidence level, which allows for that choice (Bonferroni).
    """

    higher: str
    lower: str
    values: Mapping[str, Estimate]
    pairs: int
    level: float


@dataclass(frozen=True)
class MeanGap(Gap):
    """The same for the mean over the findings that both groups show.

    Attributes:
        findings: How many these are.
        of: How many findings there are.
        left_out: The others.
    """

    findings: int
    of: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _OfFinding:
    finding: str


@dataclass(frozen=True)
class LargestGap(Gap, _OfFinding):
    """The largest gap of any finding.

    Attributes:
        finding: The finding.
    """


@dataclass(frozen=True)
class Gaps:
    """The gaps of one measure.

    Attributes:
        findings: Finding -> its largest gap; without the findings that no two groups show.
        macro: The gap of the mean; None where no two groups share a finding.
        largest: The largest of `findings`, likewise.
    """

    findings: Mapping[str, Gap]
    macro: MeanGap | None
    largest: LargestGap | None


@dataclass(frozen=True)
class Within:
    """AUC inside the groups, where nothing can be gained by telling the groups apart.

    Attributes:
        findings: Finding -> its AUC, averaged over groups by the pairs of images that each compares.
        macro: The mean over findings.
        pooled: The mean AUC of everybody on the same findings.
        between: `pooled` less `macro`: what comes from telling the groups apart.
    """

    findings: Mapping[str, Estimates]
    macro: Estimates
    pooled: Estimate
    between: Estimate


@dataclass(frozen=True)
class Grouping:
    """All groups of one kind, such as sex.

    Attributes:
        groups: Name -> its numbers.
        gaps: Measure -> the gaps between groups.
        within: None where no group has both classes of a finding.
        unknown: Images whose group is not known.
    """

    groups: Mapping[str, Group]
    gaps: Mapping[Measure, Gaps]
    within: Within | None = field(metadata={"none": "empty"})
    unknown: int

    @property
    def auc(self) -> Gaps:
        """The gaps of the AUC."""
        return self.gaps[Measure("auc")]


@dataclass(frozen=True)
class Subgroups:
    """What `evaluation.subgroups` found.

    Attributes:
        point: Operating point of sensitivity and specificity.
        min_positives: A finding with fewer positives in a group is refused there.
        min_negatives: The same for negatives.
        interval: How the intervals were found.
        all: Everybody's numbers.
        groupings: Name of a grouping -> its groups.
    """

    point: str
    min_positives: int
    min_negatives: int
    interval: Resampling
    all: Group
    groupings: Mapping[str, Grouping]
