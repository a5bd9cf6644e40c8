"""Results by subgroup: the numbers of each group, and the largest gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.evaluation.result.numbers import Estimate, Estimates, Measure, Resampling


@dataclass(frozen=True)
class Refused:
    """Counts of a finding that is not evaluated in a group because the group has too few images.

    Attributes:
        n: Number of known labels in the group.
        positives: Number of positive labels in the group.
    """

    n: int
    positives: int


@dataclass(frozen=True)
class Group:
    """Numbers of one group.

    Attributes:
        n: Number of images.
        findings: Finding -> its numbers.
        macro: Means over the findings in `findings`.
        refused: Finding with too few labels in this group -> its counts.
    """

    n: int
    findings: Mapping[str, Estimates]
    macro: Estimates
    refused: Mapping[str, Refused]


@dataclass(frozen=True)
class Gap(Estimate):
    """Difference between the two groups that are furthest apart; its value is never negative.

    Attributes:
        higher: Name of the group with the higher number.
        lower: Name of the group with the lower number.
        values: Group -> its number, for these two groups.
        pairs: Number of pairs of groups that these two were chosen from.
        level: Confidence level, adjusted for that choice (Bonferroni).
    """

    higher: str
    lower: str
    values: Mapping[str, Estimate]
    pairs: int
    level: float


@dataclass(frozen=True)
class MeanGap(Gap):
    """Gap of the mean over the findings that both groups have.

    Attributes:
        findings: Number of findings in the mean.
        of: Number of all findings.
        left_out: Findings that are not in the mean.
    """

    findings: int
    of: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _OfFinding:
    finding: str


@dataclass(frozen=True)
class LargestGap(Gap, _OfFinding):
    """Largest gap among all findings.

    Attributes:
        finding: Name of the finding with this gap.
    """


@dataclass(frozen=True)
class Gaps:
    """Gaps of one measure between groups.

    Attributes:
        findings: Finding -> its largest gap; findings that fewer than two groups have are absent.
        macro: Gap of the mean; None if no two groups share a finding.
        largest: Largest of `findings`; None if `findings` is empty.
    """

    findings: Mapping[str, Gap]
    macro: MeanGap | None
    largest: LargestGap | None


@dataclass(frozen=True)
class Within:
    """AUC within groups, which does not profit from differences between the groups.

    Attributes:
        findings: Finding -> mean AUC over groups, weighted by the number of pairs of images compared in each.
        macro: Mean over findings.
        pooled: Mean AUC of all images on the same findings.
        between: `pooled` minus `macro`: the part of the AUC that comes from telling the groups apart.
    """

    findings: Mapping[str, Estimates]
    macro: Estimates
    pooled: Estimate
    between: Estimate


@dataclass(frozen=True)
class Grouping:
    """Results of all groups of one kind, such as sex.

    Attributes:
        groups: Group -> its numbers.
        gaps: Measure -> gaps between groups.
        within: AUC within groups; None if no group has both classes of a finding.
        unknown: Number of images whose group is unknown.
    """

    groups: Mapping[str, Group]
    gaps: Mapping[Measure, Gaps]
    within: Within | None = field(metadata={"none": "empty"})
    unknown: int

    @property
    def auc(self) -> Gaps:
        """Gaps of the AUC."""
        return self.gaps[Measure("auc")]


@dataclass(frozen=True)
class Subgroups:
    """Result of `evaluation.subgroups`.

    Attributes:
        point: Operating point of sensitivity and specificity.
        min_positives: Minimum number of positive labels of a finding in a group.
        min_negatives: Minimum number of negative labels of a finding in a group.
        interval: Method of the confidence intervals.
        all: Numbers of all images together.
        groupings: Grouping, such as "sex" -> its groups.
    """

    point: str
    min_positives: int
    min_negatives: int
    interval: Resampling
    all: Group
    groupings: Mapping[str, Grouping]
