"""The section on performance in subgroups."""

from __future__ import annotations

from zoo.core.counting import counted
from zoo.evaluation.result import Evaluation, Measure
from zoo.evaluation.result.groups import Group, Grouping, LargestGap
from zoo.report.forest import Row, forest
from zoo.report.layout import Cell, Chart, Section, Table, listed, named, spoken

_ID, _TITLE = "subgroups", "Subgroups"

_AUC = Measure("auc")

#: Measure -> its title.
NAMES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ece": "Calibration error",
    "calibration_in_the_large": "Observed minus predicted",
}


def section(result: Evaluation) -> Section:
    """The section with forest plots and tables of each group, and the largest gaps between groups."""
    block = result.subgroups
    if block is None or not block.groupings:
        return Section(_ID, _TITLE, absent="The images have no sex, age, view or source, so no groups are compared.")
    words = (
        f"A finding with fewer than {block.min_positives} positive or {block.min_negatives} negative images in a "
        "group is not shown there. The interval of a gap is corrected for choosing the two groups among all pairs, but "
        f"not for choosing the finding. Calls are made at {named(block.point)}.",
    )
    groupings = block.groupings
    return Section(
        _ID,
        _TITLE,
        words=words,
        notes=tuple(note for name, grouping in groupings.items() for note in _notes(name, grouping)),
        charts=tuple(
            _chart(f"subgroups-{i}", name, grouping, block.all)
            for i, (name, grouping) in enumerate(groupings.items(), 1)
        ),
        tables=tuple(
            table
            for name, grouping in groupings.items()
            for table in (_table(name, grouping, block.all), _gap_table(name, grouping), _by_finding(name, grouping))
            if table is not None
        ),
    )


def title(measure: Measure) -> str:
    """The title of a measure, with its operating point if it has one.

    >>> title(Measure("ece"))
    'Calibration error'
    """
    return NAMES.get(measure.name, measure.name) + (f" at {named(measure.point)}" if measure.point else "")


def _notes(name: str, grouping: Grouping) -> list[str]:
    notes = []
    largest = grouping.auc.largest
    if largest is None:
        notes.append(f"By {name}: no two groups are large enough to be compared.")
    else:
        shown = ", which is not significantly different from 0" if largest.includes(0) else ""
        shown = shown if largest.has_interval else ", which are too few images to tell"
        notes.append(
            f"By {name}, the largest gap in AUC is that of {largest.finding}: {largest.higher} above "
            f"{largest.lower} by {spoken(largest)}{shown}."
        )
    within = grouping.within
    if within and within.between.value is not None:
        notes.append(
            f"By {name}: the mean AUC is {spoken(within.macro.auc)} within the groups and {spoken(within.pooled)} over "
            f"all images; the difference, {spoken(within.between)}, comes from distinguishing the groups."
        )
    if grouping.unknown:
        notes.append(f"By {name}: unknown for {counted(grouping.unknown, 'image')}.")
    return notes


def _chart(file: str, name: str, grouping: Grouping, everybody: Group) -> Chart:
    groups = {"everybody": everybody, **grouping.groups}
    rows = [Row("Mean over findings", {group: block.macro.auc for group, block in groups.items()})]
    for finding in [*everybody.findings, *everybody.refused]:
        numbers = {
            group: block.findings[finding].auc if finding in block.findings else None for group, block in groups.items()
        }
        rows.append(Row(finding, numbers))
    panels = forest("AUC", "AUC", rows, reference=0.5)
    for measure in [measure for measure in everybody.macro if measure != _AUC]:
        means = Row("Mean over findings", {group: block.macro.get(*measure) for group, block in groups.items()})
        reference = 0.0 if measure.name == "calibration_in_the_large" else None
        panels += forest(title(measure), title(measure), [means], reference=reference)
    words = "Points are values, lines are intervals. Means are over the findings with enough images in the group."
    return Chart(file, f"By {name}", panels, words, columns=3)


def _table(name: str, grouping: Grouping, everybody: Group) -> Table:
    groups = {"everybody": everybody, **grouping.groups}
    measures = list(everybody.macro)
    rows: list[tuple[Cell, ...]] = [
        (
            group,
            block.n,
            *(block.macro.get(*measure) for measure in measures),
            listed(list(block.refused)) or "none",
        )
        for group, block in groups.items()
    ]
    head = (name, "Images", *(title(measure) for measure in measures), "Too few images for")
    errors = [i for i, measure in enumerate(measures, 2) if measure.name == "ece"]
    return Table(f"Means over findings by {name}", head, tuple(rows), errors=errors)


def _gap_table(name: str, grouping: Grouping) -> Table | None:
    rows: list[tuple[Cell, ...]] = []
    for measure, gaps in grouping.gaps.items():
        for what, gap in (("mean over findings", gaps.macro), ("", gaps.largest)):
            if gap is not None:
                finding = gap.finding if isinstance(gap, LargestGap) else what
                ends = (gap.higher, gap.values[gap.higher], gap.lower, gap.values[gap.lower])
                rows.append((title(measure), finding, gap, *ends, gap.n))
    if not rows:
        return None
    head = ("Metric", "Finding", "Gap", "Higher", "Its value", "Lower", "Its value", "n")
    return Table(f"Gaps by {name}: in the mean, and the largest of any finding", head, tuple(rows))


def _by_finding(name: str, grouping: Grouping) -> Table | None:
    gaps = grouping.auc.findings
    if not gaps:
        return None
    groups = grouping.groups
    rows = [
        (
            finding,
            *(block.findings[finding].auc if finding in block.findings else "too few" for block in groups.values()),
            gap,
            f"{gap.higher} above {gap.lower}",
        )
        for finding, gap in gaps.items()
    ]
    head = ("Finding", *(f"AUC, {group}" for group in groups), "Largest gap", "Between")
    return Table(f"AUC by finding and {name}", head, tuple(rows), folded=True)
