import json
from dataclasses import replace

import numpy as np
import pytest
from as_json import as_json

from zoo.core.errors import UnknownNameError
from zoo.evaluation.comparison import compare, ensemble
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.report import evaluate
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.delong import delong_difference

compare = as_json(compare)
evaluate = as_json(evaluate)


@pytest.fixture(scope="module")
def models(make_scores) -> dict[str, Scores]:
    """A model, the same with noise, and a third that differs from the first by next to nothing."""
    first = make_scores(400, 4, split="test", seed=3)
    rng = np.random.default_rng(0)
    noisy = first.logits + 4 * rng.normal(size=first.logits.shape)
    near = first.logits + 0.05 * rng.normal(size=first.logits.shape)
    return {"good": first, "noisy": replace(first, logits=noisy), "near": replace(first, logits=near)}


@pytest.fixture(scope="module")
def result(models):
    return compare(models)


def test_the_mean_is_of_logits_of_probabilities_or_of_ranks(make_scores):
    from scipy.stats import rankdata

    a, b = make_scores(50, 3, seed=1), make_scores(50, 3, seed=2)
    b = replace(b, labels=a.labels, patients=a.patients)
    np.testing.assert_allclose(ensemble([a, b], "logits").logits, (a.logits + b.logits) / 2)
    np.testing.assert_allclose(
        ensemble([a, b], "probabilities").probabilities, (a.probabilities + b.probabilities) / 2, rtol=1e-12
    )
    ranks = [(rankdata(m.logits, axis=0) - 0.5) / 50 for m in (a, b)]
    mean = ensemble([a, b], "ranks")
    np.testing.assert_allclose(mean.logits, np.mean(ranks, axis=0))
    assert mean.kind == "scores"
    np.testing.assert_array_equal(mean.patients, a.patients)


def test_ranks_take_any_scale_and_keep_the_order_inside_a_finding(make_scores):
    a = make_scores(50, 3)
    scaled = replace(a, logits=100 * a.logits - 7, kind="scores")
    assert np.allclose(roc_auc(a.labels, ensemble([a, scaled], "ranks").logits), roc_auc(a.labels, a.logits))
    with pytest.raises(ValueError, match=r"member 2 of 2 has scores of unknown scale.*average the ranks"):
        ensemble([a, scaled], "logits")


def test_an_ensemble_needs_members_on_the_same_rows(make_scores):
    a = make_scores(50, 3)
    with pytest.raises(UnknownNameError, match="did you mean 'ranks'"):
        ensemble([a], "rank")
    with pytest.raises(ValueError, match="at least one model"):
        ensemble([])
    with pytest.raises(ValueError, match="member 2 and member 1 are not on the same rows"):
        ensemble([a, replace(a, labels=1 - a.labels)])
    with pytest.raises(ValueError, match="other findings"):
        ensemble([a, a.subset(findings=a.findings[::-1])])


def test_each_pair_has_its_paired_difference(result, models):
    json.dumps(result, allow_nan=False)
    assert [(p["a"], p["b"]) for p in result["pairs"]] == [("good", "noisy"), ("good", "near"), ("noisy", "near")]
    good, noisy = models["good"], models["noisy"]
    aucs = [roc_auc(m.labels, m.logits) for m in (good, noisy)]
    exact = delong_difference(good.labels, good.logits, noisy.logits, good.clusters)
    pair = result["pairs"][0]
    for j, finding in enumerate(good.findings):
        number = pair["findings"][finding]["auc"]
        assert number["value"] == pytest.approx(aucs[0][j] - aucs[1][j])
        assert number["n"] == np.sum(~np.isnan(good.labels[:, j]))
        limits = [number["low"], number["high"]]
        assert limits == pytest.approx([exact[j].low, exact[j].high])
    assert pair["macro"]["auc"]["value"] == pytest.approx((aucs[0] - aucs[1]).mean())
    assert (pair["macro"]["auc"]["findings"], pair["macro"]["auc"]["of"]) == (4, 4)


def test_intervals_are_those_of_the_report(result, models):
    differences = evaluate(models)["differences"]["noisy"]
    ours = result["pairs"][0]
    for finding, row in ours["findings"].items():
        for limit in ("low", "high"):
            assert row["auc"][limit] == pytest.approx(differences["findings"][finding]["auc"][limit], abs=1e-6)
    assert ours["macro"]["auc"]["low"] == pytest.approx(differences["macro"]["auc"]["low"], abs=1e-6)


def test_many_pairs_are_allowed_for_and_said(result):
    assert result["joint_level"] == pytest.approx(1 - 0.05 / 3)
    for pair in result["pairs"]:
        single, joint = pair["macro"]["auc"], pair["macro"]["auc_joint"]
        assert joint["high"] - joint["low"] > single["high"] - single["low"]
    assert result["told_apart"] == [["good", "noisy"], ["near", "noisy"]]
    assert "In mean AUC the data tell apart: good above noisy, near above noisy." in result["notes"]
    assert "3 pairs of models times 4 findings make 12 intervals at 95%" in result["notes"][1]


def test_equal_predictions_are_named_and_have_no_interval(models):
    result = compare({"a": models["good"], "b": replace(models["good"], kind="scores")})
    (pair,) = result["pairs"]
    assert pair["identical"] == list(models["good"].findings)
    assert pair["macro"]["auc"]["value"] == 0
    assert pair["macro"]["auc_joint"]["low"] is None
    assert result["told_apart"] == []
    assert "In mean AUC the data tell no two models apart." in result["notes"]


def test_a_finding_without_both_classes_is_left_out_and_counted(models):
    labels = models["good"].labels.copy()
    labels[:, 2] = 0
    result = compare({name: replace(m, labels=labels) for name, m in models.items()})
    pair = result["pairs"][0]
    assert pair["findings"]["Finding 2"]["auc"]["value"] is None
    assert pair["macro"]["auc"]["findings"] == 3


def test_one_model_is_no_comparison(models):
    with pytest.raises(ValueError, match="two models or more, got 1"):
        compare({"good": models["good"]})
    with pytest.raises(ValueError, match="other findings"):
        compare({"a": models["good"], "b": models["near"].subset(findings=["Finding 0"])})
