import json
from dataclasses import replace

import numpy as np
import pytest
from as_json import as_json

from zoo.core.errors import UnknownNameError
from zoo.evaluation import metrics
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.delong import delong
from zoo.evaluation.statistics.proportions import proportion
from zoo.evaluation.statistics.reliability import calibration_error
from zoo.evaluation.subgroups import age_bands, subgroups

subgroups = as_json(subgroups)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_age_bands_have_their_lower_limits_inside():
    ages = [0, 17.9, 18, 39, 40, 59, 60, 79, 80, 101, np.nan]
    bands = ["0-17", "0-17", "18-39", "18-39", "40-59", "40-59", "60-79", "60-79", "80+", "80+", ""]
    assert age_bands(ages).tolist() == bands
    with pytest.raises(ValueError, match="age -1 is below 0"):
        age_bands([30, -1])


def test_a_group_has_the_numbers_that_its_rows_have_alone(make_scores, rng):
    scores = make_scores(900)
    sex = rng.choice(["F", "M"], 900)
    thresholds = (0.3, 0.4, 0.5, None, 0.6)
    decision = Decision(scores.findings, (1.5,), {"mine": OperatingPoint(thresholds, Origin("mine"))}, "mine")
    result = subgroups(scores, {"sex": sex}, decision)
    for group in ("F", "M", "all"):
        rows = np.ones(900, bool) if group == "all" else sex == group
        block = result["all"] if group == "all" else result["groupings"]["sex"]["groups"][group]
        part = scores.subset(rows)
        p = part.calibrated(decision)
        counts = metrics.confusion(part.labels, p, thresholds)
        expected = {
            "auc": metrics.roc_auc(part.labels, part.logits),
            "sensitivity@mine": counts.sensitivity,
            "specificity@mine": counts.specificity,
            "ece": calibration_error(part.labels, p, part.clusters),
            "calibration_in_the_large": np.nanmean(part.labels - p, axis=0),
        }
        assert block["n"] == rows.sum()
        for metric, values in expected.items():
            found = np.array([block["findings"][finding][metric]["value"] for finding in scores.findings], float)
            assert found == pytest.approx(values, abs=1e-7, nan_ok=True)
            assert block["macro"][metric]["value"] == pytest.approx(np.nanmean(values), abs=1e-7)
        assert block["macro"]["sensitivity@mine"]["findings"] == 4
        n, positives = part.counts
        one = block["findings"]["Finding 2"]["ece"]
        assert (one["n"], one["positives"]) == (n[2], positives[2])
    json.dumps(result, allow_nan=False)


def test_intervals_of_a_group_are_those_of_its_images_alone(make_scores, rng):
    scores = make_scores(600)
    view = rng.choice(["AP", "PA"], 600)
    rows = view == "AP"
    result = subgroups(scores, {"view": view})["groupings"]["view"]["groups"]["AP"]["findings"]
    labels, clusters = scores.labels[rows], scores.clusters[rows]
    called = scores.probabilities[rows] >= 0.5
    areas = delong(labels, scores.logits[rows], clusters)
    for j, finding in enumerate(scores.findings):
        y = labels[:, j]
        expected = {
            "auc": areas[j],
            "sensitivity@half": proportion(np.where(y == 1, called[:, j], np.nan), clusters),
            "specificity@half": proportion(np.where(y == 0, ~called[:, j], np.nan), clusters),
        }
        for metric, interval in expected.items():
            found = result[finding][metric]
            assert [found["low"], found["high"]] == pytest.approx([interval.low, interval.high], abs=1e-9)
        gap = (y - scores.probabilities[rows][:, j])[~np.isnan(y)]
        found = result[finding]["calibration_in_the_large"]
        assert found["value"] == pytest.approx(gap.mean(), abs=1e-6)
        assert found["high"] - found["low"] == pytest.approx(2 * 2 * gap.std() / np.sqrt(len(gap)), rel=0.3)


