"""One evaluation: every number with its n and interval, as JSON holds it; `markdown` shows it in short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.config.specs import to_dict
from zoo.core.errors import EvaluationError
from zoo.evaluation import curves
from zoo.evaluation.decision import Decision
from zoo.evaluation.measures import Measures, Values
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval, delong, delong_difference, percentiles
from zoo.evaluation.tables import RESEARCH_ONLY as RESEARCH_ONLY
from zoo.evaluation.tables import markdown as markdown

#: Metrics that two models can share, whatever their thresholds and calibration.
_SHARED = ("auc", "average_precision")

#: Metrics that calibration changes.
_CALIBRATED = ("log_loss", "brier", "ece")


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
    paired. `auc_delong` is the AUC with DeLong's clustered interval beside it. Resampling by itself adds to an ECE;
    its interval is moved back by as much.

    Args:
        scores_by_model: Name -> scores. The first is the model under report; the others (its members, a baseline) are
            compared with it, and need the same rows, labels and findings.
        decision: The first model's decision, or model -> decision. A model without one is taken at temperature 1 and
            threshold 0.5.
        resamples: Bootstrap resamples.
        seed: Of the resamples.
        level: Confidence level.

    Returns:
        What JSON holds: `findings.<finding>.<metric>` = {value, low, high, n, positives} of the first model, `macro`
        (mean over findings), `micro` (all labels pooled) and `weighted` (by positives), and the like under
        `models.<name>` for the others and `differences.<name>` (first less other). A metric at an operating point is
        `<metric>@<point>`, as in `f1@max_f1`; at 0.5 it is `<metric>@half`. The other models have those at their
        default point alone, or at 0.5 without a decision. null is undefined. Limits are rounded outwards to six
        decimals. Of the first model alone come `curves` and, unless its scores are of unknown scale, `cooccurrence`,
        as `curves.blocks` gives them, and with a decision `calibration`: `method`, `split` and `notes` of the fit, and
        `findings.<finding>`, `macro`, `micro` and `weighted`, where each of log_loss, brier and ece has a number
        `before`, `after` and for their paired `difference`.

    Raises:
        ValueError: No models, or models on different rows, labels or findings.
    """
    main = _check_alike(scores_by_model)
    decisions = decision if isinstance(decision, Mapping) else {main: decision} if decision else {}
    first, own = scores_by_model[main], decisions.get(main)
    values: dict[str, Values] = {}
    samples: dict[str, Values] = {}
    blocks: dict[str, dict[str, Any]] = {}
    scores_by_model = {model: replace(scores, patients=first.patients) for model, scores in scores_by_model.items()}
    for model, scores in scores_by_model.items():
        # The same seed draws the same patients for each.
        measures = Measures(scores, decisions.get(model), _points(scores, decisions.get(model), model == main))
        values[model], samples[model] = measures.values(), measures.resampled(resamples, seed)
        blocks[model] = _block(scores, values[model], samples[model], level)
        _add_delong(blocks[model], delong(scores.labels, scores.logits, scores.clusters, level))
    result = {
        "model": main,
        **_setting(first, resamples, seed, level),
        **_thresholds_of(own),
        **blocks[main],
        "models": {model: block for model, block in blocks.items() if model != main},
        "differences": {
            model: _difference((first, scores), (values[main], values[model]), (samples[main], samples[model]), level)
            for model, scores in scores_by_model.items()
            if model != main
        },
    }
    if own is not None and first.kind == "logits":
        before = Measures(first, None, {}, ranking=False)
        pair = (before.values(), values[main]), (before.resampled(resamples, seed), samples[main])
        result["calibration"] = _calibration(first, own, *pair, level)
    return result | curves.blocks(first, own)


def _check_alike(scores_by_model: Mapping[str, Scores]) -> str:
    if not scores_by_model:
        raise EvaluationError("evaluate needs the scores of at least one model, got none")
    main, first = next(iter(scores_by_model.items()))
    for name, other in scores_by_model.items():
        if other.findings != first.findings:
            raise EvaluationError(f"{name!r} has other findings than {main!r}: {other.findings}, not {first.findings}")
        if not np.array_equal(other.labels, first.labels, equal_nan=True) or other.split != first.split:
            raise EvaluationError(f"{name!r} and {main!r} are not on the same rows: their labels or splits differ")
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
            name: {
                "thresholds": dict(zip(decision.findings, p.thresholds, strict=True)),
                "prevalence": dict(zip(decision.findings, p.prevalence, strict=True)) if p.prevalence else {},
                "origin": to_dict(p.origin),
            }
            for name, p in decision.operating_points.items()
        },
    }


