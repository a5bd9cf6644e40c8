import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.measures import AT_A_POINT
from zoo.evaluation.report import RESEARCH_ONLY, evaluate, markdown
from zoo.evaluation.result import to_json
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.report.results import notes


@pytest.fixture(scope="module")
def scores(make_scores) -> Scores:
    found = make_scores(300, split="test", seed=1)
    labels = found.labels.copy()
    labels[:, 1] = 0
    logits = found.logits.copy()
    logits[:, 4] = np.random.default_rng(2).normal(size=300)
    return replace(found, labels=labels, logits=logits)


@pytest.fixture(scope="module")
def typed(scores, make_scores):
    noisy = replace(scores, logits=scores.logits + np.random.default_rng(0).normal(size=scores.logits.shape) * 3)
    ranks = replace(scores, kind="scores")
    decision = fit_decision(make_scores(), default="max_f1")
    return evaluate({"ensemble": scores, "member": noisy, "ranks": ranks}, decision)


@pytest.fixture(scope="module")
def result(typed):
    return to_json(typed)


def test_every_number_has_its_interval_n_and_positives(result, scores):
    json.dumps(result, allow_nan=False)
    auc = metrics.roc_auc(scores.labels, scores.logits)
    for j, (finding, row) in enumerate(result["findings"].items()):
        for metric, number in row.items():
            assert {"value", "low", "high", "n", "positives"} == set(number), metric
        assert row["auc"]["n"] == np.sum(~np.isnan(scores.labels[:, j])), finding
    number = result["findings"]["Finding 0"]["auc"]
    assert number["value"] == auc[0]
    assert number["low"] < auc[0] < number["high"]


def test_f1_is_given_at_half_and_at_each_point(result, scores, make_scores):
    decision = fit_decision(make_scores(), default="max_f1")
    row, p = result["findings"]["Finding 3"], scores.calibrated(decision)
    assert row["f1@half"]["value"] == metrics.f1(scores.labels, p)[3]
    assert row["f1@max_f1"]["value"] == metrics.f1(scores.labels, p, decision.point("max_f1").thresholds)[3]
    assert result["weighted"]["f1@half"]["value"] == metrics.f1(scores.labels, p, average="weighted")
    assert result["macro"]["accuracy@half"]["value"] == pytest.approx(metrics.binary_accuracy(scores.labels, p).mean())
    assert set(result["points"]["max_f1"]["thresholds"]) == set(scores.findings)
    assert result["points"]["max_f1"]["origin"]["split"] == "validation"


def test_an_undefined_finding_is_null_and_left_out_of_the_mean(result):
    assert result["findings"]["Finding 1"]["auc"]["value"] is None
    assert result["macro"]["auc"]["findings"] == 4
    assert result["macro"]["auc"]["of"] == 5


def test_differences_are_paired_and_signed(result):
    difference = result["differences"]["member"]["macro"]["auc"]
    alone = result["macro"]["auc"]["value"] - result["models"]["member"]["macro"]["auc"]["value"]
    assert difference["value"] == pytest.approx(alone)
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    same = result["differences"]["ranks"]["macro"]["auc"]
    assert (same["value"], same["low"]) == (0.0, None)


def test_scores_of_unknown_scale_are_only_ranked(result, scores):
    assert set(result["models"]["ranks"]["macro"]) == {"auc", "average_precision"}
    alone = to_json(evaluate({"ranks": replace(scores, kind="scores")}))
    assert "curves" in alone
    assert not {"calibration", "cooccurrence"} & set(alone)


@pytest.mark.parametrize("over", ["macro", "micro", "weighted"])
def test_every_metric_is_averaged_in_each_way(result, over):
    metrics_of = set(result["findings"]["Finding 0"])
    assert set(result[over]) == metrics_of
    for metric in ("auc", "average_precision", "brier", "log_loss", "ece", "f1@half", "sensitivity@youden"):
        number = result[over][metric]
        assert number["low"] < number["value"] < number["high"]
        assert number["findings"] <= number["of"] == 5


def test_other_models_have_their_default_point_alone(result):
    assert {m for m in result["models"]["member"]["macro"] if "@" in m} == {f"{m}@half" for m in AT_A_POINT}
    assert {m.split("@")[1] for m in result["macro"] if "@" in m} == {"half", *result["points"]}


def test_models_are_paired_by_the_patients_of_the_first(scores):
    result = to_json(evaluate({"a": scores, "b": replace(scores, patients=None)}))
    assert result["models"]["b"]["macro"]["auc"] == result["macro"]["auc"]
    assert result["differences"]["b"]["macro"]["auc"]["low"] is None


