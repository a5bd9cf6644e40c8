"""The sections with each finding's numbers, caveats, the comparison of models, and readers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zoo.evaluation.result import HALF, Evaluation, Measure
from zoo.evaluation.result.checks import Comparison
from zoo.labels.parts import spoken_part
from zoo.report.forest import Row, forest
from zoo.report.layout import Cell, Chart, Section, Table, named, spoken

#: Measures that need no threshold, and measures at an operating point.
_FREE = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
_AT_A_POINT = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


def summary(result: Evaluation) -> Section:
    """The section with the tables of each finding's numbers."""
    measured = result.macro.by_measure
    lows = [row.auc.low for row in result.findings.values() if row.auc.low is not None]
    first = min([0.5, *(math.floor(10 * low) / 10 for low in lows)])
    free = {Measure(name): title for name, title in _FREE.items() if Measure(name) in measured}
    at_point = ((Measure(name, result.point), title) for name, title in _AT_A_POINT.items())
    called = {measure: title for measure, title in at_point if measure in measured}
    tables = [_by_finding("Ranking and probabilities of each finding", result, free, {1: (first, 1.0)})]
    words = [
        "Intervals are in brackets; of a value without one, the patients are too few to tell. A calibration error "
        "that may be 0 is shown with the most that it may be. Only images with a known label of the finding are "
        "counted."
    ]
    if called:
        tables.append(_by_finding(f"Calls of each finding at {named(result.point)}", result, called))
        words.append(f"Calls are made at {_threshold(result)}.")
    else:
        words.append("These are scores of unknown scale: they rank images, but are not probabilities.")
    return Section("summary", "Each finding", words=tuple(words), notes=tuple(_averages(result)), tables=tuple(tables))


def notes(result: Evaluation) -> Section:
    """The section with caveats about the numbers."""
    found = []
    aucs = {f: row.auc for f, row in result.findings.items() if row.auc.value is not None}
    undefined = [f for f in result.findings if f not in aucs]
    weak = [f for f, auc in aucs.items() if auc.includes(0.5)]
    few = [f for f, auc in aucs.items() if not auc.has_interval]
    wrong = [f for f, auc in aucs.items() if auc.high is not None and auc.high < 0.5]
    if weak:
        found.append(f"Not shown to learn (the interval of the AUC covers 0.5): {', '.join(weak)}.")
    if few:
        found.append(f"Too few to tell (the AUC has no interval): {', '.join(few)}.")
    if wrong:
        found.append(f"Ranked the wrong way round (the interval of the AUC is below 0.5): {', '.join(wrong)}.")
    if undefined:
        found.append(
            f"Left out of the mean AUC, since one class is missing: {', '.join(undefined)}. "
            f"The mean is over {len(aucs)} of {len(result.findings)} findings."
        )
    if not result.patients_known:
        found.append("Patients are unknown: each image counts as a patient of its own, so intervals are too narrow.")
    if not result.split_hash:
        found.append("The split has no hash, so nothing proves that these images were not used in training.")
    found += [f"{note.rstrip('.')}." for note in result.notes or ()]
    absent = "" if found else "Every finding has both classes and an AUC whose interval lies above 0.5."
    return Section("notes", "Before you read on", notes=tuple(found), absent=absent)


def models(result: Evaluation) -> Section:
    """The section that compares the model under report with the others."""
    main = result.model
    if not result.models:
        return Section("models", "Models compared", absent="Only one model was evaluated.")
    blocks = {main: result.numbers, **result.models}
    names = {"auc": "Mean AUC", "average_precision": "Mean AP", "brier": "Mean Brier", "log_loss": "Mean log loss"}
    names = {m: title for m, title in names.items() if any(block.macro.find(m) for block in blocks.values())}
    rows: list[tuple[Cell, ...]] = []
    for name, block in blocks.items():
        less = result.differences.get(name)
        differences = (less.macro.get(m) if less else "" for m in ("auc", "average_precision"))
        rows.append((name, *(block.macro.find(m) or "" for m in names), *differences))
    head = ("Model", *names.values(), f"AUC of {main} minus this", f"AP of {main} minus this")
    forest_rows = [Row("Mean over findings", {name: block.macro.auc for name, block in blocks.items()})]
    for finding in result.findings:
        forest_rows.append(Row(finding, {name: block.findings[finding].auc for name, block in blocks.items()}))
    words = (
        "Points are values, lines are intervals. The intervals of two models may overlap even if the interval of their "
        "difference excludes 0."
    )
    chart = Chart("models", "AUC of each model", forest("AUC", "AUC", forest_rows, reference=0.5), words, columns=3)
    mean, comparison = result.ensemble, result.comparison
    same = "The models are compared on the same patients, so the interval of a difference is paired."
    made = [f"{main} is the mean of the {mean.how} of {', '.join(mean.members)}."] if mean else []
    return Section(
        "models",
        "Models compared",
        words=(*made, same),
        notes=comparison.notes if comparison else (),
        charts=(chart,),
        tables=(Table("Means over findings", head, tuple(rows)), *(_pairs(comparison) if comparison else ())),
    )


