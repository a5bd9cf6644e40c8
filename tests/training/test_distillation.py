"""The loss of a student is that of Hinton et al. (2015), for a sigmoid of each finding."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.core.errors import RecipeError, UsageError
from zoo.training.distillation import DistillationLoss
from zoo.training.losses import FocalLoss, WeightedBCE
from zoo.training.teaching import TeachingSpec, targets

TEACHER = np.array([[2.0, -3.0, np.nan], [0.5, 4.0, np.nan]])
LABELS = np.array([[1.0, np.nan, 1.0], [np.nan, 0.0, 0.0]])
STUDENT = np.array([[1.0, -1.0, 5.0], [-0.5, 2.0, -5.0]], np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def soft_cross_entropy(temperature):
    """By the formula, in float64, over the findings that the teacher speaks of."""
    q, p = sigmoid(TEACHER / temperature)[:, :2], sigmoid(STUDENT.astype(float) / temperature)[:, :2]
    return float(np.mean(-q * np.log(p) - (1 - q) * np.log(1 - p)))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_without_labels_it_is_the_softened_cross_entropy_times_the_square_of_the_temperature(temperature):
    found = DistillationLoss(temperature=temperature)(targets(TEACHER, LABELS, temperature), STUDENT)
    assert float(found) == pytest.approx(temperature**2 * soft_cross_entropy(temperature), rel=1e-6)


def test_labels_are_mixed_in_where_they_are_known_and_the_teacher_speaks():
    loss = DistillationLoss(FocalLoss(), temperature=2.0, alpha=0.3)
    known = np.where(np.isnan(TEACHER), np.nan, LABELS).astype(np.float32)
    expected = 0.7 * 4 * soft_cross_entropy(2.0) + 0.3 * float(FocalLoss()(known, STUDENT))
    assert float(loss(targets(TEACHER, LABELS, 2.0), STUDENT)) == pytest.approx(expected, rel=1e-6)


def test_a_batch_without_labels_has_the_teachers_term_alone():
    loss, nothing = DistillationLoss(temperature=2.0, alpha=0.3), np.full_like(LABELS, np.nan)
    found = float(loss(targets(TEACHER, nothing, 2.0), STUDENT))
    assert found == pytest.approx(0.7 * 4 * soft_cross_entropy(2.0), rel=1e-6)


def test_the_gradient_is_zero_at_the_teachers_logits_and_never_nan_at_extreme_ones():
    far = np.array([[80.0, -80.0]])
    loss, goal = DistillationLoss(temperature=2.0), targets(far, np.full_like(far, np.nan), 2.0)
    assert abs(float(loss(goal, far.astype(np.float32)))) < 1e-6
    assert np.isfinite(float(loss(goal, -far.astype(np.float32))))


def test_a_finding_that_the_teacher_does_not_know_has_neither_target_nor_label():
    assert np.isnan(targets(TEACHER, LABELS, 2.0)[:, [2, 5]]).all()
    moved = STUDENT + np.array([0, 0, 7], np.float32)
    loss, goal = DistillationLoss(alpha=0.5), targets(TEACHER, LABELS, 2.0)
    assert float(loss(goal, STUDENT)) == float(loss(goal, moved))


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"targets must be \(batch, 6\) for 3 findings, got \(2, 3\)"):
        DistillationLoss()(ops.convert_to_tensor(LABELS, "float32"), ops.convert_to_tensor(STUDENT))
    with pytest.raises(UsageError, match="the teacher's logits are"):
        targets(TEACHER, LABELS[:1], 1.0)
    for temperature in (0, 1e-10, 101, float("nan")):
        with pytest.raises(RecipeError, match="temperature must be"):
            TeachingSpec("x", "", temperature=temperature)
    with pytest.raises(RecipeError, match=r"alpha must be in \[0, 1\), got 1"):
        TeachingSpec("x", "", alpha=1)


def test_it_is_saved_and_read_with_the_loss_of_its_labels():
    loss = DistillationLoss(WeightedBCE(smoothing=0.1), temperature=3.0, alpha=0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    goal = targets(TEACHER, LABELS, 3.0)
    assert float(again(goal, STUDENT)) == float(loss(goal, STUDENT))
