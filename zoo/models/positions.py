"""Position embeddings of a vision transformer, and their interpolation to another number of patches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class Positions(keras.layers.Layer):
    """Puts the class token in front of patch tokens, and adds a position embedding to each.

    Input: (batch, rows * columns, features). Output: (batch, 1 + rows * columns, features), the class token first. The
    embeddings are stored for the grid of the trained weights; for another grid they are interpolated, bicubically, in
    every call, so that the weights do not depend on the image size and stay trainable.

    Args:
        trained: Rows, and columns, of patches for which embeddings are stored.
        rows: Rows of patches of the input.
        columns: Columns of patches of the input.
        antialias: How the embeddings are interpolated; see `bicubic`.
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> Positions(trained=4, rows=2, columns=3)(ops.ones((1, 6, 8))).shape == (1, 7, 8)
        True
    """

    def __init__(self, trained: int, rows: int, columns: int, antialias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trained, self.rows, self.columns, self.antialias = trained, rows, columns, antialias
        self._down, self._across = (bicubic(trained, n, antialias).astype("float32") for n in (rows, columns))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the class token and the embeddings: one for the class token, then one for each patch, by rows."""
        start, features = keras.initializers.TruncatedNormal(stddev=0.02), input_shape[-1]
        self.class_token = self.add_weight(name="class_token", shape=(1, features), initializer=start)
        self.positions = self.add_weight(name="positions", shape=(1 + self.trained**2, features), initializer=start)
        super().build(input_shape)

    def call(self, patches: Any) -> Any:
        """Returns the tokens (batch, 1 + rows * columns, features)."""
        first, others = ops.split(ops.convert_to_tensor(self.positions), [1], axis=0)
        if (self.rows, self.columns) != (self.trained, self.trained):
            others = self._interpolated(others)
        table = ops.concatenate([ops.add(first, ops.convert_to_tensor(self.class_token)), others], axis=0)
        # The batch may be unknown: a row of zeros is the place of the class token.
        return ops.add(ops.pad(patches, ((0, 0), (1, 0), (0, 0))), ops.expand_dims(table, 0))

    def _interpolated(self, grid: Any) -> Any:
        """(trained * trained, features) to (rows * columns, features), first down, then across."""
        features, n = grid.shape[-1], self.trained
        down = ops.matmul(ops.cast(self._down, grid.dtype), ops.reshape(grid, (n, n * features)))
        down = ops.reshape(down, (self.rows, n, features))
        across = ops.matmul(ops.cast(self._across, grid.dtype), down)
        return ops.reshape(across, (self.rows * self.columns, features))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, 1 + rows * columns, features)."""
        return (input_shape[0], 1 + self.rows * self.columns, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        own = {"trained": self.trained, "rows": self.rows, "columns": self.columns, "antialias": self.antialias}
        return {**super().get_config(), **own}


def bicubic(old: int, new: int, antialias: bool = True) -> np.ndarray:
    """The matrix that interpolates `old` equidistant values to `new` ones, as PyTorch's `interpolate` does.

    Cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711). With `antialias` its coefficient is -0.5 and it is
    widened when there are fewer new values than old ones, as timm does. Without, the coefficient is -0.75 and it is
    never widened, as transformers does for DINOv2.

    Args:
        old: Number of values.
        new: Number of values wanted, over the same length.
        antialias: See above.

    Returns:
        float64 (new, old), each row of sum 1; the identity if `old` equals `new`.

    Example:
        >>> bicubic(2, 1).tolist(), bool((bicubic(3, 3) == np.eye(3)).all())
        ([[0.5, 0.5]], True)
    """
    if old == new:
        return np.eye(old)
    step = old / new
    wide = max(step, 1.0) if antialias else 1.0
    middles = (np.arange(new) + 0.5) * step - 0.5
    if antialias:  # places beyond the ends have no weight, and the others are scaled to the sum of 1
        weights = _cubic((np.arange(old) - middles[:, None]) / wide, -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((new, old))  # places beyond the ends have the value of the end
    for tap in range(-1, 3):
        places = np.floor(middles).astype(int) + tap
        np.add.at(matrix, (np.arange(new), places.clip(0, old - 1)), _cubic(places - middles, -0.75))
    return matrix


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
