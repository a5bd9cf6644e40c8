"""Weights of members on data where the right ones are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from zoo.core.errors import EvaluationError, SplitError
from zoo.evaluation.ensembling import shrinkage, simplex
from zoo.evaluation.ensembling.fitting import FittedWeights, fit_weights, mean_logits
from zoo.evaluation.ensembling.shrinkage import Fittable
from zoo.evaluation.scores import Scores

FINDINGS = ("Atelectasis", "Edema", "Fracture")


def members(
    quality: dict[str, tuple[float, ...]], n: int = 600, seed: int = 0, split: str = "validation", scale: float = 1.0
) -> dict[str, Scores]:
    """Members whose logits are `quality` times the true log-odds plus noise, by finding; two images a patient."""
    rng = np.random.default_rng(seed)
    truth = 1.5 * rng.normal(size=(n, 3))
    labels = (rng.random((n, 3)) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    labels[rng.random((n, 3)) < 0.1] = np.nan
    patients = np.arange(n) // 2
    return {
        name: Scores(scale * (truth * np.array(q) + rng.normal(size=(n, 3))), labels, FINDINGS, split, "hash", patients)
        for name, q in quality.items()
    }


def numbers(found: FittedWeights) -> np.ndarray:
    """The fitted weights, (members,) or (members, findings)."""
    return np.array(found.weighting, float)


def test_a_member_of_noise_keeps_its_share_of_the_uniform_weights_alone():
    found = fit_weights(members({"good": (1, 1, 1), "noise": (0, 0, 0)}), date="2026-01-01")
    exact = 1 - found.shrinkage / 2
    assert found.shrinkage <= 0.2
    assert found.weighting == pytest.approx((exact, 1 - exact), abs=0.02)
    assert numbers(found).min() >= 0.01
    origin = found.origin
    assert (origin.recipe, origin.split, origin.split_hash, origin.date) == (
        "fitted",
        "validation",
        "hash",
        "2026-01-01",
    )
    assert all(500 < n < 600 for n in origin.n)


def test_members_alike_are_weighted_equally():
    """Two of one quality: the weights differ by chance alone, so cross-validation finds no reason to leave 1/2."""
    found = fit_weights(members({"one": (1, 1, 1), "other": (1, 1, 1)}))
    assert found.weighting == (0.5, 0.5)
    assert found.shrinkage == 1


def test_weights_are_those_of_the_smallest_log_loss_mixed_with_the_uniform_ones():
    scores = members({"a": (1, 1, 1), "b": (0.4, 0.4, 0.4), "c": (0.2, 0.2, 0.2)})
    z, y = np.stack([s.logits for s in scores.values()], axis=2), next(iter(scores.values())).labels
    exact = simplex.fit(z[~np.isnan(y)], y[~np.isnan(y)])
    found = fit_weights(scores)
    expected = (1 - found.shrinkage) * exact / exact.sum() + found.shrinkage / 3
    np.testing.assert_allclose(found.weighting, expected, atol=1e-6)
    assert numbers(found).sum() == pytest.approx(1)


def test_logits_of_another_scale_give_the_same_weights():
    """The temperature is fitted with the weights; at a fixed one, logits too small would favour the largest."""
    quality = {"a": (1.0, 1.0, 1.0), "b": (0.5, 0.5, 0.5)}
    weights = [numbers(fit_weights(members(quality, scale=scale))) for scale in (1.0, 0.3, 3.0)]
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-5)
    np.testing.assert_allclose(weights[2], weights[0], atol=1e-5)


def test_each_finding_gets_its_own_weights_where_the_members_differ():
    scores = members({"a": (1, 0, 1), "b": (0, 1, 1)}, n=1500)
    found = fit_weights(scores, "fitted_per_finding")
    a, b = numbers(found)
    np.testing.assert_allclose(a + b, 1, atol=2e-6)
    np.testing.assert_allclose(a, [0.92, 0.08, 0.5], atol=0.08)
    assert found.shrinkage_by_finding is not None
    assert found.shrinkage_by_finding <= 0.3


def test_findings_that_do_not_differ_share_one_weight_for_each_member():
    found = fit_weights(members({"a": (1, 1, 1), "b": (0.3, 0.3, 0.3)}, n=200), "fitted_per_finding")
    assert found.shrinkage_by_finding == 1
    assert found.weighting == fit_weights(members({"a": (1, 1, 1), "b": (0.3, 0.3, 0.3)}, n=200)).weighting


def test_a_finding_with_few_positives_takes_the_weights_of_all():
    scores = members({"a": (1, 0, 1), "b": (0, 1, 1)}, n=1500)
    labels = next(iter(scores.values())).labels.copy()
    labels[np.flatnonzero(labels[:, 2] == 1)[9:], 2] = 0
    scores = {n: Scores(s.logits, labels, FINDINGS, "validation", "", s.patients) for n, s in scores.items()}
    data = Fittable.of([*scores.values()])
    others = np.array([[0.5, 0.5]] * 3)
    assert shrinkage.own(data, others)[2].tolist() == [0.5, 0.5]
    found = fit_weights(scores, "fitted_per_finding")
    assert "Fracture: 9 positives of" in " ".join(found.origin.notes)


def test_findings_that_were_not_trained_have_no_part_in_the_fit():
    scores = members({"a": (1, 0, 0), "b": (0, 1, 1)}, n=1500)
    assert numbers(fit_weights(scores, trained=[True, False, False]))[0] > 0.9
    assert numbers(fit_weights(scores, trained=[False, True, True]))[0] < 0.1


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (members({"a": (1, 1, 1)}), "one member"),
        (members({"a": (1, 1, 1), "b": (1, 1, 1)}, n=8), "4 patients with labels for a cross-validation in 5 folds"),
    ],
)
def test_with_too_little_to_fit_the_weights_are_uniform_and_say_why(scores, why):
    found = fit_weights(scores)
    assert (found.weighting, found.shrinkage) == ("uniform", 1)
    assert found.origin.notes == (f"uniform, without a fit: {why}",)


def test_patients_without_labels_are_in_no_fold():
    scores = members({"a": (1, 1, 1), "b": (1, 1, 1)}, n=100)
    (first, *_), labels = scores.values(), next(iter(scores.values())).labels.copy()
    labels[first.clusters > 0] = np.nan
    labels[first.clusters == 0] = [[1, 1, 1], [0, 0, 0]]
    found = fit_weights({n: dataclasses.replace(s, labels=labels) for n, s in scores.items()})
    assert found.weighting == "uniform"
    assert found.origin.notes == ("uniform, without a fit: 1 patient with a label for a cross-validation in 5 folds",)


def test_nothing_is_fitted_on_the_test_part():
    with pytest.raises(SplitError, match="weights of members must be fitted on the validation part"):
        fit_weights(members({"a": (1, 1, 1), "b": (1, 1, 1)}, split="test"))
    with pytest.raises(EvaluationError, match="'fitted' or 'fitted_per_finding', got 'uniform'"):
        fit_weights(members({"a": (1, 1, 1)}), "uniform")


def test_the_mean_of_logits_is_weighted_by_finding():
    scores = members({"a": (1, 1, 1), "b": (1, 1, 1)}, n=4)
    one, two = scores.values()
    found = mean_logits([one, two], [[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    np.testing.assert_allclose(found, one.logits * [1, 0.5, 0.25] + two.logits * [0, 0.5, 0.75])
