"""The sections on how well it ranks: each finding's numbers, what they do not show, the models compared, readers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zoo.report.forest import Row, forest
from zoo.report.layout import Chart, Section, Table, at, named, spoken

#: Metrics that need no threshold, and those that are taken at one.
_FREE = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
_AT_A_POINT = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}


def summary(metrics: Mapping[str, Any]) -> Section:
    """The tables by finding, and what a reader has to know about them."""
    macro, point = metrics["macro"], metrics["default_point"]
    lows = [row["auc"]["low"] for row in metrics["findings"].values() if row["auc"]["low"] is not None]
    first = min([0.5, *(math.floor(10 * low) / 10 for low in lows)])
    free = {m: title for m, title in _FREE.items() if m in macro}
    called = {at(m, point): title for m, title in _AT_A_POINT.items() if at(m, point) in macro}
    tables = [_by_finding("Each finding's ranking and probabilities", metrics, free, {1: (first, 1.0)})]
    words = [
        "Intervals are in brackets; a value without one was the same in every resample. Films are those whose label "
        "of the finding is known."
    ]
    if called:
        tables.append(_by_finding(f"Each finding's calls at {named(point)}", metrics, called))
        words.append(f"Calls are made at {_threshold(metrics)}.")
    else:
        words.append("These are scores of unknown scale: they rank, but are no probabilities.")
    return Section("summary", "Each finding", words=tuple(words), notes=tuple(_averages(metrics)), tables=tuple(tables))


def notes(metrics: Mapping[str, Any]) -> Section:
    """What the numbers do not show."""
    found = []
    undefined = [f for f, row in metrics["findings"].items() if row["auc"]["value"] is None]
    aucs = {f: row["auc"] for f, row in metrics["findings"].items() if f not in undefined}
    weak = [f for f, auc in aucs.items() if _covers(auc, 0.5)]
    wrong = [f for f, auc in aucs.items() if f not in weak and auc["value"] < 0.5]
    if weak:
        found.append(f"Not shown to learn (the interval of the AUC covers 0.5): {', '.join(weak)}.")
    if wrong:
        found.append(f"Ranked the wrong way round (the interval of the AUC is below 0.5): {', '.join(wrong)}.")
    if undefined:
        mean = metrics["macro"]["auc"]
        found.append(
            f"Left out of the mean AUC, since one class is missing: {', '.join(undefined)}. "
            f"The mean is over {mean['findings']} of {mean['of']} findings."
        )
    if not metrics["patients_known"]:
        found.append("Patients are not known: each film is taken for one, which makes intervals too narrow.")
    if not metrics["split_hash"]:
        found.append("The split has no name: nothing proves that these films were not trained or validated on.")
    found += [f"{note.rstrip('.')}." for note in metrics.get("notes", ())]
    absent = "" if found else "Every finding has both classes, and an AUC whose interval is above 0.5."
    return Section("notes", "Before you read on", notes=tuple(found), absent=absent)


def models(metrics: Mapping[str, Any]) -> Section:
    """The model under report beside the others."""
    main, others = metrics["model"], metrics.get("models", {})
    if not others:
        return Section("models", "Models compared", absent="Only one model was evaluated.")
    blocks = {main: metrics, **others}
    names = {"auc": "Mean AUC", "average_precision": "Mean AP", "brier": "Mean Brier", "log_loss": "Mean log loss"}
    names = {m: title for m, title in names.items() if any(m in block["macro"] for block in blocks.values())}
    rows = tuple(
        (
            name,
            *(block["macro"].get(m, "") for m in names),
            *(metrics["differences"][name]["macro"][m] if name != main else "" for m in ("auc", "average_precision")),
        )
        for name, block in blocks.items()
    )
    head = ("Model", *names.values(), f"AUC of {main} less this", f"AP of {main} less this")
    by_model = {name: block["macro"]["auc"] for name, block in blocks.items()}
    forest_rows = [Row("Mean over findings", by_model)]
    for finding in metrics["findings"]:
        forest_rows.append(Row(finding, {name: block["findings"][finding]["auc"] for name, block in blocks.items()}))
    words = "Points are values, lines their intervals. Two intervals may overlap though the difference leaves out 0."
    chart = Chart("models", "AUC of each model", forest("AUC", "AUC", forest_rows, reference=0.5), words, columns=3)
    comparison, mean = metrics.get("comparison") or {}, metrics.get("ensemble")
    same = "All models see the same resamples of patients, so a difference has an interval of its own."
    made = [f"{main} is the mean of the {mean['how']} of {', '.join(mean['members'])}."] if mean else []
    return Section(
        "models",
        "Models compared",
        words=(*made, same),
        notes=tuple(comparison.get("notes", ())),
        charts=(chart,),
        tables=(Table("Means over findings", head, rows), *_pairs(comparison)),
    )


def readers(metrics: Mapping[str, Any]) -> Section:
    """Where readers lie beside the curves."""
    block = metrics.get("readers")
    if not block or not block["readers"]:
        return Section("readers", "Readers", absent="No readers' calls were given.")
    head = ("Finding", "Readers", "Under", "On it", "Over", "Shown under", "Shown over")
    keys = ("of", "under", "on", "over", "shown_under", "shown_over")
    sides = [
        Table(
            f"Readers under, on and over each curve of {model}",
            head,
            tuple((finding, *(side[key] for key in keys)) for finding, side in by_finding.items() if side["of"]),
            folded=model != metrics["model"],
        )
        for model, by_finding in block["models"].items()
    ]
    points = [
        (reader, finding, point["sensitivity"], point["false_positive_rate"])
        for reader, by_finding in block["readers"].items()
        for finding, point in by_finding.items()
        if point is not None
    ]
    return Section(
        "readers",
        "Readers",
        words=(
            "A reader is a point in the ROC plane. One under the curve is reached by the model: at the reader's false "
            "positive rate it has the higher sensitivity. Shown under or over are those whose margin's interval "
            "leaves out 0. A reader whose own reading went into the labels does better here than elsewhere.",
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
    metrics: Mapping[str, Any],
    columns: Mapping[str, str],
    bars: Mapping[int, tuple[float, float]] | None = None,
) -> Table:
    rows: list[tuple[Any, ...]] = [
        (finding, *(row[m] for m in columns), row["auc"]["positives"], row["auc"]["n"])
        for finding, row in metrics["findings"].items()
    ]
    rows.append(("Mean over findings", *(metrics["macro"][m] for m in columns), "", ""))
    head = ("Finding", *columns.values(), "Positives", "Films")
    return Table(caption, head, tuple(rows), last_is_mean=True, bars=bars)


def _threshold(metrics: Mapping[str, Any]) -> str:
    point = metrics["default_point"]
    if not point or point not in metrics["points"]:
        return "a threshold of 0.5"
    return f"the thresholds of {named(point)}, fitted on the {metrics['points'][point]['origin']['split']} part"


def _averages(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    for point in dict.fromkeys(("half", metrics["default_point"] or "half")):
        key = f"f1@{point}"
        if key in metrics.get("weighted", {}) and key in metrics.get("micro", {}):
            weighted, micro = spoken(metrics["weighted"][key]), spoken(metrics["micro"][key])
            found.append(f"F1 at {named(point)} over all findings: {weighted} weighted by positives, {micro} micro.")
    return found


def _pairs(comparison: Mapping[str, Any]) -> list[Table]:
    if not comparison.get("pairs"):
        return []
    rows = tuple(
        (pair["a"], pair["b"], pair["macro"]["auc"], pair["macro"]["auc_joint"]) for pair in comparison["pairs"]
    )
    head = ("Model", "less", "Mean AUC", "Its joint interval")
    by_finding = tuple(
        (finding, pair["a"], pair["b"], row["auc"], row["auc_delong"])
        for pair in comparison["pairs"]
        for finding, row in pair["findings"].items()
    )
    return [
        Table("Each two models: difference of the mean AUC", head, rows),
        Table(
            "Each two models: difference of AUC by finding",
            ("Finding", "Model", "less", "AUC", "AUC, DeLong"),
            by_finding,
            folded=True,
        ),
    ]


def _covers(number: Mapping[str, Any], value: float) -> bool:
    return number["low"] is None or number["low"] <= value <= number["high"]
