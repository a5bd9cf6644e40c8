import json
from dataclasses import replace

import numpy as np
import pytest
from as_json import as_json

from zoo.evaluation import curves, metrics
from zoo.evaluation.curves import POINTS, TOLERANCE, cooccurrence, thin, threshold_curve
from zoo.evaluation.decision import positives
from zoo.evaluation.result import to_json
from zoo.evaluation.statistics.reliability import reliability
from zoo.evaluation.thresholds import fit_decision

threshold_curve = as_json(threshold_curve)
cooccurrence = as_json(cooccurrence)


def ranking_curves(labels, scores):
    return dict(zip(("roc", "pr"), to_json(curves.ranking_curves(labels, scores)), strict=True))


def drawn(*arguments):
    """Both results that are there, by name."""
    both = dict(zip(("curves", "cooccurrence"), curves.of(*arguments), strict=True))
    return {name: to_json(found) for name, found in both.items() if found is not None}


@pytest.mark.parametrize("n", [40, 600, 20_000])
def test_thinned_curves_have_few_points_and_the_exact_areas(make_scores, n):
    scores = make_scores(n, 4, seed=3)
    auc, ap = (f(scores.labels, scores.logits) for f in (metrics.roc_auc, metrics.average_precision))
    for j in range(4):
        found = ranking_curves(scores.labels[:, j], scores.logits[:, j])
        roc, pr = found["roc"], found["pr"]
        assert max(len(roc["fpr"]), len(pr["recall"])) <= POINTS
        assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(auc[j], abs=1e-3)
        assert np.trapezoid(pr["precision"], pr["recall"]) == pytest.approx(ap[j], abs=1e-3)
        assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
        assert (np.diff(roc["fpr"]) >= 0).all()
        assert (np.diff(pr["recall"]) >= 0).all()


def test_curves_by_hand():
    labels, scores = np.array([1, 0, 1, 0, np.nan]), np.array([4.0, 3.0, 2.0, 2.0, 9.0])
    found = ranking_curves(labels, scores)
    assert found["roc"] == {"fpr": [0, 0, 0.5, 1], "tpr": [0, 0.5, 0.5, 1]}
    assert found["pr"] == {"recall": [0, 0.5, 0.5, 1], "precision": [1, 1, 0.5, 0.5]}


def test_what_is_left_out_lies_on_the_line():
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(3000))
    y = np.round(0.1 * np.sin(10 * x), 3)
    kept = thin(x, y, most=10_000)
    assert len(kept) < 60
    # The slope is at most 1, so upwards it may be farther than across.
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() < np.sqrt(2) * TOLERANCE
    few = thin(x, y, most=9)
    assert (len(few), few[0], few[-1]) == (9, 0, 2999)
    assert thin(np.array([0.0, 1.0]), np.array([0.0, 0.0])).tolist() == [0, 1]
    assert thin(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0])).tolist() == [0, 1, 2]  # there and back


def test_each_number_is_exact_at_its_threshold(make_scores):
    scores = make_scores(400, 3)
    p = scores.probabilities.astype(np.float32)
    for j in range(3):
        curve = threshold_curve(scores.labels[:, j], p[:, j])
        assert len(curve["threshold"]) <= POINTS
        assert np.all(np.diff(curve["threshold"]) > 0)
        for i, threshold in enumerate(curve["threshold"]):
            counts = metrics.confusion(scores.labels[:, j], p[:, j], threshold)
            for measure in ("f1", "sensitivity", "specificity", "ppv"):
                value = curve[measure][i]
                assert getattr(counts, measure)[0] == pytest.approx(
                    np.nan if value is None else value, abs=1e-4, nan_ok=True
                )
    assert curve["ppv"][-1] is None  # at 1 nothing is called
    # Between two thresholds no measure moves far: sensitivity and specificity by a twentieth of their class.
    for measure in ("sensitivity", "specificity"):
        assert np.abs(np.diff(curve[measure])).max() < 0.06


def test_the_blocks_of_a_model(make_scores):
    scores = make_scores(500, 3, split="test")
    labels = scores.labels.copy()
    labels[:, 1] = 0
    scores = replace(scores, labels=labels)
    decision = fit_decision(make_scores(500, 3, seed=1), default="youden")
    found = drawn(scores, decision)
    json.dumps(found, allow_nan=False)
    own = found["curves"]["findings"]
    assert set(own["Finding 0"]) == {"n", "positives", "roc", "pr", "thresholds", "reliability"}
    assert own["Finding 1"] == {"n": 500, "positives": 0}
    after, p = own["Finding 2"]["reliability"]["after"], scores.calibrated(decision)
    curve = reliability(labels[:, 2], p[:, 2])
    assert after["observed"] == pytest.approx(curve.observed, abs=1e-4)
    assert after["predicted"] == pytest.approx(curve.predicted, abs=1e-4)
    assert after["n"] == curve.n.tolist()
    assert all(a <= b <= c for a, b, c in zip(after["low"], after["observed"], after["high"], strict=True))
    assert sum(found["curves"]["pooled"]["reliability"]["before"]["n"]) == np.sum(~np.isnan(labels))
    calls = positives(p, decision)
    assert found["cooccurrence"]["calls"] == cooccurrence(calls) | {"point": "youden"}  # type: ignore[operator]
    assert found["cooccurrence"]["labels"]["known"][0][2] == np.sum(~np.isnan(labels[:, [0, 2]]).any(axis=1))


def test_without_a_decision_there_is_no_after_and_scores_only_rank(make_scores):
    scores = make_scores(200, 2, split="test")
    found = drawn(scores)
    assert set(found["curves"]["findings"]["Finding 0"]["reliability"]) == {"before"}
    assert found["cooccurrence"]["calls"]["point"] == "half"
    ranks = drawn(replace(scores, kind="scores"))
    assert set(ranks) == {"curves"}
    assert set(ranks["curves"]["findings"]["Finding 0"]) == {"n", "positives", "roc", "pr"}


def test_pairs_by_hand():
    values = np.array([[1, 1], [1, 0], [0, 1], [1, np.nan], [np.nan, np.nan]])
    assert cooccurrence(values) == {"known": [[4, 3], [3, 3]], "first": [[3, 2], [2, 2]], "both": [[3, 1], [1, 2]]}