def _points(scores: Scores, decision: Decision | None, every: bool) -> dict[str, Sequence[float | None]]:
    """The operating points a model is measured at."""
    half: dict[str, Sequence[float | None]] = {"half": (0.5,) * len(scores.findings)}
    if decision is None:
        return half
    names = decision.operating_points if every else [decision.default]
    points = {name: decision.point(name).thresholds for name in names}
    return half | points if every else {**points}


def _some(found: Values, metrics: Sequence[str]) -> Values:
    return {key: values for key, values in found.items() if key[1] in metrics}


def _less(a: Values, b: Values, metrics: Sequence[str]) -> Values:
    """`a` less `b` where both have one of the metrics."""
    return {key: a[key] - b[key] for key in a if key in b and key[1] in metrics}


def _block(scores: Scores, values: Values, samples: Values, level: float) -> dict[str, Any]:
    """One model's numbers: `findings`, and `macro`, `micro` and `weighted` over them."""
    n, positives = scores.counts
    block: dict[str, Any] = {"findings": {finding: {} for finding in scores.findings}}
    for (over, metric), value in values.items():
        low, high = percentiles(samples[over, metric], level)
        if over == "finding":
            for j, finding in enumerate(scores.findings):
                number = Interval(value[j], low[j], high[j], n[j], positives[j])
                block["findings"][finding][metric] = _json(number)
            continue
        number = Interval(float(value), float(low), float(high), n.sum(), positives.sum())
        used = int(np.sum(~np.isnan(values["finding", metric])))
        block.setdefault(over, {})[metric] = _json(number) | {"findings": used, "of": len(scores.findings)}
    return block


def _add_delong(block: dict[str, Any], intervals: Sequence[Interval]) -> None:
    for numbers, interval in zip(block["findings"].values(), intervals, strict=True):
        numbers["auc_delong"] = _json(interval)


def _json(interval: Interval) -> dict[str, Any]:
    """With short limits: resampling tells no more digits, and they are most of the file."""
    number = interval.to_dict()
    for limit, outwards in (("low", math.floor), ("high", math.ceil)):
        if number[limit] is not None:
            number[limit] = outwards(round(number[limit] * 1e6, 3)) / 1e6
    return number


def _difference(
    scores: tuple[Scores, Scores], values: tuple[Values, Values], samples: tuple[Values, Values], level: float
) -> dict[str, Any]:
    """The first model less the second, paired."""
    first, other = scores
    block = _block(first, _less(*values, _SHARED), _less(*samples, _SHARED), level)
    _add_delong(block, delong_difference(first.labels, first.logits, other.logits, first.clusters, level))
    return block


def _calibration(
    scores: Scores, decision: Decision, values: tuple[Values, Values], samples: tuple[Values, Values], level: float
) -> dict[str, Any]:
    """What calibration changed, from the numbers before and after it."""
    origin = decision.temperature_origin
    block: dict[str, Any] = {
        "method": origin.recipe if origin else "not fitted",
        "split": origin.split if origin else "none",
        "notes": list(origin.notes) if origin else [],
        "shifted": decision.prior_shift is not None,
        "findings": {finding: {} for finding in scores.findings},
    }
    parts = {
        "before": (_some(values[0], _CALIBRATED), _some(samples[0], _CALIBRATED)),
        "after": (_some(values[1], _CALIBRATED), _some(samples[1], _CALIBRATED)),
        "difference": (_less(*values[::-1], _CALIBRATED), _less(*samples[::-1], _CALIBRATED)),
    }
    for part, (value, resampled) in parts.items():
        numbers = _block(scores, value, resampled, level)
        for finding, row in numbers.pop("findings").items():
            for metric, number in row.items():
                block["findings"][finding].setdefault(metric, {})[part] = number
        for over, row in numbers.items():
            for metric, number in row.items():
                block.setdefault(over, {}).setdefault(metric, {})[part] = number
    return block
