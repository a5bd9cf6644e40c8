import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zoo.core.errors import SplitError, UnknownNameError
from zoo.evaluation import metrics, thresholds
from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics import counts
from zoo.evaluation.statistics.counts import cuts
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.evaluation.thresholds import DEFAULT_POINTS, PointSpec, fit_decision, fit_point, fit_points


@pytest.mark.parametrize("split", ["train", "test"])
def test_fitting_on_another_part_than_validation_raises(make_scores, split):
    scores = make_scores(split=split)
    with pytest.raises(
        SplitError, match=f"validation part of a split or on out-of-fold predictions, these scores are of '{split}'"
    ):
        fit_point(scores, "max_f1")
    with pytest.raises(SplitError, match="validation part"):
        fit_decision(scores)


def test_the_sweep_is_the_best_of_its_grid(make_scores):
    scores = make_scores()
    point = fit_point(scores, "max_f1_sweep")
    grid = np.arange(5, 96) / 100
    f1 = np.array([metrics.f1(scores.labels, scores.probabilities, t) for t in grid])
    assert point.thresholds == pytest.approx(grid[f1.argmax(axis=0)])
    assert point.achieved == pytest.approx(f1.max(axis=0))


def test_the_exact_optimum_is_that_of_every_cut(make_scores):
    scores = make_scores(300)
    point = fit_point(scores, "max_f1")
    p = scores.probabilities
    for j in range(5):
        best = max(metrics.f1(scores.labels[:, j], p[:, j], t)[0] for t in np.unique(p[:, j]))
        assert point.achieved[j] == pytest.approx(best)
        assert metrics.f1(scores.labels[:, j], p[:, j], point.thresholds[j]) == pytest.approx([best])


@pytest.mark.parametrize("name", DEFAULT_POINTS)
def test_a_shipped_threshold_does_what_it_says_when_applied(make_scores, name):
    """From float32 logits, through the public way to a call, to the measure stored with the point."""
    scores = make_scores()
    decision = fit_decision(scores, default=name)
    calls = positives(probabilities(scores.logits.astype(np.float32), decision), decision)
    counts = metrics.confusion(scores.labels, calls)
    measured = {
        "max_f1_sweep": counts.f1,
        "max_f1": counts.f1,
        "youden": counts.sensitivity + counts.specificity - 1,
        "sensitivity_90": counts.sensitivity,
        "specificity_90": counts.specificity,
        "ppv_80": counts.ppv,
    }[name]
    assert measured == pytest.approx(decision.point().achieved, abs=1e-9)
    target = DEFAULT_POINTS[name].target
    assert target is None or (measured >= target).all()


def test_what_a_point_reached_comes_again_from_the_stored_predictions(make_scores, tmp_path):
    """From predictions.csv and decision.json as a run leaves them, to the last bit."""
    found = make_scores(500)
    logits = found.logits.astype(np.float32) / np.float32(3)
    columns = [f"logit_{f}" for f in found.findings]
    pd.DataFrame(logits, columns=columns).assign(split="validation").to_csv(tmp_path / "predictions.csv", index=False)
    decision = fit_decision(replace(found, logits=logits))
    (tmp_path / "decision.json").write_text(json.dumps(decision.to_dict()))

    stored = pd.read_csv(tmp_path / "predictions.csv")[columns].to_numpy(np.float32)
    shipped = Decision.from_dict(json.loads((tmp_path / "decision.json").read_text()))
    p = probabilities(stored, shipped)
    for name, point in shipped.operating_points.items():
        counts = metrics.confusion(found.labels, positives(p, shipped, name))
        for measure in ("sensitivity", "specificity", "ppv"):
            assert getattr(counts, measure).tolist() == list(point.reached[measure].value)
        assert (counts.tp + counts.fn).tolist() == list(point.reached["sensitivity"].n)
        assert (counts.tn + counts.fp).tolist() == list(point.reached["specificity"].n)
        assert (counts.tp + counts.fp).tolist() == list(point.reached["ppv"].n)


def test_a_point_holds_its_measure_with_an_interval_the_prevalence_and_the_counts(make_scores):
    scores = make_scores()
    for name, point in fit_points(scores).items():
        own = {"max_f1_sweep": "f1", "max_f1": "f1", "youden": "youden"}.get(name, name.split("_")[0])
        assert set(point.reached) == {"sensitivity", "specificity", "ppv", own}
        assert point.reached[own].value == pytest.approx(point.achieved)
        for numbers in point.reached.values():
            assert (np.array(numbers.low) <= numbers.value).all()
            assert (np.array(numbers.value) <= numbers.high).all()
        assert point.prevalence == pytest.approx(np.nanmean(scores.labels, axis=0))
        assert (point.origin.split_hash, len(point.origin.positives)) == ("hash-of-split", 5)


