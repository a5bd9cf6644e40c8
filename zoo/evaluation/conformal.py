"""Thresholds with a guaranteed sensitivity or specificity on new patients (risk control), and abstention between them.

A threshold that just reaches 0.9 on the validation part falls below 0.9 on new patients about half of the time. A
threshold that guarantees 0.9 with a confidence of 0.95 falls below it for at most 5 % of validation parts, for any
model and any prevalence. It must therefore reach more than 0.9 on the validation part; an exact binomial test tells
how much more (Learn then Test, Angelopoulos et al. 2021; Bates et al. 2021). Sensitivity and specificity are monotone
in the threshold, so thresholds are tested in a fixed sequence up to the first that fails, and no correction for
multiple testing is needed.

The guarantee holds for patients who are exchangeable with those of the validation part, each counted once: if patients
have several images, one image of each patient is drawn. It holds for each finding separately; for k findings
simultaneously, ask for a confidence of 1 - (1 - confidence) / k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from zoo.core.errors import EvaluationError
from zoo.core.seeds import check_seed
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
    """Finds the highest threshold of each finding that guarantees the sensitivity.

    Args:
        scores: Logits and labels of the validation part. `decision` may be fitted on the same images, since a
            temperature does not change their order.
        target: Guaranteed sensitivity, between 0 and 1.
        confidence: Confidence of the guarantee, between 0 and 1.
        decision: The calibration that the thresholds apply to, and which findings were trained (the others get no
            threshold).
        seed: Seed for drawing one image of each patient.
        date: ISO date stored with the fit; today by default.

    Returns:
        An operating point of the recipe "sensitivity_guaranteed"; its `achieved` is the sensitivity on the images used.
        A threshold is None if there are too few positives for the guarantee, and a note says how many are needed
        (`samples_needed`).

    Raises:
        SplitError: The scores are not of the validation part.
        ValueError: They are scores of unknown scale, or target or confidence is not between 0 and 1.

    >>> labels = np.array([[1], [0]] * 40)
    >>> scores = Scores(np.where(labels, 2.0, -2.0), labels, ("Edema",), "validation")
    >>> control_sensitivity(scores, 0.9).achieved, control_sensitivity(scores, 0.99).thresholds
    ((1.0,), (None,))
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
    """Finds the lowest threshold of each finding that guarantees the specificity; arguments as `control_sensitivity`.

    There is no guaranteed PPV, since it would hold at the prevalence of the validation part only.

    >>> labels = np.array([[1], [0]] * 40)
    >>> control_specificity(Scores(np.where(labels, 2.0, -2.0), labels, ("Edema",), "validation"), 0.9).achieved
    (1.0,)
    """
    return _control(scores, _Guarantee("specificity", target, confidence, decision, seed, date))


def samples_needed(target: float, confidence: float) -> int:
    """The smallest number of positives with which a sensitivity can be guaranteed (negatives for a specificity).

    With this number all of them must be classified correctly: target ** n <= 1 - confidence.

    >>> samples_needed(0.9, 0.95)
    29
    """
    _check(target, confidence)
    return math.ceil(math.log(1 - confidence) / math.log(target) - 1e-9)


@dataclass(frozen=True)
class Abstention:
    """Two thresholds for each finding: negative below the low one, positive at or above the high one, else undecided.

    Attributes:
        low: Guarantees the sensitivity. A finding whose threshold is None is never called negative.
        high: Guarantees the specificity, and is never below `low`. A finding whose threshold is None is never called
            positive.

    >>> low, high = (OperatingPoint((t,), Origin("example")) for t in (0.2, 0.7))
    >>> Abstention(low, high).decide(np.array([[0.1], [0.5], [0.7]])).ravel().tolist()
    [0.0, nan, 1.0]
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
    """Finds two thresholds between which the model abstains, so that both kinds of call carry a guarantee.

    Of new patients with a finding, at most a share of 1 - sensitivity is called negative; of those without it, at most
    1 - specificity is called positive; each guarantee holds at the stated confidence. If one threshold meets both
    guarantees, it is used for both and no image is undecided. Arguments and errors are those of `control_sensitivity`.

    >>> labels = np.array([[1], [0]] * 40)
    >>> scores = Scores(np.where(labels, 2.0, -2.0), labels, ("Edema",), "validation")
    >>> abstention = control_abstention(scores)
    >>> abstention.low.thresholds == abstention.high.thresholds
    True
    """
    low = control_sensitivity(scores, sensitivity, confidence, decision=decision, seed=seed, date=date)
    high = control_specificity(scores, specificity, confidence, decision=decision, seed=seed, date=date)
    return Abstention(low, _not_below(high, low, scores, decision, seed))


def coverage(scores: Scores, abstention: Abstention, decision: Decision | None = None) -> dict[str, Coverage]:
    """Measures abstention on a set of images: how many are decided, and how well.

    Args:
        scores: Scores of any part; the thresholds were fitted on the validation part.
        abstention: The two thresholds of each finding.
        decision: The calibration that they were fitted under.

    Returns:
        Finding -> the share of the images that are decided, of the positives not called negative, and of the negatives
        not called positive, with intervals clustered by patient. `positives` counts the numerator of each share.

    >>> labels = np.array([[1], [0], [1], [0]])
    >>> scores = Scores(np.array([[2.0], [-2.0], [0.0], [-2.0]]), labels, ("Edema",), "test")
    >>> low, high = (OperatingPoint((t,), Origin("example")) for t in (0.3, 0.7))
    >>> coverage(scores, Abstention(low, high))["Edema"].decided.value
    0.75
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
        """The class whose images must be classified correctly: 1 for sensitivity, 0 for specificity."""
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
    """Threshold, the share of `rows` (all of one class) that it gets right, and the reason if there is no threshold."""
    needed = hits_needed(len(rows), guarantee.target, guarantee.confidence)
    if needed is None:
        fewest = samples_needed(guarantee.target, guarantee.confidence)
        return None, None, f"{fewest} needed to guarantee {guarantee.target:g} with confidence {guarantee.confidence:g}"
    truth = guarantee.truth
    # Images of the other class do not count; they only place the threshold in the gap between two probabilities.
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
            f"the highest probabilities are negatives, so no threshold guarantees {guarantee.target:g}",
        )
    cut = int(enough[0] if truth else enough[-1])
    return found.threshold(cut), float(right[cut] / len(rows)), ""


def _drawn(scores: Scores, truth: int, seed: int) -> list[np.ndarray]:
    """For each finding, the rows of one class, with one randomly drawn row for each patient."""
    order, clusters = np.random.default_rng(check_seed(seed)).permutation(len(scores.labels)), scores.clusters
    drawn = []
    for labels in scores.labels.T:
        rows = order[labels[order] == truth]
        drawn.append(rows[np.unique(clusters[rows], return_index=True)[1]])
    return drawn


def _how(scores: Scores, guarantee: _Guarantee) -> str:
    who = f"one image a patient (seed {guarantee.seed})"
    if scores.patients is None:
        who = "patients unknown: each image counts as a patient of its own"
    return f"guaranteed with confidence {guarantee.confidence:g} for exchangeable patients; {who}"


def _not_below(
    high: OperatingPoint, low: OperatingPoint, scores: Scores, decision: Decision | None, seed: int
) -> OperatingPoint:
    """The high point, raised to the low threshold for findings where that one meets both guarantees."""
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
