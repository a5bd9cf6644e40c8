from dataclasses import replace

import numpy as np
import pytest
from as_json import as_json

from zoo.core.errors import SplitError
from zoo.evaluation.conformal import coverage
from zoo.evaluation.refit import Fit, abstention_of, refit
from zoo.evaluation.thresholds import DEFAULT_POINTS, fit_decision

coverage = as_json(coverage)


def test_a_decision_of_ones_own_is_that_of_the_validation_data(make_scores):
    scores = make_scores(400, split="validation")
    fitted = refit(scores, Fit("temperature"))
    wanted = fit_decision(scores, calibration="temperature", date=fitted.point().origin.date)
    assert fitted == wanted
    assert abstention_of(fitted) is None


def test_guarantees_are_two_more_points_and_come_back_as_one(make_scores):
    scores = make_scores(600, split="validation")
    fitted = refit(scores, Fit("platt", guarantee=0.8, confidence=0.9))
    added = [name for name in fitted.operating_points if name not in DEFAULT_POINTS]
    assert added == ["sensitivity_80_guaranteed", "specificity_80_guaranteed"]
    low, high = (fitted.point(name) for name in added)
    assert (low.origin.target, "confidence 0.9" in low.origin.notes[0]) == (0.8, True)
    guaranteed = abstention_of(fitted)
    assert (guaranteed.low, guaranteed.high) == (low, high)
    # What was guaranteed of the images it was guaranteed on holds on them by construction.
    for found in coverage(scores, guaranteed, fitted).values():
        assert min(found["sensitivity"]["value"], found["specificity"]["value"]) >= 0.8


def test_untrained_findings_get_no_threshold(make_scores):
    scores = make_scores(300, split="validation")
    trained = [True] * len(scores.findings)
    trained[0] = False
    fitted = refit(scores, Fit("none", guarantee=0.7), trained=trained)
    assert all(point.thresholds[0] is None for point in fitted.operating_points.values())


def test_nothing_is_fitted_on_a_test_part(make_scores):
    with pytest.raises(SplitError, match="'test'"):
        refit(replace(make_scores(50), split="test"), Fit())


def test_a_share_of_the_patients_is_whole_patients_and_the_same_every_time(make_scores):
    scores = replace(make_scores(90), patients=np.arange(90) // 3)
    rows = scores.patients_share(0.4, seed=5)
    assert rows.sum() == 36
    assert (rows.reshape(30, 3).all(axis=1) == rows.reshape(30, 3).any(axis=1)).all()
    np.testing.assert_array_equal(rows, scores.patients_share(0.4, seed=5))
    assert (rows != scores.patients_share(0.4, seed=6)).any()
    assert (scores.patients_share(0.001).sum(), scores.patients_share(0.999).sum()) == (3, 87)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_leaves_others(make_scores, share):
    with pytest.raises(ValueError, match="more than 0 and less than 1"):
        make_scores(9).patients_share(share)
    one = replace(make_scores(9), patients=np.zeros(9))
    with pytest.raises(ValueError, match="of 1"):
        one.patients_share(0.5)


def test_guarantees_of_older_files_are_found_under_their_older_name(make_scores):
    fitted = refit(make_scores(600), Fit("none", guarantee=0.7))
    older = {
        name.replace("guaranteed", "promised"): replace(
            point, origin=replace(point.origin, recipe=point.origin.recipe.replace("guaranteed", "promised"))
        )
        for name, point in fitted.operating_points.items()
    }
    found, expected = abstention_of(replace(fitted, operating_points=older)), abstention_of(fitted)
    assert expected is not None
    assert (found.low.thresholds, found.high.thresholds) == (expected.low.thresholds, expected.high.thresholds)
