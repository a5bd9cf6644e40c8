"""The three pixel normalisations of `keras.applications`, as one layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.core.errors import UsageError
from zoo.models.architectures import PreprocessingMode

_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

#: mode -> (scale, offset) per channel: each is `pixel * scale + offset`, "caffe" on channels in the order BGR.
#: Values as in `keras.applications.imagenet_utils.preprocess_input` (github.com/keras-team/keras).
_AFFINE = {
    "caffe": (np.ones(3), -np.array([103.939, 116.779, 123.68])),
    "torch": (1 / (255 * _DEVIATION), -_MEAN / _DEVIATION),
    "tf": (np.full(3, 1 / 127.5), np.full(3, -1.0)),
}


@keras.saving.register_keras_serializable(package="zoo")
class Preprocessing(keras.layers.Layer):
    """Maps pixels 0..255 to the values a backbone expects; has no weights.

    Input: (batch, height, width, 1 or 3) of any number type; a single channel becomes three equal ones. Output:
    (batch, height, width, 3) in the compute dtype. Computed in float32 and cast at the end, so that half precision
    loses no grey levels.

    Args:
        mode: "caffe", "torch" or "tf"; see `Architecture.preprocessing`.
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> Preprocessing("tf")(ops.full((1, 2, 2, 1), 255)).shape == (1, 2, 2, 3)
        True
    """

    def __init__(self, mode: PreprocessingMode, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        if mode not in _AFFINE:
            raise UsageError(f"preprocessing mode must be one of {', '.join(_AFFINE)}, got {mode!r}")
        self.mode = mode
        self._scale, self._offset = (part.astype("float32") for part in _AFFINE[mode])

    def call(self, pixels: Any) -> Any:
        """Normalises a batch of pixels."""
        pixels = ops.cast(pixels, "float32")
        if self.mode == "caffe" and pixels.shape[-1] == 3:
            pixels = ops.flip(pixels, axis=-1)
        # A single channel is broadcast to the three of scale and offset.
        return ops.cast(pixels * self._scale + self._offset, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, height, width, 3)."""
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        return {**super().get_config(), "mode": self.mode}
