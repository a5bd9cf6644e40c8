import numpy as np
import pytest

from zoo.evaluation.calibration import fits
from zoo.evaluation.calibration.fits import BOUNDS, isotonic, platt, temperature


def sample(n, seed=0, decimals=1):
    """Ties, as rounded scores have them."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    return np.round(rng.normal(size=n) + 1.3 * y, decimals), y


def loss(z, y):
    return np.mean(np.logaddexp(0, z) - y * z)


def test_platt_is_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    for seed in range(3):
        z, y = sample(400, seed)
        slope, intercept, note = platt(z, y)
        model = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], y)
        assert slope == pytest.approx(model.coef_[0, 0], abs=1e-5)
        assert intercept == pytest.approx(model.intercept_[0], abs=1e-5)
        assert note == ""


def test_platt_is_a_minimum_by_its_own():
    z, y = sample(300)
    slope, intercept, _ = platt(z, y)
    p = 1 / (1 + np.exp(-slope * z - intercept))
    assert np.sum(p - y) == pytest.approx(0, abs=1e-8)
    assert np.sum(z * (p - y)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("sign", "slope", "says"), [(1, 10.0, "separate the classes"), (-1, 0.1, "no better than")])
def test_a_slope_is_kept_above_zero_and_finite(sign, slope, says):
    y = np.repeat([0.0, 1.0], [30, 10])
    fitted, intercept, note = platt(sign * (2 * y - 1 + 0.3 * np.tile([-1, 1], 20)), y)
    assert fitted == slope
    assert np.isfinite(intercept)
    assert says in note
    assert f"slope at its bound {slope:g}" in note


@pytest.mark.parametrize(("sign", "end", "says"), [(1, 0, "separate the classes"), (-1, 1, "no better than chance")])
def test_a_temperature_ends_at_its_bound_and_says_so(sign, end, says):
    y = np.repeat([0.0, 1.0], 20)
    fitted, note = temperature(sign * (2 * y - 1), y)
    assert fitted == BOUNDS[end]
    assert says in note


def test_isotonic_is_that_of_scikit_learn():
    sk = pytest.importorskip("sklearn.isotonic")
    for seed, decimals in ((0, 1), (1, 6), (2, 0)):
        z, y = sample(500, seed, decimals)
        steps = isotonic(z, y)
        model = sk.IsotonicRegression(out_of_bounds="clip").fit(z, y)
        bounds = 1 / 502, 501 / 502
        assert 1 / (1 + np.exp(-steps.apply(z))) == pytest.approx(np.clip(model.predict(z), *bounds), abs=1e-9)
        between = np.linspace(-5, 5, 3001)
        expected = np.interp(between, model.X_thresholds_, np.clip(model.y_thresholds_, *bounds))
        assert 1 / (1 + np.exp(-steps.apply(between))) == pytest.approx(expected, abs=1e-9)


def test_isotonic_by_hand():
    steps = isotonic(np.array([1.0, 2, 3, 4, 5, 5]), np.array([0.0, 1, 0, 1, 1, 0]))
    # 2 and 3 fall, so do 4 and the two images at 5.
    assert steps.log_odds == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert steps.probability == pytest.approx((1 / 8, 1 / 2, 1 / 2, 2 / 3, 2 / 3))


def test_isotonic_is_within_what_so_many_films_can_show():
    y = np.repeat([0.0, 1.0], 20)
    steps = isotonic(np.arange(40.0), y)
    assert steps.probability == pytest.approx((1 / 42, 1 / 42, 41 / 42, 41 / 42))
    assert np.isfinite(steps.apply(np.array([-1e9, 1e9]))).all()


def test_isotonic_fits_no_worse_than_platt():
    for seed in range(5):
        z, y = sample(600, seed, 4)
        slope, intercept, _ = platt(z, y)
        steps = isotonic(z, y)
        assert loss(steps.apply(z), y) < loss(slope * z + intercept, y)


def test_extreme_logits_overflow_nothing():
    z, y = np.array([-1e4, -800.0, 800.0, 1e4]), np.array([0.0, 1, 0, 1])
    with np.errstate(all="raise", under="ignore"):
        assert temperature(z, y)[0] == BOUNDS[1]
        assert np.isfinite(platt(z, y)[:2]).all()


def test_convergence_takes_few_steps(monkeypatch):
    """An optimum that is met exactly ends the search; it does not start it again from the middle."""
    calls = []
    plain = fits.sigmoid
    monkeypatch.setattr(fits, "sigmoid", lambda z: (calls.append(1), plain(z))[1])
    for seed in range(20):
        temperature(*sample(200, seed))
    assert len(calls) < 20 * 20
