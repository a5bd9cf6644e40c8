"""The sections drawn as curves: ranking, calibration, and measures over the threshold."""

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
    """ROC and precision-recall curves of each finding with both classes."""
    rows = _rows(result)
    roc = tuple(_roc(finding, row, row.roc, result) for finding, row in rows.items() if row.roc)
    pr = tuple(_precision_recall(finding, row, row.pr, result) for finding, row in rows.items() if row.pr)
    if not roc:
        return Section("curves", "ROC and precision-recall", absent="There are no curves in the numbers given.")
    charts = (
        Chart("roc", "ROC curves", roc, "Sensitivity over false positive rate; the dotted line is chance."),
        Chart(
            "precision-recall",
            "Precision-recall curves",
            pr,
            "PPV over sensitivity; the dotted line is chance, that is the prevalence.",
        ),
    )
    return Section("curves", "ROC and precision-recall", charts=charts)


def calibration(result: Evaluation) -> Section:
    """Reliability curves and losses, before and after calibration."""
    title, block = "Calibration", result.calibration
    rows = {finding: row.reliability for finding, row in _rows(result).items() if row.reliability}
    if not rows and not block:
        return Section("calibration", title, absent="There are no probabilities, or no curves, in the numbers given.")
    notes = [f"{note.rstrip('.')}." for note in block.notes] if block else []
    if block:
        how = f"How it was fitted: {block.method}, on the {block.split} part."
        if block.method == "none":
            how = f"None: cross-validation on the {block.split} part found nothing that is better."
        shifted = " Probabilities were then adjusted to a target prevalence." if block.shifted else ""
        words = (how + shifted,)
    else:
        words = ("The probabilities are as they came: no calibration was fitted.",)
    pooled = result.curves.pooled if result.curves else None
    panels = [_reliability("All findings together", pooled.reliability, "", result)] if pooled else []
    panels += [_reliability(finding, stages, finding, result) for finding, stages in rows.items()]
    chart = Chart(
        "reliability",
        "Reliability curves",
        tuple(panels),
        "Bins of equal numbers of images; upright lines are 95% intervals of the frequency, by patient.",
    )
    tables = _loss_tables(block) if block else ()
    return Section("calibration", title, words, tuple(notes), (chart,) if panels else (), tables)


def thresholds(result: Evaluation) -> tuple[Chart, ...]:
    """Measures over the threshold, with the operating point; nothing where there are no curves."""
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
    words = "The upright line is the threshold of the operating point. Each number is exact at its threshold."
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
        description += f" Of {side.of} readers {side.under} lie under the curve, {side.over} over it."
    words = [words[0], "; ".join([_counted(row), *words[1:]])]
    return curve_panels.roc(finding, description, curve, Marks(tuple(words), place, readers))


def _readers(finding: str, result: Evaluation) -> tuple[list[ReaderPoint], Side | None]:
    """The readers' points, and on which side of the curve they lie."""
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
    """The panel of one finding, or of all labels pooled where `finding` is ""."""
    block, ece = result.calibration, Measure("ece")
    if block:
        change = (block.findings[finding] if finding else block.micro)[ece]
        errors = [f"calibration error {stage} {spoken(n)}" for stage, n in _stages(change.before, change.after)]
    else:
        errors = [f"calibration error {spoken((result.findings[finding] if finding else result.micro).find('ece'))}"]
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
        Table("After less before", ("Finding", *names.values()), tuple(changes), last_is_mean=True, folded=True),
    )
