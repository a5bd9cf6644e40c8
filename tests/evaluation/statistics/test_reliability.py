import numpy as np
import pytest

from zoo.evaluation.statistics.reliability import calibration_error, reliability, squared_error


def test_reliability_by_hand():
    curve = reliability(np.array([0, 0, 1, 1, np.nan]), np.array([0.1, 0.2, 0.6, 0.8, 0.9]), bins=2)
    assert curve.predicted == pytest.approx([0.15, 0.7])
    assert curve.observed.tolist() == [0.0, 1.0]
    assert curve.n.tolist() == [2, 2]


def test_the_error_by_hand():
    """Two bins of two images: the product of the two gaps of each."""
    y, p = np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.7, 0.9])
    assert squared_error(y, p, bins=2) == pytest.approx((0.1 * -0.7 + 0.3 * 0.1) / 2)
    assert calibration_error(y[:, None], p[:, None], bins=2) == [0.0]
    certain = np.array([0, 0, 1, 1]), np.array([0.2, 0.2, 0.7, 0.7])
    assert calibration_error(certain[0][:, None], certain[1][:, None], bins=2) == pytest.approx(
        [np.sqrt((0.04 + 0.09) / 2)]
    )


def test_images_of_one_patient_are_not_compared_with_each_other():
    """Of three images of two patients: the mean product over the two pairs of different patients."""
    y, p = np.array([0.0, 0, 1]), np.full(3, 0.5)
    assert squared_error(y, p, np.array([0, 0, 1])) == pytest.approx(-0.25)
    assert squared_error(y, p) == pytest.approx((0.25 - 0.25 - 0.25) / 3)
    rng = np.random.default_rng(0)
    truth = rng.random((60, 300))
    p, labels = (np.repeat(values, 2, axis=0) for values in (truth, (rng.random(truth.shape) < truth).astype(float)))
    own, apart = (
        np.mean([squared_error(y, x, of) for y, x in zip(labels.T, p.T, strict=True)])
        for of in (np.repeat(np.arange(60), 2), None)
    )
    assert own == pytest.approx(0, abs=0.002)  # calibrated
    assert apart > 0.01  # what a patient's images share looks like a fault


def test_equal_probabilities_share_a_bin_in_any_order_of_rows():
    rng = np.random.default_rng(0)
    p, labels = np.round(rng.random(500), 1), (rng.random(500) < 0.3).astype(float)
    order = rng.permutation(500)
    assert calibration_error(labels[:, None], p[:, None]) == pytest.approx(
        calibration_error(labels[order, None], p[order, None])
    )


def test_the_error_of_a_calibrated_model_is_debiased():
    rng = np.random.default_rng(0)
    p = rng.random((300, 200))
    labels = (rng.random((300, 200)) < p).astype(float)
    plain = [_plain_square(labels[:, j], p[:, j]) for j in range(200)]
    assert np.sqrt(np.mean(plain)) > 0.08
    assert np.mean([squared_error(labels[:, j], p[:, j]) for j in range(200)]) == pytest.approx(0, abs=3e-4)
    # Half of the debiased squares fall below 0, so their root is given as 0.
    debiased = calibration_error(labels, p)
    assert 0.3 < np.mean(debiased == 0) < 0.7
    assert np.median(debiased) < 0.03


def test_the_error_of_a_shifted_model_is_the_shift():
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 1)) * 0.8
    labels = (rng.random((20_000, 1)) < p + 0.1).astype(float)
    assert calibration_error(labels, p) == pytest.approx([0.1], abs=0.015)
    assert np.isnan(calibration_error(labels * 0, p)).all()


def _plain_square(labels: np.ndarray, p: np.ndarray) -> float:
    curve = reliability(labels, p)
    return float(np.average((curve.predicted - curve.observed) ** 2, weights=curve.n))
