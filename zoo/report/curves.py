"""The sections with curves: ranking, calibration, and measures against the threshold."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.evaluation.result import Estimate, Evaluation, Measure
from zoo.evaluation.result.checks import ReaderPoint, Side
from zoo.evaluation.result.curves import FindingCurves, PrecisionRecall, ReliabilityCurve, Roc
from zoo.evaluation.result.evaluation import Calibration
from zoo.report import curve_panels
from zoo.report.curve_panels import Marks
from zoo.report.layout import Cell, Chart, Panel, Section, Table, named, spoken

_LOSSES = {Measure("log_loss"): "Log loss", Measure("brier"): "Brier", Measure("ece"): "Calibration error"}


def ranking(result: Evaluation) -> Section:
    """The section with ROC and precision-recall curves of each finding that has both classes."""
    rows = _rows(result)
    roc = tuple(_roc(finding, row, row.roc, result) for finding, row in rows.items() if row.roc)
    pr = tuple(_precision_recall(finding, row, row.pr, result) for finding, row in rows.items() if row.pr)
    if not roc:
        return Section("curves", "ROC and precision-recall", absent="The result holds no curves.")
    charts = (
        Chart("roc", "ROC curves", roc, "Sensitivity against false positive rate; the dotted line is chance."),
        Chart(
            "precision-recall",
            "Precision-recall curves",
            pr,
            "PPV against sensitivity; the dotted line is chance (the prevalence).",
        ),
    )
    return Section("curves", "ROC and precision-recall", charts=charts)


def calibration(result: Evaluation) -> Section:
    """The section with reliability curves and losses, before and after calibration."""
    title, block = "Calibration", result.calibration
    rows = {finding: row.reliability for finding, row in _rows(result).items() if row.reliability}
    if not rows and not block:
        return Section("calibration", title, absent="The result holds no probabilities or no curves.")
    notes = [f"{note.rstrip('.')}." for note in block.notes] if block else []
    if block:
        shifted = " Probabilities were then adjusted to a target prevalence." if block.shifted else ""
        words = (block.how + shifted,)
    else:
        words = ("No calibration was fitted; these are the probabilities of the model itself.",)
    pooled = result.curves.pooled if result.curves else None
    panels = [_reliability("All findings together", pooled.reliability, "", result)] if pooled else []
    panels += [_reliability(finding, stages, finding, result) for finding, stages in rows.items()]
    chart = Chart(
        "reliability",
        "Reliability curves",
        tuple(panels),
        "Bins hold equal numbers of images; vertical lines are 95% intervals of the frequency, clustered by patient.",
    )
    tables = _loss_tables(block) if block else ()
    return Section("calibration", title, words, tuple(notes), (chart,) if panels else (), tables)


def thresholds(result: Evaluation) -> tuple[Chart, ...]:
    """The chart of measures against the threshold, with the operating point; empty if there are no curves."""
    point = result.point
    panels = []
    for finding, row in _rows(result).items():
        if row.thresholds is None:
            continue
        limit = result.thresholds[finding]
        marked = None if limit is None else (f"at {named(point)}", limit)
        found = result.findings[finding]
        reached = ", ".join(f"{m} {spoken(found.find(m, point))}" for m in ("sensitivity", "specificity", "ppv", "f1"))
        description = (
            f"Sensitivity, specificity, PPV and F1 of {finding} over the threshold. At {named(point)}: {reached}."
        )
        panels.append(curve_panels.over_thresholds(finding, description, row.thresholds, marked, (_counted(row),)))
    words = "The vertical line is the threshold of the operating point. Each value is exact at its threshold."
    return (Chart("thresholds", "Threshold curves", tuple(panels), words),) if panels else ()


def _rows(result: Evaluation) -> Mapping[str, FindingCurves]:
    return result.curves.findings if result.curves else {}


def _roc(finding: str, row: FindingCurves, curve: Roc, result: Evaluation) -> Panel:
    found, point = result.findings[finding], result.point
    words, description = [f"AUC {spoken(found.auc)}"], f"ROC curve of {finding}: AUC {spoken(found.auc)}."
    place = None
    sensitivity, specificity = (found.find(m, point) for m in ("sensitivity", "specificity"))
    if sensitivity and specificity and sensitivity.value is not None and specificity.value is not None:
        place = (f"at {named(point)}", 1 - specificity.value, sensitivity.value)
        description += f" At {named(point)}: sensitivity {spoken(sensitivity)}, specificity {spoken(specificity)}."
    readers, side = _readers(finding, result)
    if side and readers:
        words.append(f"{side.under} of {side.of} readers under")
        description += f" {side.under} of {side.of} readers lie under the curve, and {side.over} above it."
    words = [words[0], "; ".join([_counted(row), *words[1:]])]
    return curve_panels.roc(finding, description, curve, Marks(tuple(words), place, readers))


def _readers(finding: str, result: Evaluation) -> tuple[list[ReaderPoint], Side | None]:
    """The readers' points, and how many lie on which side of the curve."""
    block = result.readers
    if block is None or result.model not in block.models:
        return [], None
    points = (by_finding[finding] for by_finding in block.readers.values())
    return [point for point in points if point is not None], block.models[result.model][finding]


