import os
from pathlib import Path

import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.statistics import counts, ratios

NAN = np.nan


def test_auc_by_hand_with_ties_and_unknown_labels():
    labels = np.array([1, 1, 0, 0, NAN, 0])
    scores = np.array([0.9, 0.4, 0.4, 0.1, 5.0, 0.6])
    # Pairs won: 3 of 3 for 0.9; for 0.4 one won, one tied, one lost.
    assert metrics.roc_auc(labels, scores) == pytest.approx([4.5 / 6])


def test_average_precision_by_hand():
    labels = np.array([1, 0, 1, 0, NAN])
    scores = np.array([4.0, 3.0, 2.0, 1.0, 9.0])
    assert metrics.average_precision(labels, scores) == pytest.approx([(1 / 1 + 2 / 3) / 2])


@pytest.mark.parametrize("metric", [metrics.roc_auc, metrics.average_precision])
def test_a_finding_without_both_classes_is_undefined(metric):
    labels = np.array([[1, 0, NAN, 1], [1, 0, NAN, 0]])
    values = metric(labels, np.arange(8.0).reshape(2, 4))
    assert np.isnan(values[:3]).all()
    assert values[3] == (0.0 if metric is metrics.roc_auc else 0.5)


def test_ranking_metrics_equal_scikit_learn(make_scores):
    sk = pytest.importorskip("sklearn.metrics")
    scores = make_scores(700)
    for ours, theirs in (
        (metrics.roc_auc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
    ):
        values = ours(scores.labels, scores.logits)
        for j in range(5):
            known = ~np.isnan(scores.labels[:, j])
            expected = theirs(scores.labels[known, j], scores.logits[known, j])
            assert values[j] == pytest.approx(expected, abs=1e-12)


def test_probability_metrics_equal_scikit_learn(make_scores):
    sk = pytest.importorskip("sklearn.metrics")
    scores = make_scores(400)
    p, y = scores.probabilities, scores.labels
    counts = metrics.confusion(y, p, 0.3)
    for j in range(5):
        known = ~np.isnan(y[:, j])
        truth, chance, call = y[known, j], p[known, j], p[known, j] >= 0.3
        assert metrics.brier(y, p)[j] == pytest.approx(sk.brier_score_loss(truth, chance), abs=1e-12)
        assert metrics.log_loss(y, p)[j] == pytest.approx(sk.log_loss(truth, chance), abs=1e-12)
        assert metrics.binary_accuracy(y, p, 0.3)[j] == pytest.approx(sk.accuracy_score(truth, call))
        assert counts.f1[j] == pytest.approx(sk.f1_score(truth, call))
        assert counts.sensitivity[j] == pytest.approx(sk.recall_score(truth, call))
        assert counts.specificity[j] == pytest.approx(sk.recall_score(truth, call, pos_label=0))
        assert counts.ppv[j] == pytest.approx(sk.precision_score(truth, call))
        assert counts.npv[j] == pytest.approx(sk.precision_score(truth, call, pos_label=0))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_averages_equal_scikit_learn(make_scores, average):
    sk = pytest.importorskip("sklearn.metrics")
    scores = make_scores(400, unknown=0.0)
    expected = sk.f1_score(scores.labels, scores.probabilities >= 0.5, average=average)
    assert metrics.f1(scores.labels, scores.probabilities, average=average) == pytest.approx(expected)


def test_confusion_by_hand_at_thresholds_of_each_finding():
    labels = np.array([[1, 1], [1, 0], [0, NAN], [0, 0]])
    p = np.array([[0.8, 0.9], [0.3, 0.2], [0.6, 0.9], [0.1, 0.1]])
    counts = metrics.confusion(labels, p, [0.5, None])
    assert [counts.tp[0], counts.fp[0], counts.fn[0], counts.tn[0]] == [1, 1, 1, 1]
    assert np.isnan([counts.tp[1], counts.f1[1], counts.npv[1]]).all()
    assert counts.f1_average("micro") == counts.f1_average("weighted") == counts.f1_average("macro") == 0.5


def test_f1_is_zero_where_nothing_is_found_and_undefined_where_nothing_is_there():
    p = np.full((3, 2), 0.1)
    f1 = metrics.f1(np.array([[1, 0], [0, 0], [0, 0]]), p)
    assert f1[0] == 0
    assert np.isnan(f1[1])
    assert np.isnan(metrics.confusion(np.array([[1.0], [0.0]]), p[:2, :1]).ppv)


def test_a_threshold_is_met_by_the_same_decimal_in_float32():
    assert float(np.float32(0.35)) < 0.35  # what a comparison in float64 would get wrong
    assert counts.at_least(np.array([0.35], np.float32), 0.35)
    assert counts.at_least(np.array([0.35]), np.array([0.35], np.float32))


def test_logits_are_refused_where_probabilities_belong():
    # Comparing logits with 0.5 gives a plausible accuracy, silently at a probability of 0.62.
    with pytest.raises(ValueError, match=r"at row 1, column 0 is outside 0\.\.1: are these logits\?"):
        metrics.binary_accuracy(np.array([[0.0], [1.0]]), np.array([[0.2], [1.7]]))


def test_a_probability_that_is_missing_is_named():
    with pytest.raises(ValueError, match="probability at row 1, column 0 is NaN: leave the row out"):
        metrics.brier(np.array([[0.0], [1.0]]), np.array([[0.2], [NAN]]))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[0, 1]], [[0.1], [0.2]], "one shape"),
        ([[0], [1]], [[0.1], [NAN]], "not finite"),
        ([[0], [2]], [[0.1], [0.2]], "0, 1 or NaN"),
    ],
)
def test_bad_arrays(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metrics.roc_auc(np.array(labels, float), np.array(scores, float))


def test_mean_leaves_undefined_findings_out_and_counts():
    mean, count = ratios.mean_over_findings(np.array([[0.5, NAN, 0.7], [NAN, NAN, NAN]]))
    assert mean[0] == pytest.approx(0.6)
    assert np.isnan(mean[1])
    assert count.tolist() == [2, 0]


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "brier", "log_loss", "binary_accuracy"])
def test_integer_weights_are_repeated_rows(make_scores, name):
    scores = make_scores(200)
    weights = np.random.default_rng(1).integers(0, 4, size=(200, 3)).astype(np.float32)
    metric, values = getattr(metrics, name), scores.probabilities
    weighted = metric(scores.labels, values, weights=weights)
    assert weighted.shape == (3, 5)
    for r in range(3):
        rows = np.repeat(np.arange(200), weights[:, r].astype(int))
        assert weighted[r] == pytest.approx(metric(scores.labels[rows], values[rows]), abs=1e-6)