def test_the_intervals_of_a_point_are_those_of_a_bootstrap_over_patients(make_scores):
    """Three alike images a patient: intervals that took images for independent would be too narrow by 1.7."""
    once = make_scores(500, 3, unknown=0.0)
    noise = np.random.default_rng(1).normal(size=(1500, 3)) / 10
    scores = Scores(
        np.repeat(once.logits, 3, axis=0) + noise,
        np.repeat(once.labels, 3, axis=0),
        once.findings,
        "validation",
        patients=np.repeat(np.arange(500), 3),
    )
    point = fit_point(scores, "max_f1")
    youden = fit_point(scores, "youden")

    def statistic(weights):
        counts = metrics.confusion(scores.labels, scores.probabilities, point.thresholds, weights)
        other = metrics.confusion(scores.labels, scores.probabilities, youden.thresholds, weights)
        found = {name: getattr(counts, name) for name in ("sensitivity", "specificity", "ppv", "f1")}
        return found | {"youden": other.sensitivity + other.specificity - 1}

    samples = bootstrap(statistic, scores.clusters, resamples=1000)
    for measure, resampled in samples.items():
        low, high = np.nanquantile(resampled, (0.025, 0.975), axis=0)
        numbers = (youden if measure == "youden" else point).reached[measure]
        assert numbers.low == pytest.approx(low, abs=0.025)
        assert numbers.high == pytest.approx(high, abs=0.025)
        assert np.subtract(numbers.high, numbers.low) == pytest.approx(high - low, rel=0.2)


def test_without_a_threshold_nothing_is_reached():
    scores = Scores.from_probabilities(np.array([[0.9], [0.2]]), np.array([[0], [1]]), ("Edema",), split="validation")
    numbers = fit_point(scores, "ppv_at_least", target=0.8).reached["sensitivity"]
    assert (numbers.value, numbers.low, numbers.high, numbers.n) == ((None,), (None,), (None,), (0,))


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_points_hold_under_any_calibration(make_scores, calibration):
    scores = make_scores(800)
    decision = fit_decision(scores, calibration=calibration)
    assert decision.calibrator.kind == calibration
    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict(), allow_nan=False))) == decision
    p = probabilities(scores.logits.astype(np.float32), decision)
    for name, point in decision.operating_points.items():
        counts = metrics.confusion(scores.labels, positives(p, decision, name))
        assert counts.sensitivity.tolist() == list(point.reached["sensitivity"].value)
        assert counts.specificity.tolist() == list(point.reached["specificity"].value)
    # Isotonic steps make ties, which leave fewer ways to cut; Platt's line leaves all.
    plain = fit_points(scores, {"max_f1": PointSpec("max_f1")})["max_f1"]
    if calibration == "platt":
        assert decision.point("max_f1").achieved == pytest.approx(plain.achieved)
    assert (np.array(decision.point("max_f1").achieved) <= np.array(plain.achieved) + 1e-12).all()


def test_a_finding_is_sorted_once_for_all_points(make_scores, monkeypatch):
    calls = []
    plain = thresholds.cuts
    monkeypatch.setattr(thresholds, "cuts", lambda *given: (calls.append(1), plain(*given))[1])
    assert len(fit_decision(make_scores()).operating_points) == 6
    assert len(calls) == 5


def test_youden_and_targets_by_hand():
    labels = np.array([[1], [1], [0], [1], [0], [0], [0], [np.nan]])
    p = np.array([[0.9], [0.8], [0.7], [0.6], [0.4], [0.3], [0.2], [0.99]])
    scores = Scores.from_probabilities(p, labels, ("Edema",), split="validation")
    assert fit_point(scores, "youden").thresholds == pytest.approx([0.5])
    assert fit_point(scores, "sensitivity_at_least", target=0.6).thresholds == pytest.approx([0.75])
    assert fit_point(scores, "sensitivity_at_least", target=0.9).achieved == (1.0,)
    assert fit_point(scores, "specificity_at_least", target=0.75).thresholds == pytest.approx([0.5])
    assert fit_point(scores, "specificity_at_least", target=1.0).thresholds == pytest.approx([0.75])
    assert fit_point(scores, "ppv_at_least", target=0.75).thresholds == pytest.approx([0.5])


