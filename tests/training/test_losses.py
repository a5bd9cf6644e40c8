import keras
import numpy as np
import pytest
from keras import ops

from zoo.core.errors import TableError, UnknownNameError
from zoo.training.losses import (
    LOSSES,
    AsymmetricLoss,
    FindingLoss,
    FocalLoss,
    WeightedBCE,
    build_loss,
    label_weights,
    register_loss,
)

LABELS = np.array([[1, 0, np.nan], [0, np.nan, 1]], np.float32)
LOGITS = np.array([[0.5, -2.0, 3.0], [12.0, 1.0, -1.5]], np.float32)
KNOWN = ~np.isnan(LABELS)
WEIGHTS = (0.5, 3.0, 2.0)


def value_and_gradient(loss, labels, logits):
    """Of the loss on the running backend, as NumPy."""
    if keras.config.backend() == "jax":
        import jax

        value, gradient = jax.value_and_grad(lambda z: loss(labels, z))(ops.convert_to_tensor(logits))
    else:
        import tensorflow as tf

        z = tf.Variable(logits)
        with tf.GradientTape() as tape:
            value = loss(labels, z)
        gradient = tape.gradient(value, z)
    return float(value), np.asarray(gradient)


def float64_terms(name):
    """The formulas of the papers in float64 probabilities."""
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    if name == "weighted_bce":
        return -np.log(p), -np.log1p(-p)
    if name == "focal":
        return 0.25 * (1 - p) ** 2 * -np.log(p), 0.75 * p**2 * -np.log1p(-p)
    q = np.maximum(p - 0.05, 0)
    return -np.log(p), q**4 * -np.log(1 - q)


@pytest.mark.parametrize("name", ["weighted_bce", "focal", "asymmetric"])
@pytest.mark.parametrize("form", ["both_terms", "positive_only"])
def test_values_are_those_of_the_formulas_over_the_known_labels(name, form):
    present, absent = float64_terms(name)
    y, w = np.nan_to_num(LABELS), np.array(WEIGHTS)
    costs = y * w * present + (1 - y) * (w if form == "both_terms" else 1) * absent
    loss = build_loss(name, label_weights=WEIGHTS, form=form)
    assert float(loss(LABELS, LOGITS)) == pytest.approx(costs[KNOWN].mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "golden"), [("weighted_bce", 2.470788038), ("focal", 1.224122647), ("asymmetric", 1.234536068)]
)
def test_backends_agree_on_golden_numbers(name, golden):
    """One set of numbers for all backends: a loss that drifts on one of them fails there."""
    assert float(build_loss(name, label_weights=WEIGHTS, smoothing=0.1)(LABELS, LOGITS)) == pytest.approx(
        golden, rel=1e-6
    )


def test_weighted_bce_without_weights_is_that_of_keras():
    labels = np.nan_to_num(LABELS)
    ours, theirs = WeightedBCE(), keras.losses.BinaryCrossentropy(from_logits=True)
    assert float(ours(labels, LOGITS)) == pytest.approx(float(theirs(labels, LOGITS)), rel=1e-6)
    ours, theirs = (
        WeightedBCE(smoothing=0.2),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
    )
    assert float(ours(labels, LOGITS)) == pytest.approx(float(theirs(labels, LOGITS)), rel=1e-6)


@pytest.mark.parametrize("name", ["weighted_bce", "focal", "asymmetric"])
def test_unknown_labels_give_no_nan_and_no_gradient(name):
    """Masked after the arithmetic, 0 * NaN would make every gradient NaN."""
    value, gradient = value_and_gradient(build_loss(name, label_weights=WEIGHTS), LABELS, LOGITS)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert (gradient[~KNOWN] == 0).all()
    assert (gradient[KNOWN] != 0).any()