def test_the_calibration_error_of_a_calibrated_group_reaches_down_to_zero_and_a_bad_one_does_not(rng):
    logits = rng.normal(size=(3000, 1)) * 1.5
    p = 1 / (1 + np.exp(-logits))
    group = np.repeat(["good", "bad"], 1500)
    p[group == "bad"] = p[group == "bad"] ** 3
    scores = Scores(logits, rng.random((3000, 1)) < p, ("Edema",), "test")
    grouping = subgroups(scores, {"site": group})["groupings"]["site"]
    good, bad = (grouping["groups"][name]["findings"]["Edema"]["ece"] for name in ("good", "bad"))
    assert good["low"] == 0
    assert good["high"] < 0.06
    assert 0.1 < bad["low"] < bad["value"] < bad["high"] < 0.35
    large = grouping["groups"]["bad"]["findings"]["Edema"]["calibration_in_the_large"]
    assert large["high"] < -0.1
    gap = grouping["gaps"]["ece"]["largest"]
    assert (gap["finding"], gap["higher"], gap["lower"]) == ("Edema", "bad", "good")
    assert gap["low"] > 0.1


def test_a_predictor_that_knows_only_the_archive_is_found_out(rng):
    """Two archives of other prevalences: the pooled AUC comes from telling them apart, inside each it is chance."""
    source = np.repeat(["chexpert", "nih"], 2000)
    labels = rng.random((4000, 3)) < np.where(source == "nih", 0.05, 0.2)[:, None]
    scores = Scores(np.where(source == "nih", -1.0, 1.0)[:, None] * np.ones(3), labels, ("A", "B", "C"), "test")
    result = subgroups(scores, {"source": source})
    grouping = result["groupings"]["source"]
    assert result["all"]["macro"]["auc"]["value"] > 0.62
    assert result["all"]["macro"]["auc"]["low"] > 0.6
    assert [group["macro"]["auc"]["value"] for group in grouping["groups"].values()] == [0.5, 0.5]
    assert grouping["within"]["macro"]["auc"]["value"] == 0.5
    assert grouping["within"]["pooled"] == {k: result["all"]["macro"]["auc"][k] for k in grouping["within"]["pooled"]}
    assert grouping["within"]["between"]["low"] > 0.1


def test_small_groups_are_refused_with_their_counts_alone():
    labels = np.tile([[1.0, 1.0], [0.0, 0.0]], (30, 1))
    labels[20:, 1] = np.nan
    group = np.repeat(["big", "small"], [40, 20])
    scores = Scores(np.arange(120.0).reshape(60, 2), labels, ("Edema", "Fracture"), "test")
    result = subgroups(scores, {"site": group})
    big, small = (result["groupings"]["site"]["groups"][name] for name in ("big", "small"))
    assert (set(big["findings"]), big["refused"]) == ({"Edema", "Fracture"}, {})
    assert (set(small["findings"]), small["refused"]) == ({"Edema"}, {"Fracture": {"n": 0, "positives": 0}})
    assert (small["macro"]["auc"]["findings"], small["macro"]["auc"]["of"]) == (1, 2)
    strict = subgroups(scores, {"site": group}, min_negatives=11)["groupings"]["site"]
    assert (strict["groups"]["small"]["findings"], strict["groups"]["small"]["n"]) == ({}, 20)
    assert strict["groups"]["small"]["refused"]["Edema"] == {"n": 20, "positives": 10}
    assert strict["groups"]["small"]["macro"]["auc"]["value"] is None
    assert strict["gaps"]["auc"] == {"findings": {}, "macro": None, "largest": None}


def test_rows_of_unknown_group_are_counted_and_in_no_group(make_scores):
    scores = make_scores(400)
    sex = np.array(["F", "M", "", np.nan, None] * 80, object)
    grouping = subgroups(scores, {"sex": sex}, min_positives=1)["groupings"]["sex"]
    assert (list(grouping["groups"]), grouping["unknown"]) == (["F", "M"], 240)
    mixed = subgroups(scores, {"sex": np.array(["F", np.nan] * 200)})["groupings"]["sex"]
    assert (list(mixed["groups"]), mixed["unknown"]) == (["F"], 200)


