"""The sections drawn as curves: ranking, calibration, and measures over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.report import curve_panels
from zoo.report.curve_panels import Marks
from zoo.report.layout import Cell, Chart, Panel, Section, Table, at, named, spoken

_LOSSES = {"log_loss": "Log loss", "brier": "Brier", "ece": "Calibration error"}


def ranking(metrics: Mapping[str, Any]) -> Section:
    """ROC and precision-recall curves of each finding with both classes."""
    rows = {finding: row for finding, row in _rows(metrics).items() if "roc" in row}
    if not rows:
        return Section("curves", "ROC and precision-recall", absent="There are no curves in the numbers given.")
    roc = Chart(
        "roc",
        "ROC curves",
        tuple(_roc(finding, row, metrics) for finding, row in rows.items()),
        "Sensitivity over false positive rate; the dotted line is chance.",
    )
    pr = Chart(
        "precision-recall",
        "Precision-recall curves",
        tuple(_precision_recall(finding, row, metrics) for finding, row in rows.items()),
        "PPV over sensitivity; the dotted line is chance, that is the prevalence.",
    )
    return Section("curves", "ROC and precision-recall", charts=(roc, pr))


def calibration(metrics: Mapping[str, Any]) -> Section:
    """Reliability curves and losses, before and after calibration."""
    title, block = "Calibration", metrics.get("calibration")
    rows = {finding: row["reliability"] for finding, row in _rows(metrics).items() if "reliability" in row}
    if not rows and not block:
        return Section("calibration", title, absent="There are no probabilities, or no curves, in the numbers given.")
    notes = [f"{note.rstrip('.')}." for note in block["notes"]] if block else []
    if block:
        how = f"How it was fitted: {block['method']}, on the {block['split']} part."
        if block["method"] == "none":
            how = f"None: cross-validation on the {block['split']} part found nothing that is better."
        shifted = " Probabilities were then shifted to another prevalence." if block["shifted"] else ""
        words = (how + shifted,)
    else:
        words = ("The probabilities are as they came: no calibration was fitted.",)
    pooled = (metrics.get("curves") or {}).get("pooled", {}).get("reliability")
    panels = [_reliability("All findings together", pooled, "micro", metrics)] if pooled else []
    panels += [_reliability(finding, stages, finding, metrics) for finding, stages in rows.items()]
    chart = Chart(
        "reliability",
        "Reliability curves",
        tuple(panels),
        "Bins of equal numbers of films; upright lines are 95% intervals of the frequency, by patient.",
    )
    tables = _loss_tables(block) if block else ()
    return Section("calibration", title, words, tuple(notes), (chart,) if panels else (), tables)


def thresholds(metrics: Mapping[str, Any]) -> tuple[Chart, ...]:
    """Measures over the threshold, with the operating point; nothing where there are no curves."""
    point = metrics["default_point"]
    panels = []
    for finding, row in _rows(metrics).items():
        if "thresholds" not in row:
            continue
        limit = metrics["points"][point]["thresholds"][finding] if point in metrics["points"] else 0.5
        marked = None if limit is None else (f"at {named(point)}", limit)
        found = metrics["findings"][finding]
        reached = ", ".join(f"{m} {spoken(found[at(m, point)])}" for m in ("sensitivity", "specificity", "ppv", "f1"))
        description = (
            f"Sensitivity, specificity, PPV and F1 of {finding} over the threshold. At {named(point)}: {reached}."
        )
        panels.append(curve_panels.over_thresholds(finding, description, row["thresholds"], marked, (_counted(row),)))
    words = "The upright line is the threshold of the operating point. Each number is exact at its threshold."
    return (Chart("thresholds", "Threshold curves", tuple(panels), words),) if panels else ()


def _rows(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (metrics.get("curves") or {}).get("findings", {})
    return found


def _roc(finding: str, row: Mapping[str, Any], metrics: Mapping[str, Any]) -> Panel:
    found, point = metrics["findings"][finding], metrics["default_point"]
    words, description = [f"AUC {spoken(found['auc'])}"], f"ROC curve of {finding}: AUC {spoken(found['auc'])}."
    place = None
    sensitivity, specificity = (found.get(at(m, point)) for m in ("sensitivity", "specificity"))
    if sensitivity and specificity and None not in (sensitivity["value"], specificity["value"]):
        place = (f"at {named(point)}", 1 - specificity["value"], sensitivity["value"])
        description += f" At {named(point)}: sensitivity {spoken(sensitivity)}, specificity {spoken(specificity)}."
    readers, side = _readers(finding, metrics)
    if readers:
        words.append(f"{side['under']} of {side['of']} readers under")
        description += f" Of {side['of']} readers {side['under']} lie under the curve, {side['over']} over it."
    words = [words[0], "; ".join([_counted(row), *words[1:]])]
    return curve_panels.roc(finding, description, row["roc"], Marks(tuple(words), place, readers))


def _readers(finding: str, metrics: Mapping[str, Any]) -> tuple[list[tuple[Any, Any]], Mapping[str, Any]]:
    """The readers' points, and on which side of the curve they lie."""
    block = metrics.get("readers")
    if not block or metrics["model"] not in block["models"]:
        return [], {}
    points = [by_finding[finding] for by_finding in block["readers"].values() if by_finding[finding] is not None]
    return [(p["false_positive_rate"], p["sensitivity"]) for p in points], block["models"][metrics["model"]][finding]


