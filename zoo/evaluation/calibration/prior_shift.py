"""Adjusts probabilities and thresholds to a target prevalence.

Only label shift is corrected: the prevalence differs, while images with the finding, and images without it, look as in
the data of the calibration. Differences in devices, patients, views or labelling rules are not corrected. The
probabilities must be calibrated at the source prevalence. If the training loss gave positives a higher weight, a
temperature alone leaves the probabilities too high: use "platt" or "isotonic" before adjusting such a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from zoo.core.errors import EvaluationError, UnknownNameError
from zoo.evaluation.calibration.calibrators import PriorShift
from zoo.evaluation.decision import Decision, OperatingPoint, Reached
from zoo.evaluation.statistics.inputs import check_probabilities

#: One number for all findings, one for each finding (None: not adjusted), or finding -> number (others: not adjusted).
Prevalence = float | Sequence[float | None] | np.ndarray | Mapping[str, float]


def adjust_prevalence(
    probabilities: np.ndarray,
    source_prevalence: float | Sequence[float] | np.ndarray,
    target_prevalence: float | Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Adjusts calibrated probabilities to another prevalence by Bayes' rule (Elkan 2001, theorem 2).

    Args:
        probabilities: (..., k) in 0..1, calibrated at the source prevalence. NaN stays NaN.
        source_prevalence: One number or one for each finding, strictly between 0 and 1.
        target_prevalence: One number or one for each finding, in 0..1.

    Returns:
        The same shape and float type; the order of images does not change.

    Raises:
        ValueError: A probability or a target outside 0..1, or a source not strictly between 0 and 1.

    >>> adjust_prevalence(np.array([0.5]), 0.5, 0.1).round(3).tolist()
    [0.1]
    """
    given = np.asarray(probabilities)
    check_probabilities(given[~np.isnan(given)])
    source, target = _priors(source_prevalence, target_prevalence)
    p = given.astype(np.float64)
    positive, negative = p * (target / source), (1 - p) * ((1 - target) / (1 - source))
    with np.errstate(invalid="ignore"):
        adjusted = positive / (positive + negative)  # 0 / 0 for a target of 0 and a probability of 1
    return np.where(positive + negative > 0, adjusted, p).astype(given.dtype if given.dtype == np.float32 else p.dtype)


def estimate_prevalence(
    probabilities: np.ndarray, source_prevalence: float | Sequence[float] | np.ndarray
) -> np.ndarray:
    """Estimates the prevalence of each finding in images without labels by maximum likelihood (Saerens et al. 2002).

    The likelihood is concave in the prevalence, so the limit of their EM algorithm is found directly. The estimate is
    more precise the more images there are and the better the model separates the classes. It is biased if more than the
    prevalence differs, or if the calibration is poor for very low or very high probabilities. On 6,653 predictions of a
    CheXNet on real images without any shift, Platt-calibrated on as many patients, it was wrong by factors of 0.1 to 6:
    prefer labels of local images where you can get them.

    Args:
        probabilities: (n, k) in 0..1 of the unlabelled images, calibrated at the source prevalence. NaN is left out.
        source_prevalence: One number or one for each finding, strictly between 0 and 1.

    Returns:
        float64 (k,) in 0..1; NaN for a finding without images.

    Raises:
        ValueError: A probability outside 0..1, or a source not strictly between 0 and 1.

    >>> estimate_prevalence(np.array([[1.0], [0.0], [0.0], [0.0]]), 0.5).round(6).tolist()
    [0.25]
    """
    given = np.asarray(probabilities, np.float64)
    check_probabilities(given[~np.isnan(given)])
    source, _ = _priors(source_prevalence, 0.5)
    return np.array(
        [
            _most_likely(p[~np.isnan(p)], s)
            for p, s in zip(given.T, np.broadcast_to(source, given.shape[1:]), strict=True)
        ]
    )


def shift_decision(
    decision: Decision, target_prevalence: Prevalence, *, source_prevalence: Prevalence | None = None
) -> Decision:
    """Adjusts the probabilities and thresholds of a decision to a target prevalence.

    Probabilities are adjusted as by `adjust_prevalence`, and thresholds with them. The calls stay the same (up to the
    last bit of float32), and so do sensitivity and specificity. PPV and F1 change; they are computed again from
    sensitivity and specificity, without intervals. A point that was fitted for the best F1 or for a PPV is then no
    longer optimal; use `fit_points` on labelled local images if there are any.

    Args:
        decision: Fitted on the validation part. It may already be adjusted; the new target then replaces the old one.
        target_prevalence: One number, one for each finding, or finding -> number, strictly between 0 and 1.
        source_prevalence: The prevalence of the calibration, in the same forms; by default the one stored in the
            decision (that of the validation part).

    Raises:
        UnknownNameError: The decision has no such finding.
        ValueError: A prevalence is not strictly between 0 and 1, or the source prevalence of a finding is unknown.

    >>> decision = Decision(("Edema",))
    >>> shifted = shift_decision(decision, 0.1, source_prevalence=0.5)
    >>> round(shifted.point().thresholds[0], 6)
    0.1
    """
    target = _by_finding(decision, target_prevalence)
    sources = _by_finding(decision, source_prevalence) if source_prevalence is not None else calibrated_at(decision)
    earlier = decision.prior_shift
    for j, finding in enumerate(decision.findings):
        if target[j] is None and earlier is not None:
            target[j] = earlier.target[j]
        if target[j] is not None and sources[j] is None:
            raise EvaluationError(
                f"the prevalence that {finding!r} was calibrated at is not known: give source_prevalence"
            )
    source = [s if t is not None else None for s, t in zip(sources, target, strict=True)]
    for prevalence in (*source, *target):
        if prevalence is not None and not 0 < prevalence < 1:
            raise EvaluationError(f"a prevalence must lie between 0 and 1, got {prevalence}")
    shift = PriorShift(tuple(source), tuple(target))
    moved = shift.offset - (earlier.offset if earlier is not None else 0.0)
    points = {name: _moved(point, moved, target) for name, point in decision.operating_points.items()}
    return replace(decision, operating_points=points, prior_shift=shift)