def test_the_largest_gap_is_named_with_its_groups_and_an_interval_for_the_choice_of_the_pair(rng):
    labels = (rng.random((3000, 2)) < 0.3).astype(float)
    band = np.array(["young", "middle", "old"])[rng.integers(0, 3, 3000)]
    skill = np.array([[2.0, 2.0]]) - 1.5 * np.outer(band == "old", [0, 1])
    scores = Scores(rng.normal(size=labels.shape) + skill * labels, labels, ("Edema", "Fracture"), "test")
    gaps = subgroups(scores, {"age": band})["groupings"]["age"]["gaps"]["auc"]
    worst = gaps["largest"]
    assert (worst["finding"], worst["lower"], worst["pairs"]) == ("Fracture", "old", 3)
    assert worst["level"] == pytest.approx(1 - 0.05 / 3)
    assert worst["low"] > 0.15
    assert worst["value"] == pytest.approx(
        worst["values"][worst["higher"]]["value"] - worst["values"]["old"]["value"], abs=1e-12
    )
    assert worst["n"] == worst["values"][worst["higher"]]["n"] + worst["values"]["old"]["n"]
    even = gaps["findings"]["Edema"]
    assert even["low"] < 0 < even["high"]


def test_the_gap_of_groups_that_share_patients_is_paired(rng):
    """Each patient has one image in each view, scored nearly alike: the gap is known better than either AUC."""
    labels = np.repeat((rng.random((400, 1)) < 0.4).astype(float), 2, axis=0)
    logits = np.repeat(rng.normal(size=(400, 1)), 2, axis=0) + labels + 0.1 * rng.normal(size=(800, 1))
    view, patients = np.tile(["AP", "PA"], 400), np.repeat(np.arange(400), 2)
    scores = Scores(logits, labels, ("Edema",), "test", patients=patients)
    alone = replace(scores, patients=None)
    paired, unpaired = (
        subgroups(s, {"view": view})["groupings"]["view"]["gaps"]["auc"]["largest"] for s in (scores, alone)
    )
    assert paired["value"] == unpaired["value"]
    assert paired["high"] - paired["low"] < 0.5 * (unpaired["high"] - unpaired["low"])


def test_macros_are_compared_over_the_findings_both_groups_show(rng):
    labels = (rng.random((1200, 3)) < 0.3).astype(float)
    logits = rng.normal(size=labels.shape) + np.array([1.0, 1.0, 6.0]) * labels
    source = np.repeat(["chexpert", "nih"], 600)
    labels[source == "nih", 2] = 0  # the easy finding is not labelled in one archive
    scores = Scores(logits, labels, ("Edema", "Pneumonia", "Support Devices"), "test")
    grouping = subgroups(scores, {"source": source})["groupings"]["source"]
    own = [group["macro"]["auc"]["value"] for group in grouping["groups"].values()]
    gap = grouping["gaps"]["auc"]["macro"]
    assert abs(own[0] - own[1]) > 0.05
    assert gap["value"] < 0.03
    assert (gap["findings"], gap["of"], gap["left_out"]) == (2, 3, ["Support Devices"])
    assert grouping["within"]["macro"]["auc"]["findings"] == 3


def test_scores_of_unknown_scale_have_an_auc_alone(make_scores, rng):
    scores = replace(make_scores(300), kind="scores")
    result = subgroups(scores, {"sex": rng.choice(["F", "M"], 300)}, min_positives=3)
    assert set(result["all"]["macro"]) == {"auc"}
    assert set(result["groupings"]["sex"]["gaps"]) == {"auc"}


def test_an_unknown_operating_point(make_scores):
    with pytest.raises(UnknownNameError, match="operating point 'max_f1'"):
        subgroups(make_scores(100), {}, point="max_f1")


def test_bad_groupings(make_scores):
    scores = make_scores(100)
    with pytest.raises(ValueError, match=r"'sex' must have one group for each of 100 rows, got shape \(99,\)"):
        subgroups(scores, {"sex": np.full(99, "F")})
    with pytest.raises(ValueError, match="'age' has 100 groups, at most 20 can be compared: put numbers into bands"):
        subgroups(scores, {"age": np.arange(100)})
