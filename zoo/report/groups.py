"""Whom the model serves less well: the section on subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.report.forest import Row, forest
from zoo.report.layout import Chart, Section, Table, listed, named, spoken

_ID, _TITLE = "subgroups", "Subgroups"

#: Metric, up to its operating point -> what it is called.
NAMES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ece": "Calibration error",
    "calibration_in_the_large": "Observed less predicted",
}


def section(metrics: Mapping[str, Any]) -> Section:
    """What `subgroups.subgroups` found, as forest plots and tables, the largest gaps named."""
    block = metrics.get("subgroups")
    if not block or not block["groupings"]:
        return Section(
            _ID, _TITLE, absent="The films came without sex, age, view or source, so no groups are compared."
        )
    words = (
        f"A finding with fewer than {block['min_positives']} positive or {block['min_negatives']} negative films in a "
        "group is not shown there. The interval of a gap allows for the choice of the two groups among all pairs, but "
        f"not for the choice of the finding. Calls are made at {named(block['point'])}.",
    )
    groupings = block["groupings"]
    return Section(
        _ID,
        _TITLE,
        words=words,
        notes=tuple(note for name, grouping in groupings.items() for note in _notes(name, grouping)),
        charts=tuple(
            _chart(f"subgroups-{i}", name, grouping, block["all"])
            for i, (name, grouping) in enumerate(groupings.items(), 1)
        ),
        tables=tuple(
            table
            for name, grouping in groupings.items()
            for table in (_table(name, grouping, block["all"]), _gap_table(name, grouping), _by_finding(name, grouping))
            if table is not None
        ),
    )


def title(metric: str) -> str:
    """What a metric is called, with its operating point if it has one."""
    name, _, point = metric.partition("@")
    return NAMES.get(name, name) + (f" at {named(point)}" if point else "")


def _notes(name: str, grouping: Mapping[str, Any]) -> list[str]:
    notes = []
    largest = grouping["gaps"]["auc"]["largest"]
    if largest is None:
        notes.append(f"By {name}: no two groups are large enough to be compared.")
    else:
        shown = "" if _leaves_out_0(largest) else ", which the data do not tell from none"
        notes.append(
            f"By {name}, the largest gap in AUC is that of {largest['finding']}: {largest['higher']} above "
            f"{largest['lower']} by {spoken(largest)}{shown}."
        )
    within = grouping["within"]
    if within and within["between"]["value"] is not None:
        notes.append(
            f"By {name}: mean AUC inside the groups is {spoken(within['macro']['auc'])}, over everybody "
            f"{spoken(within['pooled'])}; {spoken(within['between'])} comes from telling the groups apart."
        )
    if grouping["unknown"]:
        notes.append(f"By {name}: unknown for {grouping['unknown']:,} films.")
    return notes


def _chart(file: str, name: str, grouping: Mapping[str, Any], everybody: Mapping[str, Any]) -> Chart:
    groups = {"everybody": everybody, **grouping["groups"]}
    metrics = list(everybody["macro"])
    rows = [Row("Mean over findings", {group: block["macro"]["auc"] for group, block in groups.items()})]
    for finding in [*everybody["findings"], *everybody["refused"]]:
        numbers = {group: block["findings"].get(finding, {}).get("auc") for group, block in groups.items()}
        rows.append(Row(finding, numbers))
    panels = forest("AUC", "AUC", rows, reference=0.5)
    for metric in metrics[1:]:
        means = Row("Mean over findings", {group: block["macro"][metric] for group, block in groups.items()})
        reference = 0.0 if metric == "calibration_in_the_large" else None
        panels += forest(title(metric), title(metric), [means], reference=reference)
    words = "Points are values, lines their intervals. A mean is over the findings that the group is large enough for."
    return Chart(file, f"By {name}", panels, words, columns=3)


def _table(name: str, grouping: Mapping[str, Any], everybody: Mapping[str, Any]) -> Table:
    groups = {"everybody": everybody, **grouping["groups"]}
    metrics = list(everybody["macro"])
    rows = [
        (
            group,
            block["n"],
            *(block["macro"][metric] for metric in metrics),
            listed(list(block["refused"])) or "none",
        )
        for group, block in groups.items()
    ]
    head = (name, "Films", *(title(metric) for metric in metrics), "Too few films for")
    return Table(f"Means over findings by {name}", head, tuple(rows))


def _gap_table(name: str, grouping: Mapping[str, Any]) -> Table | None:
    rows = []
    for metric, gaps in grouping["gaps"].items():
        for what, gap in (("mean over findings", gaps["macro"]), ("largest", gaps["largest"])):
            if gap is not None:
                finding = gap.get("finding", what)
                higher, lower = gap["higher"], gap["lower"]
                rows.append(
                    (title(metric), finding, gap, higher, gap["values"][higher], lower, gap["values"][lower], gap["n"])
                )
    if not rows:
        return None
    head = ("Metric", "Finding", "Gap", "Higher", "Its value", "Lower", "Its value", "n")
    return Table(f"Gaps by {name}: of the mean, and the largest of any finding", head, tuple(rows))


def _by_finding(name: str, grouping: Mapping[str, Any]) -> Table | None:
    gaps = grouping["gaps"]
    findings = gaps["auc"]["findings"]
    if not findings:
        return None
    groups = grouping["groups"]
    rows = [
        (
            finding,
            *(_auc(block, finding) for block in groups.values()),
            gap,
            f"{gap['higher']} above {gap['lower']}",
        )
        for finding, gap in findings.items()
    ]
    head = ("Finding", *(f"AUC, {group}" for group in groups), "Largest gap", "Between")
    return Table(f"AUC by finding and {name}", head, tuple(rows), folded=True)


def _auc(block: Mapping[str, Any], finding: str) -> Any:
    return block["findings"][finding]["auc"] if finding in block["findings"] else "too few"


def _leaves_out_0(number: Mapping[str, Any]) -> bool:
    return number["low"] is not None and not number["low"] <= 0 <= number["high"]
