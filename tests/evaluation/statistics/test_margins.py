import numpy as np
import pytest
from sklearn.metrics import roc_curve

from zoo.evaluation.statistics.margins import margin


def drawn(rng, patients=150, images=2, decimals=1):
    """Labels, scores and a reader's calls, whose errors the images of a patient share and readers share with models."""
    clusters = np.repeat(np.arange(patients), images)
    labels = (rng.random(patients) < 0.3).astype(float)[clusters]
    shared = rng.normal(size=patients)[clusters] + rng.normal(size=len(clusters))
    scores = np.round(2 * labels + shared + rng.normal(size=len(clusters)), decimals)
    calls = (1.2 * labels + shared + rng.normal(size=len(clusters)) > 1.5).astype(float)
    return labels, scores, calls, clusters


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_the_margin_is_that_of_the_curve_of_scikit_learn(decimals):
    for seed in range(5):
        labels, scores, calls, clusters = drawn(np.random.default_rng(seed), decimals=decimals)
        found = margin(labels, scores, calls, clusters)
        false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
        at, sensitivity = calls[labels == 0].mean(), calls[labels == 1].mean()
        step = true[np.isclose(false, at, rtol=0, atol=1e-12)]  # a vertical step has two ends or more
        height = np.clip(sensitivity, step.min(), step.max()) if len(step) else np.interp(at, false, true)
        assert found.value == pytest.approx(height - sensitivity, abs=1e-12)
        assert found.low < found.value < found.high


def test_the_interval_holds_the_true_margin_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true = margin(*drawn(rng, 200_000)).value
    found = [margin(*drawn(rng, 60)) for _ in range(150)]
    held = np.mean([one.low <= true <= one.high for one in found])
    assert 0.9 <= held < 1
    assert np.median([one.high - one.low for one in found]) == pytest.approx(
        4 * np.std([o.value for o in found]), rel=0.2
    )


def test_repeated_images_of_a_patient_tell_nothing_more():
    labels, scores, calls, clusters = drawn(np.random.default_rng(1), 80, images=1)
    once = margin(labels, scores, calls, clusters)
    labels, scores, calls = (np.tile(values, 4) for values in (labels, scores, calls))
    same, others = (margin(labels, scores, calls, of) for of in (np.tile(clusters, 4), np.arange(320)))
    assert same.high - same.low == pytest.approx(once.high - once.low, rel=0.1)
    assert others.high - others.low < 0.65 * (once.high - once.low)


def test_perfect_calls_have_an_interval_and_too_few_patients_have_none():
    labels = np.tile([1.0, 0.0], 20)
    found = margin(labels, labels, labels, np.arange(40))
    assert found.value == 0
    assert -0.4 < found.low < 0 < found.high < 0.4
    few = margin(labels, labels, 1 - labels, np.arange(40) // 14)
    assert few.value == 1
    assert np.isnan([few.low, few.high]).all()
