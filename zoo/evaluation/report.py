"""Evaluates models on one part of a split; every number has its n and its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation import curves
from zoo.evaluation.decision import Decision
from zoo.evaluation.measures import Values, measures
from zoo.evaluation.result import Estimate, Estimates, Evaluation, Mean, Measure, ModelNumbers
from zoo.evaluation.result.evaluation import Calibration, Change, Point
from zoo.evaluation.result.numbers import Resampling
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.tables import RESEARCH_ONLY as RESEARCH_ONLY
from zoo.evaluation.tables import markdown as markdown
from zoo.evaluation.uncertainty import Uncertainty, uncertainty_of, uncertainty_of_difference

#: Metrics that can be compared between two models with different thresholds and calibration.
_SHARED = ("auc", "average_precision")

#: Metrics that calibration changes.
_CALIBRATED = ("log_loss", "brier", "ece")

#: Scores, and calibrated probabilities unless their scale is unknown.
_Side: TypeAlias = tuple[Scores, np.ndarray | None]


def evaluate(
    scores_by_model: Mapping[str, Scores],
    decision: Decision | Mapping[str, Decision] | None = None,
    *,
    level: float = 0.95,
) -> Evaluation:
    """Evaluates one model, and compares others with it, on the same rows.

    Each measure has an interval of its own kind, clustered by patient (docs/concepts/intervals.md, which says what was
    simulated and what was not); differences are paired.

    Args:
        scores_by_model: Name -> scores. The first is the model under report; the others (its members, a baseline) are
            compared with it, and need the same rows, labels and findings.
        decision: The first model's decision, or model -> decision. A model without a decision is evaluated at
            temperature 1 and threshold 0.5.
        level: Confidence level.

    Returns:
        All numbers of the first model; the numbers of the other models at their default operating point only (at 0.5
        without a decision); and the differences (first model minus the other). Interval limits are rounded outwards to
        six decimals. Only the first model has curves, a calibration block (if it has a decision), and co-occurrence
        (unless its scores are of unknown scale).

    Raises:
        ValueError: No models, or models on different rows, labels or findings.

    >>> labels = np.array([[1], [0]] * 20)
    >>> scores = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> result = evaluate({"model": scores})
    >>> result.macro.auc.value, result.patients
    (1.0, 40)
    """
    main = _check_alike(scores_by_model)
    decisions = decision if isinstance(decision, Mapping) else {main: decision} if decision else {}
    first, own = scores_by_model[main], decisions.get(main)
    values: dict[str, Values] = {}
    numbers: dict[str, ModelNumbers] = {}
    sides: dict[str, _Side] = {}
    for model, scores in scores_by_model.items():
        points = _points(scores, decisions.get(model), model == main)
        p = scores.calibrated(decisions.get(model)) if scores.kind == "logits" else None
        sides[model] = replace(scores, patients=first.patients), p
        values[model] = measures(sides[model][0], p, points)
        numbers[model] = _numbers(
            first, values[model], uncertainty_of(sides[model][0], values[model], p, points), level
        )
    others = [model for model in scores_by_model if model != main]
    calibration = None
    if own is not None and first.kind == "logits":
        before = first, first.probabilities
        calibration = _calibration(own, (before, sides[main]), values[main], level)
    drawn, cooccurrence = curves.of(first, own)
    return Evaluation(
        model=main,
        split=first.split,
        split_hash=first.split_hash,
        n=len(first.labels),
        patients=int(first.clusters.max()) + 1,
        patients_known=first.patients is not None,
        interval=Resampling(resamples=0, level=level),
        temperature=tuple(own.temperature) if own is not None else (1.0,),
        default_point=own.default if own is not None else None,
        points=_points_of(own),
        **vars(numbers[main]),
        models={model: numbers[model] for model in others},
        differences={
            model: _difference((sides[main], sides[model]), (values[main], values[model]), level) for model in others
        },
        calibration=calibration,
        curves=drawn,
        cooccurrence=cooccurrence,
    )


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


def _points_of(decision: Decision | None) -> dict[str, Point]:
    if decision is None:
        return {}
    return {
        name: Point(
            dict(zip(decision.findings, p.thresholds, strict=True)),
            dict(zip(decision.findings, p.prevalence, strict=True)) if p.prevalence else {},
            p.origin,
        )
        for name, p in decision.operating_points.items()
    }


def _points(scores: Scores, decision: Decision | None, every: bool) -> dict[str, Sequence[float | None]]:
    """The operating points at which a model is measured."""
    half: dict[str, Sequence[float | None]] = {"half": (0.5,) * len(scores.findings)}
    if decision is None:
        return half
    names = decision.operating_points if every else [decision.default]
    points = {name: decision.point(name).thresholds for name in names}
    return half | points if every else {**points}


def _some(found: Values, metrics: Sequence[str]) -> Values:
    return {key: values for key, values in found.items() if key[1] in metrics}


def _less(a: Values, b: Values, metrics: Sequence[str]) -> Values:
    """`a` minus `b`, for the given metrics that both have."""
    return {key: a[key] - b[key] for key in a if key in b and key[1] in metrics}


def _numbers(scores: Scores, values: Values, uncertainty: Uncertainty, level: float) -> ModelNumbers:
    """One model's numbers for each finding and averaged over findings."""
    n, positives = scores.counts
    by_finding: list[dict[Measure, Estimate]] = [{} for _ in scores.findings]
    averages: dict[str, dict[Measure, Estimate]] = {}
    for (over, metric), value in values.items():
        measure, own = Measure.parse(metric), uncertainty.spreads["finding", metric]
        if over == "finding":
            for j, row in enumerate(by_finding):
                row[measure] = _short(Interval(value[j], *own[j].interval(level), n[j], positives[j]))
            continue
        if over == "micro":
            low, high = uncertainty.spreads[over, metric][0].interval(level)
        else:
            low, high = uncertainty.mean(metric, positives if over == "weighted" else np.ones(len(own)), level)
        used = int(np.sum(~np.isnan(values["finding", metric])))
        average = _short(Interval(float(value), float(low), float(high), n.sum(), positives.sum()))
        averages.setdefault(over, {})[measure] = Mean.over(average, used, len(scores.findings))
    return ModelNumbers(
        {finding: Estimates(row) for finding, row in zip(scores.findings, by_finding, strict=True)},
        *(Estimates(averages.get(over, {})) for over in ("micro", "macro", "weighted")),
    )


