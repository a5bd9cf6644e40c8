"""The section on operating points: their thresholds, where they come from, and what they are worth here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.report import curves
from zoo.report.layout import DASH, Cell, Section, Table, named

_ID, _TITLE = "points", "Operating points"

_UNKNOWN_SCALE = "Scores of unknown scale have no operating points."

_MEASURES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


def section(metrics: Mapping[str, Any]) -> Section:
    """Thresholds by finding and point, the origin of each, and what each one reaches on this part."""
    points, charts = metrics["points"], curves.thresholds(metrics)
    if not points:
        absent = "No thresholds were fitted: calls are made at 0.5." if "brier" in metrics["macro"] else _UNKNOWN_SCALE
        return Section(_ID, _TITLE, charts=charts, absent=absent)
    default = metrics["default_point"]
    words = (
        "A film is called positive where its calibrated probability is at or above the threshold. "
        f"Where none is named, {named(default)} is used.",
    )
    findings = list(metrics["findings"])
    tables = [_origins(points), _thresholds(points, findings), *_fitted_on(points, findings)]
    tables += [_worth(name, metrics, folded=name != default) for name in points if f"f1@{name}" in metrics["macro"]]
    tables += [_moved(metrics["prevalence"])] if "prevalence" in metrics else []
    tables += [_abstention(metrics["abstention"])] if "abstention" in metrics else []
    return Section(_ID, _TITLE, words=words, charts=charts, tables=(*tables, *_notes(points)))


def _origins(points: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, point in points.items():
        origin = point["origin"]
        target = "" if origin["target"] is None else origin["target"]
        rows.append(
            (name, origin["recipe"], target, origin["split"], origin["split_hash"][:12] or DASH, origin["date"])
        )
    head = ("Point", "Recipe", "Target", "Fitted on", "Split", "Date")
    return Table("Where the thresholds come from", head, tuple(rows))


def _thresholds(points: Mapping[str, Any], findings: list[str]) -> Table:
    rows = tuple((f, *(point["thresholds"][f] for point in points.values())) for f in findings)
    return Table("Thresholds; a dash is one that could not be fitted", ("Finding", *points), rows)


def _fitted_on(points: Mapping[str, Any], findings: list[str]) -> list[Table]:
    """Films and prevalence of the part, once for all points that share them."""
    tables: dict[tuple[tuple[Cell, ...], ...], list[str]] = {}
    for name, point in points.items():
        origin, prevalence = point["origin"], point.get("prevalence") or {}
        if len(origin["n"]) == len(origin["positives"]) == len(findings):
            counts = zip(findings, origin["n"], origin["positives"], strict=True)
            rows = tuple((f, n, positives, prevalence.get(f)) for f, n, positives in counts)
            tables.setdefault(rows, []).append(name)
    head = ("Finding", "Films", "Positives", "Prevalence that PPV and F1 held for")
    return [
        Table(f"What they were fitted on: {', '.join(names)}", head, rows, folded=True)
        for rows, names in tables.items()
    ]


def _worth(name: str, metrics: Mapping[str, Any], folded: bool) -> Table:
    limits, macro = metrics["points"][name]["thresholds"], metrics["macro"]
    keys = [f"{measure}@{name}" for measure in _MEASURES]
    rows: list[tuple[Cell, ...]] = [
        (finding, limits[finding], *(row[key] for key in keys)) for finding, row in metrics["findings"].items()
    ]
    rows.append(("Mean over findings", "", *(macro[key] for key in keys)))
    caption = f"What {named(name)} reaches on the {metrics['split']} part"
    return Table(caption, ("Finding", "Threshold", *_MEASURES.values()), tuple(rows), last_is_mean=True, folded=folded)


def _moved(prevalence: Mapping[str, Any]) -> Table:
    rows = tuple((finding, own["calibrated_at"], own["moved_to"]) for finding, own in prevalence.items())
    return Table("The prevalence that probabilities and thresholds were moved to", ("Finding", "From", "To"), rows)


def _abstention(block: Mapping[str, Any]) -> Table:
    """Films below the point that promises the sensitivity are negative, those above the other one positive."""
    measures = ("decided", "sensitivity", "specificity")
    rows = tuple((finding, *(own[measure] for measure in measures)) for finding, own in block.items())
    head = ("Finding", "Decided", "Of the positives, not called negative", "Of the negatives, not called positive")
    return Table("Films between the two promised points are undecided; what the promises come to here", head, rows)


def _notes(points: Mapping[str, Any]) -> list[Table]:
    """What each fit has to say, once for all points that say the same."""
    said: dict[str, list[str]] = {}
    for name, point in points.items():
        for note in point["origin"]["notes"]:
            said.setdefault(note, []).append(name)
    rows = tuple((", ".join(names), note) for note, names in said.items())
    return [Table("Notes on the fits", ("Points", "Note"), rows, folded=True)] if rows else []
