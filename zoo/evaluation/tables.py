"""The result of an evaluation as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RESEARCH_ONLY = "Research software, not a medical device: not for diagnosis, triage or any decision about a patient."


def markdown(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as Markdown: what was evaluated, a table by finding, and the models compared."""
    interval = result["interval"]
    rows = f"{result['n']:,} films of {result['patients']:,} patients"
    if not result["patients_known"]:
        rows = f"{result['n']:,} films (patients unknown: each film is taken for one)"
    lines = [
        f"## {_name(result['model'])}, {result['split']} part",
        "",
        RESEARCH_ONLY,
        "",
        f"{rows}, split `{result['split_hash'][:12] or 'unnamed'}`. In brackets: {interval['level']:.0%} intervals "
        f"from {interval['resamples']:,} resamples of patients, seed {interval['seed']}.",
        "",
        *_finding_table(result),
        "",
        *_notes(result),
    ]
    if result["models"]:
        lines += ["", *_model_table(result)]
    return "\n".join(lines) + "\n"


def _finding_table(result: Mapping[str, Any]) -> list[str]:
    columns = {"auc": "AUC", "average_precision": "AP", "f1@half": "F1 at 0.5"}
    point = result["default_point"]
    if point:
        columns |= {
            f"{m}@{point}": f"{m.capitalize()} at `{_name(point)}`" for m in ("f1", "sensitivity", "specificity")
        }
    columns = {key: title for key, title in columns.items() if key in result["macro"]}
    lines = [f"| Finding | n | Positives | {' | '.join(columns.values())} |", "|---|" + "---:|" * (len(columns) + 2)]
    for finding, row in result["findings"].items():
        cells = [f"{row['auc']['n']:,}", f"{row['auc']['positives']:,}", *(_cell(row[c]) for c in columns)]
        lines.append(f"| {_name(finding)} | {' | '.join(cells)} |")
    means = [_cell(result["macro"][c]) + _counted(result["macro"][c]) for c in columns]
    return [*lines, f"| **Mean over findings** | | | {' | '.join(means)} |"]


def _notes(result: Mapping[str, Any]) -> list[str]:
    point, notes = result["default_point"], []
    for name in ("half", point) if point and point != "half" else ("half",):
        if f"f1@{name}" in result.get("micro", {}):
            weighted, micro = (_cell(result[how][f"f1@{name}"]) for how in ("weighted", "micro"))
            at = "0.5" if name == "half" else f"`{_name(name)}`"
            notes.append(f"F1 at {at}, all findings: {weighted} weighted by positives, {micro} micro.")
    if point:
        part = result["points"][point]["origin"]["split"]
        fitted = "were not fitted on any data" if part == "none" else f"were fitted on the {part} part"
        notes.append(f"The thresholds of `{_name(point)}` {fitted}.")
    undefined = [f for f, row in result["findings"].items() if row["auc"]["value"] is None]
    weak = [f for f, row in result["findings"].items() if f not in undefined and _covers(row["auc"], 0.5)]
    if undefined:
        notes.append(f"Left out of the mean AUC, since one class is missing: {', '.join(map(_name, undefined))}.")
    if weak:
        notes.append(f"**Not shown to learn** (the interval of the AUC covers 0.5): {', '.join(map(_name, weak))}.")
    if result.get("calibration") and result["calibration"]["split"] != "none":
        notes.append(_calibration(result["calibration"]))
    return [f"- {note}" for note in notes]


def _calibration(block: Mapping[str, Any]) -> str:
    titles = {"log_loss": "log loss", "brier": "Brier score", "ece": "ECE"}
    changes = ", ".join(
        f"{titles[metric]} {_cell(numbers['before'], '.4f')} to {_cell(numbers['after'], '.4f')}"
        for metric, numbers in block["macro"].items()
    )
    if block["method"] == "none":
        return f"Calibration: none; cross-validation on the {block['split']} part found nothing that is better."
    return f"Calibration ({block['method']}, fitted on the {block['split']} part), means over findings: {changes}."


def _model_table(result: Mapping[str, Any]) -> list[str]:
    lines = [f"| Model | Mean AUC | Mean AP | AUC of {_name(result['model'])} less this |", "|---|---:|---:|---:|"]
    for name, block in {result["model"]: result, **result["models"]}.items():
        cells = [_cell(block["macro"]["auc"]), _cell(block["macro"]["average_precision"])]
        cells.append(_cell(result["differences"][name]["macro"]["auc"], "+.3f") if name != result["model"] else "")
        lines.append(f"| {_name(name)} | " + " | ".join(cells) + " |")
    return lines


def _cell(number: Mapping[str, Any], form: str = ".3f") -> str:
    if number["value"] is None:
        return "\u2013"
    if number["low"] is None:
        return f"{number['value']:{form}}"
    return f"{number['value']:{form}} [{number['low']:{form}}, {number['high']:{form}}]"


def _counted(mean: Mapping[str, Any]) -> str:
    return "" if mean["findings"] == mean["of"] else f" ({mean['findings']} of {mean['of']})"


def _covers(number: Mapping[str, Any], value: float) -> bool:
    return number["low"] is None or number["low"] <= value <= number["high"]


def _name(text: str) -> str:
    """A name that other people chose, in one cell of a table: a "|" that is not escaped yet would end it."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
