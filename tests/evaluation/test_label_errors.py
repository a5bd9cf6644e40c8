"""Confident learning with two classes: the joint by hand, flipped labels found, unknown labels left out."""

import numpy as np
import pytest

from zoo.core.errors import EvaluationError
from zoo.evaluation.label_errors import find_label_errors


def simulated(separation: float, n: int = 4000, prevalence: float = 0.2):
    """Labels of which 5 % are flipped, the probabilities of a calibrated model of AUC Phi(separation / sqrt 2)."""
    rng = np.random.default_rng(0)
    truth = (rng.random(n) < prevalence).astype(float)
    score = rng.normal(size=n) + separation * (truth - 0.5)
    chances = 1 / (1 + np.exp(-(separation * score + np.log(prevalence / (1 - prevalence)))))
    flipped = rng.random(n) < 0.05
    return np.where(flipped, 1 - truth, truth), chances, flipped


@pytest.mark.parametrize(
    ("separation", "precision", "recall", "first_hundred"),
    [(4, 0.84, 0.94, 1.0), (3, 0.65, 0.86, 0.98), (2, 0.385, 0.78, 0.77)],
)
def test_flipped_labels_are_found(separation, precision, recall, first_hundred):
    """5 % of 4,000 labels flipped: precision 84 % and recall 94 % at AUC 0.998, 65 % and 86 % at 0.983, 38 % and 78 %
    at 0.92; of the first hundred 100 %, 98 % and 77 % are flipped."""
    labels, chances, flipped = simulated(separation)
    found = find_label_errors(labels, chances)
    assert flipped[found.rows].mean() == pytest.approx(precision, abs=0.006)
    assert flipped[found.rows].sum() / flipped.sum() == pytest.approx(recall, abs=0.006)
    assert flipped[found.rows[:100]].mean() == pytest.approx(first_hundred, abs=0.006)
    assert (np.diff(found.margins) <= 0).all()
    assert (found.margins > 0).all()
    assert {4: 246, 3: 289, 2: 442}[separation] == len(found.rows) <= found.estimated + 1


def test_the_joint_is_that_of_a_calculation_by_hand():
    # Thresholds: negative mean(.9, .75, .3) = .65, positive mean(.8, .2) = .5. Confident classes: 0, 0, 1, 1, 0.
    found = find_label_errors(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.25, 0.7, 0.8, 0.2]))
    np.testing.assert_allclose(found.thresholds, [0.65, 0.5])
    np.testing.assert_allclose(found.joint, [[2, 1], [1, 1]])
    assert found.rows.tolist() == [4, 2]
    np.testing.assert_allclose(found.margins, [0.6, 0.4])


def test_a_label_that_the_more_probable_class_agrees_with_is_not_named():
    # Rare and weakly predicted: the second negative reaches the threshold of the positives, 0.3, and is likely right.
    labels, chances = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.1, 0.6, 0.3, 0.3])
    found = find_label_errors(labels, chances)
    assert found.estimated > 2
    assert 3 in found.rows
    assert 1 not in found.rows


def test_images_below_both_thresholds_do_not_count_and_the_joint_keeps_the_labels():
    # 0.62 negative and 0.38 positive reach neither threshold (0.7 and 0.6).
    labels, chances = np.array([0, 0, 0, 1, 1, 1]), np.array([0.0, 0.38, 0.52, 0.9, 0.5, 0.4])
    found = find_label_errors(labels, chances)
    np.testing.assert_allclose(found.thresholds, [0.7, 0.6])
    np.testing.assert_allclose(found.joint, [[3, 0], [0, 3]])
    assert len(found.rows) == 0


def test_unknown_labels_and_missing_probabilities_are_left_out():
    labels, chances, _ = simulated(3)
    whole = find_label_errors(labels, chances)
    spread, wide = np.full(2 * len(labels), np.nan), np.full(2 * len(labels), 0.99)
    spread[::2], wide[::2] = labels, chances
    found = find_label_errors(spread, wide)
    np.testing.assert_array_equal(found.rows, 2 * whole.rows)
    np.testing.assert_array_equal(found.joint, whole.joint)
    assert found.known == len(labels)
    spread[1::2], wide[1::2] = 0, np.nan
    np.testing.assert_array_equal(find_label_errors(spread, wide).rows, 2 * whole.rows)


@pytest.mark.parametrize(
    ("labels", "absent"),
    [
        ([0, 0, np.nan], "no positive label among 2 known labels"),
        ([1, 1, 1], "no negative label among 3 known labels"),
        ([np.nan] * 3, "no negative label among 0 known labels"),
    ],
)
def test_a_finding_of_one_class_is_not_judged(labels, absent):
    found = find_label_errors(np.array(labels), np.array([0.1, 0.9, 0.5]))
    assert (found.absent, found.estimated, len(found.rows)) == (absent, 0, 0)


@pytest.mark.parametrize(
    ("labels", "chances", "words"),
    [
        ([0, 1], [0.5], "one label and one probability"),
        ([0, -1], [0.5, 0.5], "got -1"),
        ([0, 1], [0.5, 1.5], "got 1.5"),
    ],
)
def test_impossible_values_are_refused(labels, chances, words):
    with pytest.raises(EvaluationError, match=words):
        find_label_errors(np.array(labels), np.array(chances))