def _precision_recall(finding: str, row: Mapping[str, Any], metrics: Mapping[str, Any]) -> Panel:
    found, point = metrics["findings"][finding], metrics["default_point"]
    precision = spoken(found["average_precision"])
    place = None
    sensitivity, ppv = (found.get(at(m, point)) for m in ("sensitivity", "ppv"))
    if sensitivity and ppv and None not in (sensitivity["value"], ppv["value"]):
        place = (f"at {named(point)}", sensitivity["value"], ppv["value"])
    words = (f"average precision {precision}", _counted(row))
    description = f"Precision-recall curve of {finding}: average precision {precision}."
    prevalence = row["positives"] / row["n"]
    return curve_panels.precision_recall(finding, description, row["pr"], prevalence, Marks(words, place))


def _counted(row: Mapping[str, Any]) -> str:
    return f"{row['positives']:,} of {row['n']:,} positive"


def _reliability(title: str, stages: Mapping[str, Any], of: str, metrics: Mapping[str, Any]) -> Panel:
    block = metrics.get("calibration")
    if block:
        numbers = (block["micro"] if of == "micro" else block["findings"][of])["ece"]
        errors = [f"calibration error {stage} {spoken(numbers[stage])}" for stage in ("before", "after")]
    else:
        number = (metrics["micro"] if of == "micro" else metrics["findings"][of])["ece"]
        errors = [f"calibration error {spoken(number)}"]
    description = f"Reliability of {title}: {', '.join(errors)}."
    return curve_panels.reliability(title, description, stages, tuple(errors))


def _loss_tables(block: Mapping[str, Any]) -> tuple[Table, ...]:
    names = {m: title for m, title in _LOSSES.items() if m in block["macro"]}
    rows = {**block["findings"], "Mean over findings": block["macro"]}
    both: list[tuple[Cell, ...]] = [
        (finding, *(row[m][stage] for m in names for stage in ("before", "after"))) for finding, row in rows.items()
    ]
    changes: list[tuple[Cell, ...]] = [
        (finding, *(row[m]["difference"] for m in names)) for finding, row in rows.items()
    ]
    head = ("Finding", *(f"{title}, {stage}" for title in names.values() for stage in ("before", "after")))
    return (
        Table("Before and after calibration; lower is better", head, tuple(both), last_is_mean=True),
        Table("After less before", ("Finding", *names.values()), tuple(changes), last_is_mean=True, folded=True),
    )
