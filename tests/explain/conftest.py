"""A tiny ensemble whose logits spread, and images to explain; built once, so no test may change them."""

import numpy as np
import pytest
from builders import tiny_spec


@pytest.fixture(scope="session")
def ensemble():
    """A member with each of the heads "gap", "gem" and "attention", with uneven shares; maps of 4 x 4."""
    from zoo.models.ensemble import Ensemble

    model, rng = Ensemble(Ensemble.from_spec(tiny_spec(3)).members, [2, 1, 1]), np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith("kernel"):
            variable.assign(rng.normal(0, 1.5 / np.sqrt(np.prod(variable.shape[:-1])), variable.shape))
        elif variable.path.endswith("bias"):
            variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.fixture(scope="session")
def gap(ensemble):
    return ensemble.members[0]


@pytest.fixture(scope="session")
def pixels():
    from zoo.release import golden

    return golden.images(32)
