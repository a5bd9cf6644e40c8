"""Thresholds that guarantee a sensitivity or a specificity on new patients, at a stated confidence, or abstain.

A threshold that reaches 0.9 on the validation part has an even chance to stay below it on new patients. One with a
guarantee of 0.9 at a confidence of 0.95 falls below it for 5 % of validation parts at most, whatever the model and the
disease. It must therefore reach more than 0.9 on the validation part; how much more is an exact binomial test (Learn
then Test, Angelopoulos et al. 2021; Bates et al. 2021). Sensitivity and specificity are monotone in the threshold, so
that thresholds are tested in fixed sequence up to the first that fails, and multiple testing needs no correction.

The guarantee holds for patients exchangeable with those of the validation part, each counted once: where patients have
several images, one image is drawn of each, since further images of one patient say little more. It holds for each
finding; for k findings at once ask for a confidence of 1 - (1 - confidence) / k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import Coverage
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.counts import at_least, cuts
from zoo.evaluation.statistics.proportions import hits_needed, proportion


def control_sensitivity(
    scores: Scores,
    target: float = 0.9,
    confidence: float = 0.95,
    *,
    decision: Decision | None = None,
    seed: int = 0,
    date: str | None = None,
) -> OperatingPoint:
    """The highest threshold of each finding that guarantees the sensitivity.

    Args:
        scores: Logits and labels of the validation part. `decision` may be fitted on the same images, since a
            temperature does not change their order.
        target: Guaranteed sensitivity, between 0 and 1.
        confidence: Confidence of the guarantee, between 0 and 1.
        decision: Under whose temperature the thresholds hold, and which findings were trained (the others get none).
        seed: Seed of the draw of one image a patient.
        date: ISO date kept with the fit; today's by default.

    Returns:
        A point for a `Decision`, of recipe "sensitivity_guaranteed"; `achieved` is the sensitivity on the images used.
        A threshold is None where the positives are too few to guarantee it, and a note says how many are needed
        (`samples_needed`).

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or target or confidence is not between 0 and 1.
    """
    return _control(scores, _Guarantee("sensitivity", target, confidence, decision, seed, date))


def control_specificity(
    scores: Scores,
    target: float = 0.9,
    confidence: float = 0.95,
    *,
    decision: Decision | None = None,
    seed: int = 0,
    date: str | None = None,
) -> OperatingPoint:
    """The lowest threshold of each finding that guarantees the specificity; otherwise as `control_sensitivity`.

    Use it in place of a guaranteed PPV, which would hold at the validation part's prevalence alone.
    """
    return _control(scores, _Guarantee("specificity", target, confidence, decision, seed, date))


def samples_needed(target: float, confidence: float) -> int:
    """The fewest positives (for a sensitivity; negatives for a specificity) with which it can be guaranteed at all.

    All of them have to be right then: target ** n <= 1 - confidence. 29 for 0.9 at 0.95.

    >>> samples_needed(0.9, 0.95)
    29
    """
    _check(target, confidence)
    return math.ceil(math.log(1 - confidence) / math.log(target) - 1e-9)


@dataclass(frozen=True)
class Abstention:
    """Two thresholds a finding: negative below the low one, positive from the high one on, undecided between.

    Attributes:
        low: Guarantees the sensitivity; None for a finding that is never called negative.
        high: Guarantees the specificity, and is nowhere below `low`; None for one that is never called positive.
    """

    low: OperatingPoint
    high: OperatingPoint

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n, k) to float32 (n, k) of 1, 0 and NaN (undecided)."""
        low, high = (np.array(point.thresholds, np.float64) for point in (self.low, self.high))
        positive = at_least(probabilities, high)  # never, where there is no threshold
        negative = ~at_least(probabilities, low) & ~np.isnan(low) & ~np.isnan(probabilities)
        return np.where(positive, 1.0, np.where(negative, 0.0, np.nan)).astype(np.float32)


def control_abstention(
    scores: Scores,
    sensitivity: float = 0.9,
    specificity: float = 0.9,
    confidence: float = 0.95,
    *,
    decision: Decision | None = None,
    seed: int = 0,
    date: str | None = None,
) -> Abstention:
    """Thresholds between which the model abstains, so that either kind of call can be trusted.

    Of new patients with a finding, a share of at most 1 - sensitivity is called negative; of those without, at most
    1 - specificity is called positive; each guarantee at the stated confidence. Where one threshold keeps both, it is
    taken for both and nothing is left undecided. Arguments and errors as `control_sensitivity`.
    """
    low = control_sensitivity(scores, sensitivity, confidence, decision=decision, seed=seed, date=date)
    high = control_specificity(scores, specificity, confidence, decision=decision, seed=seed, date=date)
    return Abstention(low, _not_below(high, low, scores, decision, seed))


def coverage(scores: Scores, abstention: Abstention, decision: Decision | None = None) -> dict[str, Coverage]:
    """What abstaining comes to on a set: how much is decided, and how well.

    Args:
        scores: Any part; the guarantees were fitted on the validation part.
        abstention: The thresholds.
        decision: Whose temperature they were fitted under.

    Returns:
        Finding -> share of the images decided, of the positives not called negative, and of the negatives not called
        positive, with intervals by patient; `positives` counts the images decided, or right.
    """
    calls = abstention.decide(scores.calibrated(decision))
    found = {}
    for j, finding in enumerate(scores.findings):
        truth, call = scores.labels[:, j], calls[:, j]
        shares = (
            (~np.isnan(call)).astype(np.float64),
            np.where(truth == 1, call != 0, np.nan),
            np.where(truth == 0, call != 1, np.nan),
        )
        found[finding] = Coverage(*(Estimate.from_interval(proportion(hits, scores.clusters)) for hits in shares))
    return found