def _precision_recall(finding: str, row: FindingCurves, curve: PrecisionRecall, result: Evaluation) -> Panel:
    found, point = result.findings[finding], result.point
    precision = spoken(found.find("average_precision"))
    place = None
    sensitivity, ppv = (found.find(m, point) for m in ("sensitivity", "ppv"))
    if sensitivity and ppv and sensitivity.value is not None and ppv.value is not None:
        place = (f"at {named(point)}", sensitivity.value, ppv.value)
    words = (f"average precision {precision}", _counted(row))
    description = f"Precision-recall curve of {finding}: average precision {precision}."
    return curve_panels.precision_recall(finding, description, curve, row.positives / row.n, Marks(words, place))


def _counted(row: FindingCurves) -> str:
    return f"{row.positives:,} of {row.n:,} positive"


def _reliability(title: str, stages: Mapping[str, ReliabilityCurve], finding: str, result: Evaluation) -> Panel:
    """The panel of one finding, or of all labels pooled if `finding` is ""."""
    block, ece = result.calibration, Measure("ece")
    if block:
        change = (block.findings[finding] if finding else block.micro)[ece]
        errors = [
            f"calibration error {stage} {spoken(n, error=True)}" for stage, n in _stages(change.before, change.after)
        ]
    else:
        alone = (result.findings[finding] if finding else result.micro).find("ece")
        errors = [f"calibration error {spoken(alone, error=True)}"]
    description = f"Reliability of {title}: {', '.join(errors)}."
    return curve_panels.reliability(title, description, stages, tuple(errors))


def _stages(before: Estimate, after: Estimate) -> tuple[tuple[str, Estimate], ...]:
    return ("before", before), ("after", after)


def _loss_tables(block: Calibration) -> tuple[Table, ...]:
    names = {measure: title for measure, title in _LOSSES.items() if measure in block.macro}
    rows = {**block.findings, "Mean over findings": block.macro}
    both: list[tuple[Cell, ...]] = [
        (finding, *(n for m in names for n in (row[m].before, row[m].after))) for finding, row in rows.items()
    ]
    changes: list[tuple[Cell, ...]] = [(finding, *(row[m].difference for m in names)) for finding, row in rows.items()]
    head = ("Finding", *(f"{title}, {stage}" for title in names.values() for stage in ("before", "after")))
    return (
        Table("Before and after calibration; lower is better", head, tuple(both), last_is_mean=True),
        Table("After minus before", ("Finding", *names.values()), tuple(changes), last_is_mean=True, folded=True),
    )
