from dataclasses import replace

import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.decision import Decision
from zoo.evaluation.measures import AT_A_POINT, measures
from zoo.evaluation.statistics.reliability import calibration_error

POINTS = {"half": (0.5,) * 4, "mine": (0.1, 0.2, None, 0.4)}


@pytest.fixture(scope="module")
def scores(make_scores):
    found = make_scores(260, 4, split="test")
    labels = found.labels.copy()
    labels[:, 1] = np.where(np.isnan(labels[:, 1]), np.nan, 0)
    return replace(found, labels=labels)


@pytest.fixture(scope="module")
def decision(scores):
    return Decision(scores.findings, (1.3,))


@pytest.fixture(scope="module")
def values(scores, decision):
    return measures(scores, scores.calibrated(decision), POINTS)


def test_the_values_are_those_of_the_metrics(scores, decision, values):
    p = scores.calibrated(decision)
    expected = {
        "auc": metrics.roc_auc(scores.labels, scores.logits),
        "average_precision": metrics.average_precision(scores.labels, scores.logits),
        "brier": metrics.brier(scores.labels, p),
        "log_loss": metrics.log_loss(scores.labels, p),
        "ece": calibration_error(scores.labels, p, scores.clusters),
    }
    for name, thresholds in POINTS.items():
        counts = metrics.confusion(scores.labels, p, thresholds)
        expected |= {f"{metric}@{name}": getattr(counts, metric) for metric in AT_A_POINT}
    assert {metric for over, metric in values if over == "finding"} == set(expected)
    for metric, value in expected.items():
        assert values["finding", metric] == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert values["macro", metric] == pytest.approx(np.nanmean(value), abs=1e-12)


@pytest.mark.parametrize(("over", "average"), [("macro", "macro"), ("micro", "micro"), ("weighted", "weighted")])
def test_averages_equal_scikit_learn(make_scores, over, average):
    sk = pytest.importorskip("sklearn.metrics")
    scores = make_scores(300, 4, unknown=0.0)
    y, p = scores.labels, scores.probabilities
    found = measures(scores, p, {"half": (0.5,) * 4})
    options = {"average": average, "zero_division": np.nan}
    assert found[over, "auc"] == pytest.approx(sk.roc_auc_score(y, p, average=average), abs=1e-12)
    assert found[over, "average_precision"] == pytest.approx(
        sk.average_precision_score(y, p, average=average), abs=1e-12
    )
    assert found[over, "f1@half"] == pytest.approx(sk.f1_score(y, p >= 0.5, average=average))
    assert found[over, "sensitivity@half"] == pytest.approx(sk.recall_score(y, p >= 0.5, **options))
    assert found[over, "ppv@half"] == pytest.approx(sk.precision_score(y, p >= 0.5, **options))


def test_pooled_and_weighted_by_hand(scores, decision, values):
    known = ~np.isnan(scores.labels)
    y, p = scores.labels[known], scores.calibrated(decision)[known]
    assert values["micro", "brier"] == pytest.approx(np.mean((p - y) ** 2))
    assert values["micro", "log_loss"] == pytest.approx(metrics.log_loss(y, p)[0])
    clusters = np.broadcast_to(scores.clusters[:, None], known.shape)[known]
    assert values["micro", "ece"] == pytest.approx(calibration_error(y[:, None], p[:, None], clusters)[0])
    assert values["micro", "auc"] == pytest.approx(metrics.roc_auc(y, p)[0])
    positives = scores.counts[1]
    for metric in ("auc", "brier", "ece", "sensitivity@mine"):
        value = values["finding", metric]
        used = ~np.isnan(value)
        assert values["weighted", metric] == pytest.approx(
            np.sum(value[used] * positives[used]) / positives[used].sum()
        )
    # Without a threshold the third finding is in none of the averages.
    undecided = metrics.confusion(scores.labels, scores.calibrated(decision), POINTS["mine"])
    assert values["micro", "specificity@mine"] == np.nansum(undecided.tn) / np.nansum(undecided.tn + undecided.fp)
    assert np.isnan(values["finding", "specificity@mine"][2])


def test_scores_of_unknown_scale_are_only_ranked(scores):
    found = measures(replace(scores, kind="scores"))
    assert set(found) == {(o, m) for o in ("finding", "macro", "weighted") for m in ("auc", "average_precision")}