def test_keras_auc_is_off_on_a_rare_finding_where_ours_is_exact():
    import keras

    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.01).astype(np.float32)
    p = 1 / (1 + np.exp(-(rng.normal(size=4000) + 1.4 * labels - 6)))
    pairs = p[labels == 1][:, None] - p[labels == 0]
    exact = np.mean(pairs > 0) + np.mean(pairs == 0) / 2
    binned = keras.metrics.AUC(num_thresholds=200)
    binned.update_state(labels, p)
    assert abs(float(binned.result()) - exact) > 0.01
    assert metrics.roc_auc(labels, p) == pytest.approx([exact], abs=1e-12)


def test_keras_auc_takes_unknown_labels_for_labels_where_ours_leaves_them_out():
    import keras

    rng = np.random.default_rng(0)
    labels = (rng.random(2000) < 0.3).astype(np.float32)
    p = (1 / (1 + np.exp(-(rng.normal(size=2000) + 4 * labels - 2)))).astype(np.float32)
    exact = metrics.roc_auc(labels, p)[0]
    labels[rng.random(2000) < 0.3] = NAN
    binned = keras.metrics.AUC(num_thresholds=200)
    binned.update_state(labels, p)
    assert not abs(float(binned.result()) - exact) < 0.05
    assert metrics.roc_auc(labels, p)[0] == pytest.approx(exact, abs=0.002)


def test_unknown_labels_change_nothing_but_the_count():
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 1)) < 0.3).astype(np.float32)
    scores = rng.normal(size=(500, 1)) + labels
    masked = labels.copy()
    masked[rng.random(500) < 0.3] = NAN
    known = ~np.isnan(masked[:, 0])
    assert metrics.roc_auc(masked, scores) == metrics.roc_auc(labels[known], scores[known])


def test_equals_scikit_learn_on_real_predictions():
    """11,175 predictions of the published CheXNet reproduction (github.com/jrzech/reproduce-chexnet) with NIH labels.

    `chexnet_predictions.csv.gz`: `Finding Labels` (split at "|"), `Patient ID` and one `prob_<finding>` a finding.
    """
    sk = pytest.importorskip("sklearn.metrics")
    import pandas as pd

    path = Path(os.environ.get("ZOO_NIH_DIR", "")) / "chexnet_predictions.csv.gz"
    if not path.is_file():
        pytest.skip("set ZOO_NIH_DIR to a folder with chexnet_predictions.csv.gz to compare on real predictions")
    table = pd.read_csv(path)
    columns = [c for c in map(str, table) if c.startswith("prob_")]
    present = [set(text.split("|")) for text in table["Finding Labels"]]
    labels = np.array([[float(c.removeprefix("prob_") in own) for c in columns] for own in present])
    p = table[columns].to_numpy()
    assert labels.shape == (11_175, 14)
    assert metrics.roc_auc(labels, p) == pytest.approx(sk.roc_auc_score(labels, p, average=None), abs=1e-9)
    expected = sk.average_precision_score(labels, p, average=None)
    assert metrics.average_precision(labels, p) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", ["usual", "certain", "float32", "one row"])
def test_brier_and_log_loss_under_weights_are_those_of_scikit_learn(case):
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    n = 1 if case == "one row" else 500
    labels, p = (rng.random(n) < 0.3).astype(float), rng.random(n)
    if case == "certain":
        p = np.round(p)
    if case == "float32":
        p = p.astype(np.float32)  # type: ignore[assignment]
    labels[1:][rng.random(n - 1) < 0.2] = np.nan
    weights, known = rng.random((n, 3)) + 0.1, ~np.isnan(labels)
    exact = p[known].astype(np.float64)  # scikit-learn works in the type that comes
    expected = [sk.brier_score_loss(labels[known], exact, sample_weight=w, pos_label=1) for w in weights[known].T]
    np.testing.assert_allclose(metrics.brier(labels, p, weights)[:, 0], expected, rtol=0, atol=1e-12)
    expected = [sk.log_loss(labels[known], exact, sample_weight=w, labels=[0, 1]) for w in weights[known].T]
    np.testing.assert_allclose(metrics.log_loss(labels, p, weights)[:, 0], expected, rtol=1e-12, atol=1e-12)
