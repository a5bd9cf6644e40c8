"""The section on operating points: thresholds, their origin, and their performance on the evaluated part."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.checks import Coverage, TargetPrevalence
from zoo.evaluation.result.evaluation import Point
from zoo.labels.parts import WHOLE, spoken_part
from zoo.report import curves
from zoo.report.layout import DASH, Cell, Section, Table, named

_ID, _TITLE = "points", "Operating points"

_UNKNOWN_SCALE = "Scores of unknown scale have no operating points."

_MEASURES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


def section(result: Evaluation) -> Section:
    """The section with the thresholds of each finding and point, their origin, and their performance."""
    points, charts = result.points, curves.thresholds(result)
    if not points:
        fitted = result.macro.find("brier")
        absent = "No thresholds were fitted; calls are made at 0.5." if fitted else _UNKNOWN_SCALE
        return Section(_ID, _TITLE, charts=charts, absent=absent)
    words = (
        "An image is called positive if its calibrated probability is at or above the threshold. "
        f"The default operating point is {named(result.point)}.",
    )
    findings = list(result.findings)
    tables = [_origins(points), _thresholds(points, findings), *_fitted_on(points, findings)]
    measured = [name for name in points if result.macro.find("f1", name)]
    tables += [_reached(name, result, folded=name != result.point) for name in measured]
    tables += [_adjusted(result.prevalence)] if result.prevalence else []
    tables += [_abstention(result.abstention)] if result.abstention else []
    return Section(_ID, _TITLE, words=words, charts=charts, tables=(*tables, *_notes(points)))


def _origins(points: Mapping[str, Point]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, point in points.items():
        origin = point.origin
        target = "" if origin.target is None else origin.target
        rows.append((name, origin.recipe, target, origin.split, origin.split_hash[:12] or DASH, origin.date))
    head = ("Point", "Recipe", "Target", "Fitted on", "Split", "Date")
    return Table("Origin of the thresholds", head, tuple(rows))


def _thresholds(points: Mapping[str, Point], findings: list[str]) -> Table:
    rows = tuple((f, *(point.thresholds[f] for point in points.values())) for f in findings)
    return Table("Thresholds (a dash: none could be fitted)", ("Finding", *points), rows)


def _fitted_on(points: Mapping[str, Point], findings: list[str]) -> list[Table]:
    """Images and prevalence of the part that points were fitted on, one table for all points that share them."""
    tables: dict[tuple[tuple[Cell, ...], ...], list[str]] = {}
    for name, point in points.items():
        origin = point.origin
        if len(origin.n) == len(origin.positives) == len(findings):
            counts = zip(findings, origin.n, origin.positives, strict=True)
            rows = tuple((f, n, positives, point.prevalence.get(f)) for f, n, positives in counts)
            tables.setdefault(rows, []).append(name)
    head = ("Finding", "Images", "Positives", "Prevalence for PPV and F1")
    return [
        Table(f"Images that the thresholds were fitted on: {', '.join(names)}", head, rows, folded=True)
        for rows, names in tables.items()
    ]


def _reached(name: str, result: Evaluation, folded: bool) -> Table:
    limits = result.points[name].thresholds
    rows: list[tuple[Cell, ...]] = [
        (finding, limits[finding], *(row.get(measure, name) for measure in _MEASURES))
        for finding, row in result.findings.items()
    ]
    rows.append(("Mean over findings", "", *(result.macro.get(measure, name) for measure in _MEASURES)))
    the = "" if result.split == WHOLE else "the "
    caption = f"Performance of {named(name)} on {the}{spoken_part(result.split)}"
    return Table(caption, ("Finding", "Threshold", *_MEASURES.values()), tuple(rows), last_is_mean=True, folded=folded)


def _adjusted(prevalence: Mapping[str, TargetPrevalence]) -> Table:
    rows = tuple((finding, own.calibrated_at, own.moved_to) for finding, own in prevalence.items())
    return Table("Target prevalence of probabilities and thresholds", ("Finding", "Validation part", "Target"), rows)


def _abstention(block: Mapping[str, Coverage]) -> Table:
    """Abstention: images below the point that guarantees the sensitivity are negative, above the other one positive."""
    rows = tuple((finding, own.decided, own.sensitivity, own.specificity) for finding, own in block.items())
    head = ("Finding", "Decided", "Positives not called negative", "Negatives not called positive")
    caption = "Abstention between the two guaranteed points: shares on this part"
    return Table(caption, head, rows)


def _notes(points: Mapping[str, Point]) -> list[Table]:
    """The notes on the fits; a note that several points share appears once."""
    said: dict[str, list[str]] = {}
    for name, point in points.items():
        for note in point.origin.notes:
            said.setdefault(note, []).append(name)
    rows = tuple((", ".join(names), note) for note, names in said.items())
    return [Table("Notes on the fits", ("Points", "Note"), rows, folded=True)] if rows else []