@dataclass(frozen=True)
class _Guarantee:
    measure: str
    target: float
    confidence: float
    decision: Decision | None
    seed: int
    date: str | None

    @property
    def truth(self) -> int:
        """The class of which a share has to be right."""
        return int(self.measure == "sensitivity")


def _control(scores: Scores, guarantee: _Guarantee) -> OperatingPoint:
    scores.check_fittable(f"a guaranteed {guarantee.measure}")
    _check(guarantee.target, guarantee.confidence)
    decision = guarantee.decision or Decision(scores.findings)
    p = scores.calibrated(decision)
    n, positives = (tuple(int(c) for c in counts) for counts in scores.counts)
    notes = [_how(scores, guarantee)]
    thresholds: list[float | None] = []
    achieved: list[float | None] = []
    for j, (finding, rows) in enumerate(
        zip(scores.findings, _drawn(scores, guarantee.truth, guarantee.seed), strict=True)
    ):
        count = f"{len(rows)} {'positives' if guarantee.truth else 'negatives'}"
        known = int(np.sum(scores.labels[:, j] == guarantee.truth))
        threshold, reached, why = _choose(scores.labels[:, j], p[:, j], rows, guarantee)
        if not decision.trained[j]:
            threshold, reached, why = None, None, "not trained"
        thresholds.append(threshold)
        achieved.append(reached)
        if threshold is None:
            notes.append(f"{finding}: {count}, {why}, threshold null")
        elif len(rows) < known:
            notes.append(f"{finding}: rests on {count} of {known}, one image a patient")
    recipe, date = f"{guarantee.measure}_guaranteed", guarantee.date or datetime.now(UTC).date().isoformat()
    origin = Origin(recipe, scores.split, scores.split_hash, n, positives, guarantee.target, date, tuple(notes))
    return OperatingPoint(tuple(thresholds), origin, tuple(achieved))


def _choose(
    labels: np.ndarray, p: np.ndarray, rows: np.ndarray, guarantee: _Guarantee
) -> tuple[float | None, float | None, str]:
    """Threshold, what it reaches on `rows` (all of one class), and why there is none."""
    needed = hits_needed(len(rows), guarantee.target, guarantee.confidence)
    if needed is None:
        fewest = samples_needed(guarantee.target, guarantee.confidence)
        return None, None, f"{fewest} needed to guarantee {guarantee.target:g} with confidence {guarantee.confidence:g}"
    truth = guarantee.truth
    # Images of the other class are no evidence here; they only keep the threshold in the gap between two probabilities.
    used = np.where(labels == 1 - truth, labels, np.nan)
    used[rows] = truth
    found = cuts(used, p)
    right = found.tp if truth else len(rows) - found.fp
    # Strictest first: sensitivity grows along the cuts, specificity falls.
    enough = np.flatnonzero(right >= needed)
    if not len(enough):
        return (
            None,
            None,
            f"the highest probabilities are negatives, so that {guarantee.target:g} leaves no positive call",
        )
    cut = int(enough[0] if truth else enough[-1])
    return found.threshold(cut), float(right[cut] / len(rows)), ""


def _drawn(scores: Scores, truth: int, seed: int) -> list[np.ndarray]:
    """For each finding the rows of one class, one of each patient, drawn at random."""
    order, clusters = np.random.default_rng(seed).permutation(len(scores.labels)), scores.clusters
    drawn = []
    for labels in scores.labels.T:
        rows = order[labels[order] == truth]
        drawn.append(rows[np.unique(clusters[rows], return_index=True)[1]])
    return drawn


def _how(scores: Scores, guarantee: _Guarantee) -> str:
    who = f"one image a patient (seed {guarantee.seed})"
    if scores.patients is None:
        who = "patients unknown: each image is taken for one"
    return f"guaranteed with confidence {guarantee.confidence:g} for exchangeable patients; {who}"


def _not_below(
    high: OperatingPoint, low: OperatingPoint, scores: Scores, decision: Decision | None, seed: int
) -> OperatingPoint:
    """The high point, raised to the low one where that keeps both guarantees by itself."""
    thresholds, achieved, notes = list(high.thresholds), list(high.achieved), list(high.origin.notes)
    p, negatives = scores.calibrated(decision), _drawn(scores, 0, seed)
    for j, (finding, upper, lower) in enumerate(zip(scores.findings, high.thresholds, low.thresholds, strict=True)):
        if upper is not None and lower is not None and lower > upper:
            thresholds[j], achieved[j] = lower, float(1 - at_least(p[negatives[j], j], lower).mean())
            notes.append(f"{finding}: raised from {upper:.4g} to the threshold of the sensitivity, which keeps both")
    return OperatingPoint(tuple(thresholds), replace(high.origin, notes=tuple(notes)), tuple(achieved))


def _check(target: float, confidence: float) -> None:
    for name, value in (("target", target), ("confidence", confidence)):
        if not 0 < value < 1:
            raise EvaluationError(f"{name} must lie between 0 and 1 (no finite sample guarantees either), got {value}")
