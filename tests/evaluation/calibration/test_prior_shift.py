import json
from dataclasses import replace

import numpy as np
import pytest

from zoo.core.errors import UnknownNameError
from zoo.evaluation import metrics
from zoo.evaluation.calibration.prior_shift import adjust_prevalence, estimate_prevalence, shift_decision
from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.evaluation.thresholds import fit_decision


def binormal(n, prevalence, seed=0):
    """Probabilities that are right where the finding is as common as in half of the images, and the labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < prevalence).astype(float)
    return 1 / (1 + np.exp(-2 * (rng.normal(size=n) + 2 * labels - 1))), labels


def test_by_hand():
    # Odds 1 become 1 * (0.2 / 0.8) / (0.5 / 0.5); odds 9 become 9 / 4.
    assert adjust_prevalence(np.array([[0.5], [0.9]]), 0.5, 0.2) == pytest.approx(np.array([[0.2], [9 / 13]]))
    p = np.array([[0.0, 0.3, np.nan], [1.0, 0.7, 0.5]], np.float32)
    adjusted = adjust_prevalence(p, [0.5, 0.3, 0.1], [0.1, 0.3, 0.9])
    assert adjusted.dtype == np.float32
    assert adjusted == pytest.approx(np.array([[0.0, 0.3, np.nan], [1.0, 0.7, 81 / 82]]), nan_ok=True)
    assert adjust_prevalence(p[:, :2], 0.5, 0.0).tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_there_and_back_again():
    p = np.random.default_rng(0).random((50, 3))
    assert adjust_prevalence(adjust_prevalence(p, [0.1, 0.2, 0.5], 0.3), 0.3, [0.1, 0.2, 0.5]) == pytest.approx(p)


@pytest.mark.parametrize("target", [0.05, 0.2, 0.8])
def test_adjusted_probabilities_are_frequencies_where_the_finding_is_more_or_less_common(target):
    p, labels = binormal(60_000, target)
    adjusted = adjust_prevalence(p, 0.5, target)
    assert abs(p.mean() - target) > 0.05
    assert adjusted.mean() == pytest.approx(target, abs=0.005)
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9)):
        rows = (adjusted >= low) & (adjusted < high)
        assert adjusted[rows].mean() == pytest.approx(labels[rows].mean(), abs=0.03)
    assert metrics.log_loss(labels, adjusted) < metrics.log_loss(labels, p)


def test_the_prevalence_of_unlabelled_films_is_found():
    films = [binormal(20_000, prevalence, seed)[0] for seed, prevalence in enumerate((0.02, 0.3, 0.9))]
    assert estimate_prevalence(np.stack(films, axis=1), 0.5) == pytest.approx([0.02, 0.3, 0.9], abs=0.01)


def test_the_estimate_is_where_the_em_algorithm_ends():
    p, source = binormal(3000, 0.15)[0], 0.5
    prevalence = source
    for _ in range(5000):
        positive, negative = p * prevalence / source, (1 - p) * (1 - prevalence) / (1 - source)
        prevalence = np.mean(positive / (positive + negative))
    assert estimate_prevalence(p[:, None], source) == pytest.approx([prevalence], abs=1e-9)


def test_films_that_tell_nothing_leave_the_prevalence_as_it_was():
    p = np.stack([np.full(50, 0.3), np.full(50, np.nan), np.zeros(50), np.ones(50)], axis=1)
    assert estimate_prevalence(p, 0.3) == pytest.approx([0.3, np.nan, 0.0, 1.0], nan_ok=True, abs=1e-12)


@pytest.fixture(scope="module")
def scores(make_scores):
    return make_scores(800, 4, scale=1.4)


@pytest.mark.parametrize("calibration", ["temperature", "platt", "isotonic"])
def test_a_shifted_decision_calls_the_same_films_with_adjusted_probabilities(scores, calibration):
    decision = fit_decision(scores, calibration=calibration)
    source = decision.point().prevalence
    shifted = shift_decision(decision, [0.01, 0.5, None, 0.02])
    p, moved = (probabilities(scores.logits, d) for d in (decision, shifted))
    target = [0.01, 0.5, source[2], 0.02]
    assert moved == pytest.approx(adjust_prevalence(p, source, target), abs=1e-12)
    assert np.array_equal(moved[:, 2], p[:, 2])
    for name, point in shifted.operating_points.items():
        assert np.array_equal(positives(moved, shifted, name), positives(p, decision, name), equal_nan=True)
        assert point.reached["sensitivity"] == decision.point(name).reached["sensitivity"]
        assert point.prevalence == pytest.approx(target)
        assert point.thresholds[0] < decision.point(name).thresholds[0]
    assert Decision.from_dict(json.loads(json.dumps(shifted.to_dict(), allow_nan=False))) == shifted


def test_ppv_and_f1_are_those_of_films_with_the_target_prevalence(scores):
    """Worked out from sensitivity and specificity, they are what weighting the images to that prevalence gives."""
    decision = fit_decision(scores)
    shifted = shift_decision(decision, {"Finding 1": 0.3})
    rates = decision.point().prevalence
    weights = np.where(scores.labels[:, 1] == 1, 0.3 / rates[1], 0.7 / (1 - rates[1]))[:, None]
    for name, point in shifted.operating_points.items():
        thresholds = decision.point(name).thresholds
        counts = metrics.confusion(scores.labels, scores.calibrated(decision), thresholds, weights)
        for measure in {"ppv", "f1"} & point.reached.keys():
            numbers = point.reached[measure]
            assert numbers.value[1] == pytest.approx(getattr(counts, measure)[0, 1])
            assert (numbers.low[1], numbers.high[1]) == (None, None)
            assert numbers.value[0] == decision.point(name).reached[measure].value[0]
            assert numbers.low[0] is not None
    assert shifted.point("max_f1").achieved[1] == shifted.point("max_f1").reached["f1"].value[1]
    assert shifted.point("ppv_80").achieved[1] == shifted.point("ppv_80").reached["ppv"].value[1]
    assert shifted.point("youden").achieved == decision.point("youden").achieved
    assert "thresholds moved to another prevalence" in shifted.point().origin.notes[-1]


def test_a_second_shift_starts_from_the_validation_part(scores):
    decision = fit_decision(scores)
    direct = shift_decision(decision, 0.3)
    by_way = shift_decision(shift_decision(decision, {"Finding 0": 0.01, "Finding 1": 0.9}), 0.3)
    assert by_way.prior_shift == direct.prior_shift
    assert probabilities(scores.logits, by_way) == pytest.approx(probabilities(scores.logits, direct))
    assert by_way.point().thresholds == pytest.approx(direct.point().thresholds, rel=1e-5)
    assert len(by_way.point().origin.notes) == len(direct.point().origin.notes)
    kept = shift_decision(shift_decision(decision, {"Finding 0": 0.01}), {"Finding 1": 0.9})
    assert kept.prior_shift.target == (0.01, 0.9, None, None)


def test_a_finding_without_threshold_keeps_none(scores):
    labels = scores.labels.copy()
    labels[:, 3] = np.nan
    decision = fit_decision(replace(scores, labels=labels))
    shifted = shift_decision(decision, {"Finding 0": 0.2})
    assert shifted.point().thresholds[3] is None
    with pytest.raises(ValueError, match="prevalence that 'Finding 3' was calibrated at is not known"):
        shift_decision(decision, 0.2)
    assert shift_decision(decision, 0.2, source_prevalence=0.1).point().thresholds[3] is None


def test_bad_prevalences(scores):
    decision = fit_decision(scores)
    with pytest.raises(UnknownNameError, match="did you mean 'Finding 0'"):
        shift_decision(decision, {"Finding0": 0.2})
    with pytest.raises(ValueError, match="expected 4 prevalences, one a finding, got 2"):
        shift_decision(decision, [0.1, 0.2])
    with pytest.raises(ValueError, match=r"a prevalence must lie between 0 and 1, got 1\.0"):
        shift_decision(decision, 1)
    with pytest.raises(ValueError, match="not known: give source_prevalence"):
        shift_decision(Decision(("Edema",)), 0.2)
    with pytest.raises(ValueError, match="a source prevalence must lie between 0 and 1, got 0"):
        adjust_prevalence(np.array([0.5]), 0, 0.2)
    with pytest.raises(ValueError, match="are these logits"):
        adjust_prevalence(np.array([2.5]), 0.5, 0.2)
    with pytest.raises(ValueError, match="are these logits"):
        estimate_prevalence(np.array([[-2.5]]), 0.5)
