"""The fit of non-negative weights against SciPy's SLSQP, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.evaluation.ensembling import simplex


def draw(seed: int, members: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits of members of different quality, one of them against the truth, and labels."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    quality = rng.uniform(-0.3, 1.5, members)
    z = truth[:, None] * quality + rng.normal(size=(n, members)) * rng.uniform(0.3, 2, members)
    return z, (rng.random(n) < 1 / (1 + np.exp(-2 * truth))).astype(float)


def loss(weights: np.ndarray, z: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, z @ weights) - y * (z @ weights)))


@pytest.mark.parametrize("members", [1, 2, 3, 7])
@pytest.mark.parametrize("scales", [(1.0, 1.0), simplex.SCALES, (0.1, 0.3), (3.0, 4.0)])
def test_the_fit_is_at_least_as_good_as_that_of_slsqp(members, scales):
    from scipy.optimize import minimize

    for seed in range(5):
        z, y = draw(seed, members)
        found = simplex.fit(z, y, scales)
        limits = [
            {"type": "ineq", "fun": lambda w: w.sum() - scales[0]},
            {"type": "ineq", "fun": lambda w: scales[1] - w.sum()},
        ]
        start = np.full(members, scales[0] / members)
        other = minimize(
            loss, start, args=(z, y), method="SLSQP", bounds=[(0, None)] * members, constraints=limits,
            options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        assert found.min() >= 0
        assert scales[0] - 1e-9 <= found.sum() <= scales[1] + 1e-9
        assert loss(found, z, y) <= other.fun + 1e-10
        np.testing.assert_allclose(found, other.x, atol=2e-4)


def test_labels_that_are_separated_leave_the_sum_at_its_limit():
    z = np.array([[-2.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [3.0, -1.0]])
    found = simplex.fit(z, np.array([0.0, 0, 1, 1]))
    assert found.sum() == pytest.approx(10.0)
    assert found[0] > found[1]


def test_members_that_are_alike_are_weighted_equally():
    z, y = draw(1, 1)
    found = simplex.fit(np.repeat(z, 3, axis=1), y)
    np.testing.assert_allclose(found, found.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.sum(), simplex.fit(z, y)[0], rtol=1e-6)


def test_logits_against_the_truth_have_the_smallest_sum():
    z, y = draw(2, 2)
    against = -np.abs(z) * np.where(y == 1, 1, -1)[:, None]
    assert simplex.fit(against, y).sum() == pytest.approx(simplex.SCALES[0])