def test_a_target_out_of_reach_gives_no_threshold_and_says_so():
    scores = Scores.from_probabilities(np.array([[0.9], [0.2]]), np.array([[0], [1]]), ("Edema",), split="validation")
    point = fit_point(scores, "ppv_at_least", target=0.8)
    assert point.thresholds == (None,)
    assert point.origin.notes == ("Edema: ppv_at_least 0.8 is out of reach, threshold null",)


def test_a_finding_without_positives_has_no_threshold(make_scores):
    scores = make_scores()
    labels = scores.labels.copy()
    labels[:, 1], labels[:, 2] = 0, np.nan
    decision = fit_decision(replace(scores, labels=labels), calibration="temperature_per_finding")
    for point in decision.operating_points.values():
        assert [t is None for t in point.thresholds][:3] == [False, True, True]
        assert point.origin.notes[0] == "Finding 1: 0 positives of 600 known labels, threshold null"


def test_an_untrained_finding_has_no_threshold_whatever_the_validation_part_holds(make_scores):
    decision = fit_decision(make_scores(), trained=[True, False, True, True, True])
    assert decision.trained == (True, False, True, True, True)
    assert decision.point().thresholds[1] is None
    with pytest.raises(ValueError, match="trained must have 5 entries"):
        fit_decision(make_scores(), trained=[True])


def test_origin_tells_where_the_thresholds_come_from(make_scores):
    scores = make_scores()
    origin = fit_point(scores, "sensitivity_at_least", target=0.9, date="2024-02-03").origin
    assert (origin.split, origin.split_hash, origin.date) == ("validation", "hash-of-split", "2024-02-03")
    assert (origin.recipe, origin.target) == ("sensitivity_at_least", 0.9)
    assert origin.n == tuple(np.sum(~np.isnan(scores.labels), axis=0))
    assert origin.positives == tuple(np.sum(scores.labels == 1, axis=0))


def test_thresholds_are_on_the_calibrated_probabilities(make_scores):
    scores = make_scores(scale=3.0)
    decision = fit_decision(scores, points={"youden": PointSpec("youden")}, default="youden")
    assert decision.temperature[0] == pytest.approx(3.0, rel=0.3)
    # Scaling moves no call, so a point fitted without it calls the same images, at other thresholds.
    plain = fit_decision(scores, calibration="none", points={"youden": PointSpec("youden")}, default="youden")
    assert plain.point().thresholds != decision.point().thresholds
    calls = [positives(scores.calibrated(d), d) for d in (decision, plain)]
    assert np.array_equal(*calls)


def test_neighbouring_float32_probabilities_are_still_cut_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    found = cuts(np.array([1.0, 0.0]), np.array([high, low]))
    threshold = found.threshold(0)
    assert counts.at_least(np.array([high, low]), threshold).tolist() == [True, False]


def test_bad_recipes(make_scores):
    scores = make_scores(50)
    with pytest.raises(UnknownNameError, match="did you mean 'youden'"):
        fit_point(scores, "yuden")
    with pytest.raises(ValueError, match="needs a target"):
        fit_point(scores, "sensitivity_at_least")
    with pytest.raises(ValueError, match="needs a target"):
        fit_point(scores, "ppv_at_least", target=80)
    with pytest.raises(ValueError, match="takes no target"):
        fit_point(scores, "max_f1", target=0.5)
    with pytest.raises(ValueError, match="unknown scale"):
        fit_decision(replace(scores, kind="scores"))


def test_a_point_is_valid_in_a_decision(make_scores):
    scores = make_scores()
    point = fit_point(scores, "youden")
    assert Decision(scores.findings, operating_points={"youden": point}, default="youden").point() == point


def test_a_sweep_that_finds_no_positive_says_so(make_scores):
    """All probabilities of a rare finding may lie below the lowest threshold of the sweep."""
    scores = make_scores(unknown=0.0)
    rare = replace(scores, logits=scores.logits - np.array([0, 12, 0, 0, 0]))
    sweep, exact = fit_point(rare, "max_f1_sweep"), fit_point(rare, "max_f1")
    assert (sweep.thresholds[1], sweep.achieved[1]) == (0.05, 0.0)
    assert sweep.origin.notes == ("Finding 1: no threshold from 0.05 to 0.95 finds a positive, F1 is 0: take max_f1",)
    assert exact.thresholds[1] < 0.05
    assert exact.achieved[1] > 0.3
    assert exact.origin.notes == ()