@pytest.mark.parametrize("name", ["weighted_bce", "focal", "asymmetric"])
def test_batch_without_any_known_label_costs_nothing(name):
    value, gradient = value_and_gradient(build_loss(name), np.full_like(LABELS, np.nan), LOGITS)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(
    "loss", [WeightedBCE(), FocalLoss(gamma=0.5), AsymmetricLoss(), AsymmetricLoss(margin=0.0, gamma_negative=0.0)]
)
def test_huge_logits_stay_finite(loss):
    value, gradient = value_and_gradient(
        loss, np.array([[1, 0], [0, 1]], np.float32), np.array([[-90, 90], [-90, 90]], np.float32)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_config_round_trip():
    for loss in (WeightedBCE(WEIGHTS, "positive_only", 0.1), FocalLoss(1.5, None), AsymmetricLoss(1.0, 3.0, 0.1)):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert type(again) is type(loss)
        assert again.get_config() == loss.get_config()
        assert float(again(LABELS, LOGITS)) == float(loss(LABELS, LOGITS))


def test_keras_takes_class_weight_by_the_argmax_of_each_row_and_our_losses_refuse_it():
    """`fit(class_weight=)` on multi-hot labels: no error in Keras, and weights that mean nothing."""
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.float32)
    x, weights = np.zeros((4, 1), np.float32), {0: 10.0, 1: 1.0}

    def first_loss(loss):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.0), loss)
        return model.fit(x, labels, batch_size=4, class_weight=weights, verbose=0).history["loss"][0]

    # Rows [1, 1], [1, 0] and [0, 0] all have argmax 0, so that even a row without a finding weighs 10.
    assert first_loss(keras.losses.BinaryCrossentropy(from_logits=True)) == pytest.approx(np.log(2) * 31 / 4, rel=1e-5)
    with pytest.raises(ValueError, match="argmax of each row"):
        first_loss(WeightedBCE())


def test_wrong_shapes_and_arguments_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\)"):
        WeightedBCE()(LABELS, LOGITS[:, :2])
    with pytest.raises(ValueError, match="2 label_weights for 3 findings"):
        WeightedBCE([1, 1])(LABELS, LOGITS)
    for wrong in ({"form": "x"}, {"smoothing": 1.0}, {"label_weights": [-1.0]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            WeightedBCE(**wrong)
    with pytest.raises(ValueError, match="gamma"):
        FocalLoss(gamma=-1)
    with pytest.raises(ValueError, match="gamma_negative"):
        AsymmetricLoss(gamma_negative=0.5)


def test_registry():
    class Plain(FindingLoss):
        def terms(self, logits):
            return -logits, logits

    with pytest.raises(UnknownNameError, match="did you mean 'weighted_bce'"):
        build_loss("wieghted_bce")
    register_loss("plain", Plain)
    try:
        assert float(build_loss("plain")(np.ones((1, 1)), np.full((1, 1), 2.0))) == -2
        with pytest.raises(ValueError, match="registered already"):
            register_loss("plain", WeightedBCE)
    finally:
        del LOSSES["plain"]


def test_label_weights_are_clipped_ratios_of_known_labels():
    column = {"a": [1, 0, 0, np.nan], "b": [1, 0, 0, 0], "c": [1, 1, 1, 0], "d": [1, 0, 0, 0]}
    labels = np.array(list(column.values()), np.float32).T
    np.testing.assert_array_equal(label_weights(labels), [2, 3, 0.5, 3])
    assert label_weights(labels, 0.1, 10).dtype == np.float32
    np.testing.assert_allclose(label_weights(labels, 0.1, 10), [2, 3, 1 / 3, 3])


def test_finding_without_positives_weighs_one_with_a_warning_and_nothing_to_learn_is_an_error():
    labels = np.array([[1, 0], [0, np.nan]], np.float32)
    with pytest.warns(UserWarning, match="not trained: Edema$"):
        np.testing.assert_array_equal(label_weights(labels, findings=("Atelectasis", "Edema")), [1, 1])
    with pytest.raises(TableError, match="no finding has both"):
        label_weights(np.array([[1, 0], [1, np.nan]], np.float32))
