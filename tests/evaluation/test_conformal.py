import json
from dataclasses import replace
from math import comb, erf, log, sqrt

import numpy as np
import pytest
from as_json import as_json

from zoo.core.errors import SplitError
from zoo.evaluation.conformal import (
    Abstention,
    control_abstention,
    control_sensitivity,
    control_specificity,
    coverage,
    samples_needed,
)
from zoo.evaluation.decision import Decision, OperatingPoint, Origin, positives
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.proportions import binomial_tail, hits_needed

coverage = as_json(coverage)

SETS = 1000


def simulated(positive_films: int, negative_films: int, *, copies: int = 1, seed: int = 0) -> Scores:
    """`SETS` validation parts as so many findings: positives from N(1, 1), negatives from N(-1, 1), in logits."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([1.0, 0.0], [positive_films, negative_films])[:, None] * np.ones(SETS)
    logits = np.repeat(rng.normal(size=labels.shape) + 2 * labels - 1, copies, axis=0)
    logits += 1e-3 * rng.normal(size=logits.shape) * (copies > 1)
    patients = np.repeat(np.arange(len(labels)), copies)
    findings = tuple(f"set {j}" for j in range(SETS))
    return Scores(logits, np.repeat(labels, copies, axis=0), findings, "validation", "hash", patients)


def above(point: OperatingPoint, mean: float) -> np.ndarray:
    """The true share of N(mean, 1) at or above each threshold."""
    logits = [log(t / (1 - t)) for t in point.thresholds]
    return np.array([0.5 * (1 + erf((mean - z) / sqrt(2))) for z in logits])


@pytest.mark.parametrize("count", [29, 60, 200])
def test_the_guaranteed_sensitivity_is_kept_as_often_as_guaranteed(count):
    """Over 1,000 validation parts the true sensitivity falls short in 5 % at most, and not in far fewer than it may."""
    point = control_sensitivity(simulated(count, 50), 0.9, 0.95)
    short = np.mean(above(point, 1) < 0.9)
    # What the binomial test allows: less than 5 %, since hits are whole numbers.
    allowed = binomial_tail(hits_needed(count, 0.9, 0.95), count, 0.9)
    assert allowed <= 0.05
    assert short <= allowed + 0.02
    assert short >= allowed - 0.025


def test_the_plain_threshold_breaks_the_guarantee_half_of_the_time():
    scores = simulated(200, 50)
    plain = np.quantile(scores.logits[:200], 0.1, axis=0)
    assert np.mean(0.5 * (1 + np.array([erf(z) for z in (1 - plain) / sqrt(2)])) < 0.9) > 0.3


def test_a_higher_confidence_fails_less_often():
    scores = simulated(200, 50)
    short = [np.mean(above(control_sensitivity(scores, 0.9, c), 1) < 0.9) for c in (0.7, 0.99)]
    assert short[0] == pytest.approx(0.3, abs=0.08)
    assert short[1] <= 0.02


def test_the_guaranteed_specificity_is_kept_too():
    point = control_specificity(simulated(50, 150), 0.8, 0.9)
    assert np.mean(1 - above(point, -1) < 0.8) <= 0.1 + 0.025
    assert np.mean(1 - above(point, -1) < 0.8) > 0.04


def test_several_films_of_a_patient_count_once():
    """Five images each of 40 patients are not 200 patients: taken for that, they break the guarantee."""
    scores = simulated(40, 10, copies=5)
    kept, broken = (control_sensitivity(s, 0.9, 0.95) for s in (scores, replace(scores, patients=None)))
    assert np.mean(above(kept, 1) < 0.9) <= 0.05 + 0.02
    assert np.mean(above(broken, 1) < 0.9) > 0.15
    assert "one image a patient (seed 0)" in kept.origin.notes[0]
    assert kept.origin.notes[1] == "set 0: rests on 40 positives of 200, one image a patient"
    assert "patients unknown" in broken.origin.notes[0]
    other = control_sensitivity(scores, 0.9, 0.95, seed=1)
    assert other.thresholds != kept.thresholds
    assert control_sensitivity(scores, 0.9, 0.95).thresholds == kept.thresholds


def test_by_hand_one_positive_of_fifty_may_be_missed():
    """P(at least 49 of 50 | 0.9) is 0.0338, P(at least 48) is 0.1117: the second lowest positive is the last caught."""
    p = np.concatenate([np.arange(50, 100) / 100, [0.505, 0.2]])
    scores = Scores.from_probabilities(
        p[:, None], np.repeat([1.0, 0.0], [50, 2])[:, None], ("Edema",), split="validation"
    )
    point = control_sensitivity(scores, 0.9, 0.95, date="2024-02-03")
    assert point.thresholds == pytest.approx(((0.51 + 0.505) / 2,))
    assert point.achieved == (0.98,)
    origin = point.origin
    assert (origin.recipe, origin.target, origin.date) == ("sensitivity_guaranteed", 0.9, "2024-02-03")
    assert (origin.n, origin.positives) == ((52,), (50,))


def test_specificity_by_hand():
    p = np.concatenate([np.arange(1, 51) / 100, [0.9]])
    scores = Scores.from_probabilities(
        p[:, None], np.repeat([0.0, 1.0], [50, 1])[:, None], ("Edema",), split="validation"
    )
    point = control_specificity(scores, 0.9, 0.95)
    assert point.thresholds == pytest.approx((0.495,))
    assert point.achieved == (0.98,)
    strict = control_specificity(scores, 0.942, 0.949)
    assert strict.thresholds == pytest.approx((0.7,))
    led = Scores.from_probabilities(
        1 - p[:, None], np.repeat([0.0, 1.0], [50, 1])[:, None], ("Edema",), split="validation"
    )
    none = control_specificity(led, 0.942, 0.949)
    assert none.thresholds == (None,)
    assert "the highest probabilities are negatives" in none.origin.notes[1]


def test_too_few_positives_guarantee_nothing_and_the_note_says_how_many_would():
    assert [samples_needed(0.9, 0.95), samples_needed(0.95, 0.95), samples_needed(0.9, 0.99)] == [29, 59, 44]
    point = control_sensitivity(simulated(28, 10))
    assert set(point.thresholds) == {None}
    assert set(point.achieved) == {None}
    note = "set 0: 28 positives, 29 needed to guarantee 0.9 with confidence 0.95, threshold null"
    assert point.origin.notes[1] == note
    assert None not in control_sensitivity(simulated(29, 10)).thresholds
    assert "set 0: 0 positives" in control_sensitivity(simulated(0, 10)).origin.notes[1]


def test_a_guaranteed_point_is_stored_and_applied_as_any_other(make_scores):
    scores = make_scores(2000)
    given = Decision(scores.findings, (2.0,), trained=(False, True, True, True, True))
    point = control_sensitivity(scores, decision=given)
    decision = replace(given, operating_points={"guaranteed": point}, default="guaranteed")
    stored = Decision.from_dict(json.loads(json.dumps(decision.to_dict())), scores.findings)
    assert stored == decision
    assert point.thresholds[0] is None
    assert "Finding 0: " in point.origin.notes[1]
    assert "not trained" in point.origin.notes[1]
    calls = positives(scores.calibrated(stored), stored)
    for j in range(1, 5):
        assert calls[scores.labels[:, j] == 1, j].mean() == pytest.approx(point.achieved[j], abs=0.03)
    # A temperature moves the threshold, and no call.
    plain = control_sensitivity(scores)
    assert plain.thresholds[1] != point.thresholds[1]
    calls_plain = positives(scores.probabilities, Decision(scores.findings, (1.0,), {"p": plain}, "p"))
    assert np.array_equal(calls[:, 1:], calls_plain[:, 1:])


def test_abstention_keeps_both_guarantees_and_decides_what_it_can(make_scores):
    validation, test = make_scores(4000), make_scores(20000, split="test", seed=1)
    rule = control_abstention(validation, 0.98, 0.98)
    found = coverage(test, rule)
    for finding, low, high in zip(validation.findings, rule.low.thresholds, rule.high.thresholds, strict=True):
        assert low < high
        block = found[finding]
        assert block["sensitivity"]["value"] >= 0.97
        assert block["specificity"]["value"] >= 0.97
        assert 0.15 < block["decided"]["low"] < block["decided"]["value"] < block["decided"]["high"] < 0.95
        assert block["decided"]["n"] == 20000
    calls = rule.decide(test.probabilities)
    p, j = test.probabilities[:, 2], 2
    assert np.array_equal(calls[:, j] == 0, p.astype(np.float32) < np.float32(rule.low.thresholds[j]))
    assert np.array_equal(calls[:, j] == 1, p.astype(np.float32) >= np.float32(rule.high.thresholds[j]))
    json.dumps(found, allow_nan=False)


def test_nothing_is_left_undecided_where_one_threshold_keeps_both(make_scores):
    scores = make_scores(4000)
    rule = control_abstention(scores, 0.7, 0.7)
    assert rule.low.thresholds == rule.high.thresholds
    assert not np.isnan(rule.decide(scores.probabilities)).any()
    assert [block["decided"]["value"] for block in coverage(scores, rule).values()] == [1.0] * 5
    assert min(rule.high.achieved) > 0.75
    assert "raised from" in rule.high.origin.notes[-1]


def test_a_finding_without_a_threshold_is_not_called_on_that_side():
    low, high = (OperatingPoint(t, Origin("x")) for t in ((0.2, None), (None, 0.8)))
    calls = Abstention(low, high).decide(np.array([[0.1, 0.1], [0.9, 0.9], [np.nan, np.nan]]))
    assert np.array_equal(calls, [[0, np.nan], [np.nan, 1], [np.nan, np.nan]], equal_nan=True)


@pytest.mark.parametrize("fit", [control_sensitivity, control_specificity, control_abstention])
def test_only_the_validation_part_and_probabilities_can_be_guaranteed_on(make_scores, fit):
    with pytest.raises(SplitError, match="must be fitted on the validation part"):
        fit(make_scores(split="test"))
    with pytest.raises(ValueError, match="unknown scale"):
        fit(replace(make_scores(), kind="scores"))


@pytest.mark.parametrize("value", [0, 1, 90])
def test_certainty_cannot_be_guaranteed(make_scores, value):
    with pytest.raises(ValueError, match="target must lie between 0 and 1"):
        control_sensitivity(make_scores(), value)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        control_sensitivity(make_scores(), 0.9, value)


@pytest.mark.parametrize(("n", "p"), [(10, 0.5), (29, 0.9), (50, 0.001), (200, 0.97)])
def test_the_binomial_tail_is_the_sum_of_its_terms(n, p):
    exact = [sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)) for k in range(n + 1)]
    assert binomial_tail(np.arange(n + 1), n, p) == pytest.approx(exact, rel=1e-10)


def test_the_binomial_tail_of_many():
    stats = pytest.importorskip("scipy.stats")
    k = np.array([0, 89_000, 90_000, 90_300, 91_500, 100_000])
    assert binomial_tail(k, 100_000, 0.9) == pytest.approx(stats.binom.sf(k - 1, 100_000, 0.9), rel=1e-7)
    with pytest.raises(ValueError, match="needs 0 < p < 1 and hits in"):
        binomial_tail(5, 4, 0.5)