def readers(result: Evaluation) -> Section:
    """The section on readers and the models' ROC curves."""
    block = result.readers
    if block is None or not block.readers:
        return Section("readers", "Readers", absent="No readers' calls were given.")
    head = ("Finding", "Readers", "Below", "On it", "Above", "Significantly below", "Significantly above")
    sides = [
        Table(
            f"Readers below, on and above each ROC curve of {model}",
            head,
            tuple(
                (finding, side.of, side.under, side.on, side.over, side.shown_under, side.shown_over)
                for finding, side in by_finding.items()
                if side.of
            ),
            folded=model != result.model,
        )
        for model, by_finding in block.models.items()
    ]
    drawn = block.interval.resamples  # in older files
    resampled = f" (percentiles of {drawn:,} resamples of patients)" if drawn else ""
    points = [
        (reader, finding, point.sensitivity, point.false_positive_rate)
        for reader, by_finding in block.readers.items()
        for finding, point in by_finding.items()
        if point is not None
    ]
    return Section(
        "readers",
        "Readers",
        words=(
            "A reader is a point in the ROC plane. If the point lies below the curve, the model has the higher "
            "sensitivity at the reader's false positive rate. It is significantly below or above if the interval of "
            f"the distance excludes 0{resampled}; with too few patients there is none. A reader whose own readings "
            "went into the labels appears better than elsewhere.",
        ),
        tables=(
            *sides,
            Table(
                "Each reader", ("Reader", "Finding", "Sensitivity", "False positive rate"), tuple(points), folded=True
            ),
        ),
    )


def _by_finding(
    caption: str,
    result: Evaluation,
    columns: Mapping[Measure, str],
    bars: Mapping[int, tuple[float, float]] | None = None,
) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (finding, *(row.get(*measure) for measure in columns), row.auc.positives, row.auc.n)
        for finding, row in result.findings.items()
    ]
    rows.append(("Mean over findings", *(result.macro.get(*measure) for measure in columns), "", ""))
    head = ("Finding", *columns.values(), "Positives", "Images")
    errors = [i for i, measure in enumerate(columns, 1) if measure.name == "ece"]
    return Table(caption, head, tuple(rows), last_is_mean=True, bars=bars, errors=errors)


def _threshold(result: Evaluation) -> str:
    if result.point not in result.points:
        return "a threshold of 0.5"
    part = spoken_part(result.points[result.point].origin.split)
    return f"the thresholds of {named(result.point)}, fitted on the {part}"


def _averages(result: Evaluation) -> list[str]:
    found = []
    for point in dict.fromkeys((HALF, result.point)):
        weighted, micro = result.weighted.find("f1", point), result.micro.find("f1", point)
        if weighted and micro:
            found.append(
                f"F1 at {named(point)} over all findings: {spoken(weighted)} weighted by positives, "
                f"{spoken(micro)} micro."
            )
    return found


def _pairs(comparison: Comparison) -> tuple[Table, ...]:
    rows = tuple((pair.a, pair.b, pair.macro.auc, pair.macro.get("auc_joint")) for pair in comparison.pairs)
    head = ("Model", "minus", "Mean AUC", "Its joint interval")
    by_finding = tuple(
        (finding, pair.a, pair.b, row.auc) for pair in comparison.pairs for finding, row in pair.findings.items()
    )
    return (
        Table("Pairs of models: difference in mean AUC", head, rows),
        Table(
            "Pairs of models: difference in AUC of each finding",
            ("Finding", "Model", "minus", "AUC"),
            by_finding,
            folded=True,
        ),
    )