def _short(interval: Interval) -> Estimate:
    """Rounds the limits outwards to six decimals: more would tell nothing, and fill the file."""
    number = Estimate.from_interval(interval)
    low, high = (
        None if limit is None else outwards(round(limit * 1e6, 3)) / 1e6
        for limit, outwards in ((number.low, math.floor), (number.high, math.ceil))
    )
    return replace(number, low=low, high=high)


def _difference(sides: tuple[_Side, _Side], values: tuple[Values, Values], level: float) -> ModelNumbers:
    """The first model minus the second, paired."""
    less = _less(*values, _SHARED)
    return _numbers(sides[0][0], less, uncertainty_of_difference(*sides, list(less)), level)


def _calibration(decision: Decision, sides: tuple[_Side, _Side], after: Values, level: float) -> Calibration:
    """The effect of calibration: numbers before and after it, and after minus before."""
    origin, scores = decision.temperature_origin, sides[0][0]
    stages = []
    values = measures(*sides[0], ranking=False), _some(after, _CALIBRATED)
    for side, own in zip(sides, values, strict=True):
        stages.append(_numbers(scores, own, uncertainty_of(side[0], own, side[1]), level))
    less = _less(*values[::-1], _CALIBRATED)
    stages.append(_numbers(scores, less, uncertainty_of_difference(*sides[::-1], list(less)), level))
    return Calibration(
        origin.recipe if origin else "not fitted",
        origin.split if origin else "none",
        tuple(origin.notes) if origin else (),
        decision.prior_shift is not None,
        {finding: _changes(*(stage.findings[finding] for stage in stages)) for finding in scores.findings},
        *(_changes(*(getattr(stage, over) for stage in stages)) for over in ("micro", "macro", "weighted")),
    )


def _changes(before: Estimates, after: Estimates, difference: Estimates) -> dict[Measure, Change]:
    rows = (before.by_measure, after.by_measure, difference.by_measure)
    return {measure: Change(*(row[measure] for row in rows)) for measure in before}
