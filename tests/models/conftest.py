"""Weights that are the same in every process and on every backend, of a size that keeps signals alive."""

import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from zoo.models.weights.files import named_weights


@pytest.fixture(scope="session")
def fill() -> Callable[..., Any]:
    """`fill(model)` sets each weight from a generator seeded with its own name; `gain` is the mean of the gammas."""

    def fill(model: Any, gain: float = 0.8, logit_scale: float = 1.0) -> Any:
        for name, variable in named_weights(model).items():
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            value = rng.standard_normal(variable.shape)
            kind = name.rpartition("/")[2]
            if kind == "gamma":
                value = gain + 0.1 * value
            elif kind == "moving_variance":
                value = 1.0 + 0.2 * np.abs(value)
            elif kind == "p":
                value = 3.0 + 0.1 * value
            elif len(variable.shape) < 2:
                value = 0.05 * value
            else:
                value = value * np.sqrt(2.0 / np.prod(variable.shape[:-1]))
            if "head/" in name and len(variable.shape) == 2:
                value = value * logit_scale
            variable.assign(value.astype("float32"))
        return model

    return fill


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """`pixels(n, size, channels)`: uint8 noise, always the same."""

    def pixels(n: int = 4, size: int = 32, channels: int = 1) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (n, size, size, channels), dtype=np.uint8)

    return pixels


@pytest.fixture
def policy() -> Any:
    """`policy("mixed_float16")` for the length of a test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)
