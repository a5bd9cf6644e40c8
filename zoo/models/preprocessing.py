"""Pixels 0..255 to the values that a network expects, as one layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.config.pixels import NAMED, PixelSpec
from zoo.config.specs import from_dict
from zoo.core.errors import UsageError


@keras.saving.register_keras_serializable(package="zoo")
class Preprocessing(keras.layers.Layer):
    """Maps pixels 0..255 to the values a backbone expects; has no weights.

    Input: (batch, height, width, 1 or 3) of any number type; a single channel becomes three equal ones. Output:
    (batch, height, width, 3) in the compute dtype. Computed in float32 and cast at the end, so that half precision
    loses no grey levels.

    Args:
        mode: The contract: a name of `zoo.config.pixels.NAMED` ("caffe", "torch", "tf", "xrv", "lite"), a `PixelSpec`,
            or the fields of one, as in a configuration.
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        mode: The name of the contract, or its `PixelSpec` if it was not given by name.
        pixels: The `PixelSpec`.

    Raises:
        ValueError: The name or the numbers are not valid.

    Example:
        >>> Preprocessing("tf")(ops.full((1, 2, 2, 1), 255)).shape == (1, 2, 2, 3)
        True
    """

    def __init__(self, mode: str | PixelSpec | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        if isinstance(mode, str) and mode not in NAMED:
            raise UsageError(f"preprocessing mode must be one of {', '.join(NAMED)} or a PixelSpec, got {mode!r}")
        self.mode = from_dict(PixelSpec, mode, "pixels") if isinstance(mode, Mapping) else mode
        self.pixels = self.mode if isinstance(self.mode, PixelSpec) else NAMED[self.mode]
        mean, deviation = (np.asarray(part, "float64") for part in (self.pixels.mean, self.pixels.deviation))
        self._scale, self._offset = (1 / deviation).astype("float32"), (-mean / deviation).astype("float32")

    def call(self, pixels: Any) -> Any:
        """Normalises a batch of pixels."""
        pixels = ops.cast(pixels, "float32")
        if self.pixels.order == "bgr" and pixels.shape[-1] == 3:
            pixels = ops.flip(pixels, axis=-1)
        # A single channel is broadcast to the three of scale and offset.
        return ops.cast(pixels * self._scale + self._offset, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, height, width, 3)."""
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        mode = self.mode if isinstance(self.mode, str) else dataclasses.asdict(self.mode)
        return {**super().get_config(), "mode": mode}
