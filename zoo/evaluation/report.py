"""One evaluation: every number with its n and interval, as JSON and as a short table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.evaluation import metrics
from zoo.evaluation.calibration import calibration_error
from zoo.evaluation.decision import Decision
from zoo.evaluation.intervals import Interval, bootstrap, delong, percentiles
from zoo.evaluation.scores import Scores
from zoo.specs import to_dict

RESEARCH_ONLY = "Research software, not a medical device: not for diagnosis, triage or any decision about a patient."

#: What an operating point is described by.
AT_A_POINT = ("f1", "sensitivity", "specificity", "ppv", "npv", "accuracy")

#: (over what, metric) -> values: "finding" (k,), or "macro", "micro", "weighted" (), under an axis of resamples if any.
_Values = dict[tuple[str, str], np.ndarray]


def evaluate(
    scores_by_model: Mapping[str, Scores],
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Evaluates one model, and others beside it, on the same rows.

    Intervals are percentiles of a bootstrap over patients; all models see the same resamples, so that differences are
    paired. `auc_delong` is the AUC with DeLong's clustered interval beside it.

    Args:
        scores_by_model: Name -> scores. The first is the model under report; the others (its members, a baseline) are
            compared with it, and need the same rows, labels and findings.
        decision: The first model's decision, or model -> decision. A model without one is taken at temperature 1 and
            threshold 0.5.
        resamples: Bootstrap resamples.
        seed: Of the resamples.
        level: Confidence level.

    Returns:
        What JSON holds: `findings.<finding>.<metric>` = {value, low, high, n, positives} of the first model, `macro`,
        `micro` and `weighted` over findings, and the like under `models.<name>` for the others and
        `differences.<name>` (first less other). A metric at an operating point is `<metric>@<point>`, as in
        `f1@max_f1`; at 0.5 it is `<metric>@half`. null is undefined.

    Raises:
        ValueError: No models, or models on different rows, labels or findings.
    """
    main = _check_alike(scores_by_model)
    decisions = decision if isinstance(decision, Mapping) else {main: decision} if decision else {}
    first = scores_by_model[main]

    def statistic(weights: np.ndarray | None) -> dict[tuple[str, tuple[str, str]], np.ndarray]:
        return {
            (model, key): values
            for model, scores in scores_by_model.items()
            for key, values in _metrics(scores, decisions.get(model), weights).items()
        }

    values = _nest(statistic(None))
    samples = _nest(bootstrap(statistic, first.clusters, resamples=resamples, seed=seed))
    blocks = {}
    for model, scores in scores_by_model.items():
        blocks[model] = _block(scores, values[model], samples[model], level)
        _add_delong(blocks[model], scores, level)
        _add_calibration_error(blocks[model], scores, decisions.get(model))
    others = [model for model in scores_by_model if model != main]
    return {
        "model": main,
        **_setting(first, resamples, seed, level),
        **_thresholds_of(decisions.get(main)),
        **blocks[main],
        "models": {model: blocks[model] for model in others},
        "differences": {
            model: _block(first, _less(values[main], values[model]), _less(samples[main], samples[model]), level)
            for model in others
        },
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as Markdown: what was evaluated, a table by finding, and the models compared."""
    interval = result["interval"]
    rows = f"{result['n']:,} films of {result['patients']:,} patients"
    if not result["patients_known"]:
        rows = f"{result['n']:,} films (patients unknown: each film is taken for one)"
    lines = [
        f"## {result['model']}, {result['split']} part",
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


def _check_alike(scores_by_model: Mapping[str, Scores]) -> str:
    if not scores_by_model:
        raise ValueError("evaluate needs the scores of at least one model, got none")
    main, first = next(iter(scores_by_model.items()))
    for name, other in scores_by_model.items():
        if other.findings != first.findings:
            raise ValueError(f"{name!r} has other findings than {main!r}: {other.findings}, not {first.findings}")
        if not np.array_equal(other.labels, first.labels, equal_nan=True) or other.split != first.split:
            raise ValueError(f"{name!r} and {main!r} are not on the same rows: their labels or splits differ")
    return main


def _setting(scores: Scores, resamples: int, seed: int, level: float) -> dict[str, Any]:
    return {
        "split": scores.split,
        "split_hash": scores.split_hash,
        "n": len(scores.labels),
        "patients": int(scores.clusters.max()) + 1,
        "patients_known": scores.patients is not None,
        "interval": {"method": "bootstrap over patients", "resamples": resamples, "seed": seed, "level": level},
    }


def _thresholds_of(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {"temperature": [1.0], "default_point": None, "points": {}}
    return {
        "temperature": list(decision.temperature),
        "default_point": decision.default,
        "points": {
            name: {"thresholds": dict(zip(decision.findings, p.thresholds, strict=True)), "origin": to_dict(p.origin)}
            for name, p in decision.operating_points.items()
        },
    }


def _metrics(scores: Scores, decision: Decision | None, weights: np.ndarray | None) -> _Values:
    """Every resampled metric of one model."""
    labels = scores.labels
    found = {
        "auc": metrics.roc_auc(labels, scores.logits, weights),
        "average_precision": metrics.average_precision(labels, scores.logits, weights),
    }
    averages: _Values = {}
    if scores.kind == "logits":
        p = scores.calibrated(decision)
        found |= {"brier": metrics.brier(labels, p, weights), "log_loss": metrics.log_loss(labels, p, weights)}
        points = {name: point.thresholds for name, point in decision.operating_points.items()} if decision else {}
        for name, thresholds in ({"half": (0.5,) * labels.shape[1]} | points).items():
            counts = metrics.confusion(labels, p, thresholds, weights)
            found |= {f"{metric}@{name}": getattr(counts, metric) for metric in AT_A_POINT}
            averages |= {("micro", f"f1@{name}"): counts.f1_average("micro")}
            averages |= {("weighted", f"f1@{name}"): counts.f1_average("weighted")}
    by_finding: _Values = {("finding", metric): v for metric, v in found.items()}
    macro: _Values = {("macro", metric): metrics.mean_over_findings(v)[0] for metric, v in found.items()}
    return by_finding | macro | averages


def _nest(values: Mapping[tuple[str, tuple[str, str]], np.ndarray]) -> dict[str, _Values]:
    nested: dict[str, _Values] = {}
    for (model, key), value in values.items():
        nested.setdefault(model, {})[key] = value
    return nested


def _less(a: _Values, b: _Values) -> _Values:
    """`a` less `b` for the metrics that need no threshold, which two models can share."""
    return {key: a[key] - b[key] for key in a if key[1] in ("auc", "average_precision")}


def _block(scores: Scores, values: _Values, samples: _Values, level: float) -> dict[str, Any]:
    """One model's numbers: `findings`, and `macro`, `micro` and `weighted` over them."""
    n, positives = scores.counts
    block: dict[str, Any] = {"findings": {finding: {} for finding in scores.findings}}
    for (over, metric), value in values.items():
        low, high = percentiles(samples[over, metric], level)
        if over == "finding":
            for j, finding in enumerate(scores.findings):
                number = Interval(value[j], low[j], high[j], n[j], positives[j])
                block["findings"][finding][metric] = number.to_dict()
            continue
        number = Interval(float(value), float(low), float(high), n.sum(), positives.sum())
        used = int(np.sum(~np.isnan(values["finding", metric])))
        block.setdefault(over, {})[metric] = number.to_dict() | {"findings": used, "of": len(scores.findings)}
    return block


def _add_delong(block: dict[str, Any], scores: Scores, level: float) -> None:
    intervals = delong(scores.labels, scores.logits, scores.clusters, level)
    for finding, interval in zip(scores.findings, intervals, strict=True):
        block["findings"][finding]["auc_delong"] = interval.to_dict()


def _add_calibration_error(block: dict[str, Any], scores: Scores, decision: Decision | None) -> None:
    """The calibration error, without an interval: resampling would itself add to it."""
    if scores.kind != "logits":
        return
    n, positives = scores.counts
    errors = calibration_error(scores.labels, scores.calibrated(decision))
    for j, finding in enumerate(scores.findings):
        number = Interval(errors[j], np.nan, np.nan, n[j], positives[j])
        block["findings"][finding]["ece"] = number.to_dict()


def _finding_table(result: Mapping[str, Any]) -> list[str]:
    columns = {"auc": "AUC", "average_precision": "AP", "f1@half": "F1 at 0.5"}
    point = result["default_point"]
    if point:
        columns |= {f"{m}@{point}": f"{m.capitalize()} at `{point}`" for m in ("f1", "sensitivity", "specificity")}
    columns = {key: title for key, title in columns.items() if key in result["macro"]}
    lines = [f"| Finding | n | Positives | {' | '.join(columns.values())} |", "|---|" + "---:|" * (len(columns) + 2)]
    for finding, row in result["findings"].items():
        cells = [f"{row['auc']['n']:,}", f"{row['auc']['positives']:,}", *(_cell(row[c]) for c in columns)]
        lines.append(f"| {finding} | {' | '.join(cells)} |")
    means = [_cell(result["macro"][c]) + _counted(result["macro"][c]) for c in columns]
    return [*lines, f"| **Mean over findings** | | | {' | '.join(means)} |"]


def _notes(result: Mapping[str, Any]) -> list[str]:
    point, notes = result["default_point"], []
    for name in ("half", point) if point and point != "half" else ("half",):
        if "weighted" in result:
            weighted, micro = (_cell(result[how][f"f1@{name}"]) for how in ("weighted", "micro"))
            at = "0.5" if name == "half" else f"`{name}`"
            notes.append(f"F1 at {at}, all findings: {weighted} weighted by positives, {micro} micro.")
    if point:
        notes.append(
            f"The thresholds of `{point}` were fitted on the {result['points'][point]['origin']['split']} part."
        )
    undefined = [f for f, row in result["findings"].items() if row["auc"]["value"] is None]
    weak = [f for f, row in result["findings"].items() if f not in undefined and _covers(row["auc"], 0.5)]
    if undefined:
        notes.append(f"Left out of the mean AUC, since one class is missing: {', '.join(undefined)}.")
    if weak:
        notes.append(f"**Not shown to learn** (the interval of the AUC covers 0.5): {', '.join(weak)}.")
    return [f"- {note}" for note in notes]


def _model_table(result: Mapping[str, Any]) -> list[str]:
    lines = ["| Model | Mean AUC | Mean AP | AUC of " + result["model"] + " less this |", "|---|---:|---:|---:|"]
    for name, block in {result["model"]: result, **result["models"]}.items():
        cells = [_cell(block["macro"]["auc"]), _cell(block["macro"]["average_precision"])]
        cells.append(_cell(result["differences"][name]["macro"]["auc"], "+") if name != result["model"] else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(number: Mapping[str, Any], sign: str = "") -> str:
    if number["value"] is None:
        return "\u2013"
    if number["low"] is None:
        return f"{number['value']:{sign}.3f}"
    return f"{number['value']:{sign}.3f} [{number['low']:{sign}.3f}, {number['high']:{sign}.3f}]"


def _counted(mean: Mapping[str, Any]) -> str:
    return "" if mean["findings"] == mean["of"] else f" ({mean['findings']} of {mean['of']})"


def _covers(number: Mapping[str, Any], value: float) -> bool:
    return number["low"] is None or number["low"] <= value <= number["high"]