def calibrated_at(decision: Decision) -> list[float | None]:
    """The prevalence at which each finding was calibrated, before any adjustment; None where it is unknown.

    >>> calibrated_at(Decision(("Edema",)))
    [None]
    """
    origin = decision.temperature_origin
    known: Sequence[float | None] = decision.point().prevalence or (None,) * len(decision.findings)
    if origin is not None and origin.n:
        known = [p / n if 0 < p < n else None for p, n in zip(origin.positives, origin.n, strict=True)]
    if decision.prior_shift is None:
        return list(known)
    return [k if s is None else s for k, s in zip(known, decision.prior_shift.source, strict=True)]


def _moved(point: OperatingPoint, offset: np.ndarray, target: Sequence[float | None]) -> OperatingPoint:
    """A point with its thresholds moved by an offset in log-odds and its prevalence-dependent values computed again."""
    thresholds = tuple(
        t if t is None or not o or t in (0.0, 1.0) else _shortest(1 / (1 + (1 - t) / t * np.exp(-o)))
        for t, o in zip(point.thresholds, offset, strict=True)
    )
    before = point.prevalence or (None,) * len(thresholds)
    prevalence = tuple(b if t is None else t for b, t in zip(before, target, strict=True))
    reached = {}
    for measure, numbers in point.reached.items():
        if measure not in ("ppv", "f1"):
            reached[measure] = numbers
        elif {"sensitivity", "specificity"} <= point.reached.keys():
            reached[measure] = _at_prevalence(measure, numbers, point.reached, target)
    own = {"max_f1_sweep": "f1", "max_f1": "f1", "ppv_at_least": "ppv"}.get(point.origin.recipe)
    achieved = point.achieved
    if own is not None and achieved:
        fresh = reached[own].value if own in reached else (None,) * len(thresholds)
        achieved = tuple(a if t is None else f for a, f, t in zip(achieved, fresh, target, strict=True))
    note = "thresholds moved to another prevalence: sensitivity and specificity are those of the validation part"
    notes = (*(n for n in point.origin.notes if n != note), note)
    return OperatingPoint(thresholds, replace(point.origin, notes=notes), achieved, reached, prevalence)


def _at_prevalence(
    measure: str, numbers: Reached, reached: Mapping[str, Reached], target: Sequence[float | None]
) -> Reached:
    """PPV or F1 at the target prevalence, from sensitivity and specificity; without an interval."""
    values: list[float | None] = []
    for j, prevalence in enumerate(target):
        sensitivity, specificity = (reached[m].value[j] for m in ("sensitivity", "specificity"))
        if prevalence is None or sensitivity is None or specificity is None:
            values.append(numbers.value[j])
            continue
        tp, fp = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
        whole = tp + fp if measure == "ppv" else (tp + fp + prevalence) / 2
        values.append(tp / whole if whole > 0 else None)
    low, high = (
        tuple(old if t is None else None for old, t in zip(limits, target, strict=True))
        for limits in (numbers.low, numbers.high)
    )
    return Reached(tuple(values), low, high, numbers.n)


def _by_finding(decision: Decision, prevalence: Prevalence) -> list[float | None]:
    if isinstance(prevalence, Mapping):
        for name in prevalence:
            if name not in decision.findings:
                raise UnknownNameError("finding", name, decision.findings)
        return [prevalence.get(name) for name in decision.findings]
    if isinstance(prevalence, float | int):
        return [float(prevalence)] * len(decision.findings)
    values = [None if p is None or np.isnan(p) else float(p) for p in prevalence]
    if len(values) != len(decision.findings):
        raise EvaluationError(f"expected {len(decision.findings)} prevalences, one a finding, got {len(values)}")
    return values


def _priors(
    source: float | Sequence[float] | np.ndarray, target: float | Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if not ((before > 0) & (before < 1)).all():
        raise EvaluationError(f"a source prevalence must lie between 0 and 1, got {source}")
    if not ((after >= 0) & (after <= 1)).all():
        raise EvaluationError(f"a target prevalence must lie in 0..1, got {target}")
    return before, after


def _most_likely(p: np.ndarray, source: float) -> float:
    """The prevalence in 0..1 that maximises sum(log(prevalence * a + (1 - prevalence) * b)), by bisection."""
    if not len(p):
        return np.nan
    a, b = p / source, (1 - p) / (1 - source)
    low, high = (source, source) if np.allclose(a, b) else (0.0, 1.0)  # uninformative images leave it at the source
    for _ in range(60):
        middle = (low + high) / 2
        rising = np.sum((a - b) / (middle * a + (1 - middle) * b)) > 0
        low, high = (middle, high) if rising else (low, middle)
    return (low + high) / 2


def _shortest(value: float) -> float:
    """The shortest decimal that is read back as the same float32."""
    return float(str(np.float32(value)))