def test_calibration_before_and_after(make_scores):
    validation, test = (
        make_scores(1500, 3, split=split, seed=i, scale=3.0) for i, split in enumerate(("validation", "test"))
    )
    decision = fit_decision(validation)
    result = to_json(evaluate({"model": test}, decision))
    block = result["calibration"]
    assert (block["method"], block["split"], block["shifted"]) == ("temperature, global", "validation", False)
    for where in (block["findings"]["Finding 1"], block["macro"], block["micro"], block["weighted"]):
        for metric in ("log_loss", "brier", "ece"):
            before, after, difference = (where[metric][part] for part in ("before", "after", "difference"))
            assert after["value"] < before["value"]
            assert difference["value"] == pytest.approx(after["value"] - before["value"])
            assert difference["low"] < difference["value"] < difference["high"]
    assert block["findings"]["Finding 1"]["brier"]["after"] == result["findings"]["Finding 1"]["brier"]
    assert block["findings"]["Finding 1"]["brier"]["before"]["value"] == pytest.approx(
        metrics.brier(test.labels, test.probabilities)[1]
    )
    assert block["macro"]["ece"]["difference"]["high"] < 0
    assert evaluate({"model": test}).calibration is None


def test_fourteen_findings_of_four_models_fit_into_a_small_file(make_scores):
    validation, test = (make_scores(600, 14, split=split, seed=i) for i, split in enumerate(("validation", "test")))
    models = dict.fromkeys(("ensemble", "a", "b", "pixel baseline"), test)
    decisions = {name: fit_decision(validation) for name in ("ensemble", "a", "b")}
    result = evaluate(models, decisions)
    assert len(json.dumps(to_json(result))) < 400_000


def test_the_table_says_what_it_must(typed):
    text = markdown(typed)
    assert RESEARCH_ONLY in text
    assert "300 images of" in text
    assert "In brackets: 95% intervals clustered by patient." in text
    old = replace(typed, interval=replace(typed.interval, method="bootstrap over patients", resamples=100))
    assert "In brackets: 95% intervals from 100 resamples of patients, seed 0." in markdown(old)
    assert "| Finding 0 |" in text
    assert "(4 of 5)" in text
    assert "one class is missing: Finding 1." in text
    assert "**Not shown to learn** (the interval of the AUC covers 0.5): Finding 4." in text
    assert "F1 at `max_f1`" in text
    assert "AUC of ensemble minus this" in text
    assert "nan" not in text.lower()


def test_an_auc_without_an_interval_is_too_few_to_tell_not_a_failure_to_learn():
    labels = np.array([[1, 1], [0, 0], [1, 0], [0, 1]] * 10, float)
    labels[2:, 0] = np.nan  # one positive and one negative: no interval
    logits = np.array([[2.0, 1.0], [-2.0, -1.0], [1.0, 1.0], [-1.0, -1.0]] * 10)
    for sign, value in ((1, 1.0), (-1, 0.0)):
        result = evaluate({"m": Scores(sign * logits, labels, ("Few", "Many"), "test")})
        auc = result.findings["Few"].auc
        assert (auc.value, auc.low, auc.has_interval, auc.includes(0.5), auc.excludes(0.5)) == (
            value,
            None,
            *(False,) * 3,
        )
        text = markdown(result)
        assert "**Too few to tell** (the AUC has no interval): Few." in text
        assert "**Not shown to learn** (the interval of the AUC covers 0.5): Many." in text
        said = notes(result).notes
        assert "Too few to tell (the AUC has no interval): Few." in said
        assert "Not shown to learn (the interval of the AUC covers 0.5): Many." in said
        assert not any("wrong way round" in text for text in said)


def test_one_model_without_a_decision_or_patients(scores):
    result = evaluate({"model": replace(scores, patients=None)})
    text = markdown(result)
    assert "patients unknown" in text
    assert "F1 at 0.5" in text
    assert "Model |" not in text


def test_one_patient_gives_numbers_without_intervals(scores):
    result = evaluate({"model": replace(scores, patients=np.zeros(300))})
    assert result.macro.auc.value > 0.5
    assert result.macro.auc.low is None
    assert "–" in markdown(result)


def test_models_on_other_rows_are_refused(scores):
    with pytest.raises(ValueError, match="at least one model"):
        evaluate({})
    with pytest.raises(ValueError, match="not on the same rows"):
        evaluate({"a": scores, "b": replace(scores, labels=1 - scores.labels)})
    with pytest.raises(ValueError, match="other findings"):
        evaluate({"a": scores, "b": replace(scores, findings=scores.findings[::-1])})


def test_evaluation_needs_no_keras():
    code = "import sys, zoo.evaluation.report, zoo.evaluation.baseline; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
