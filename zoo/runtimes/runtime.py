"""The protocol of what computes a predictor's logits, and its implementation by Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zoo.core.process import require_own_process

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble

#: A first call in batches of so few images is answered operation by operation by Keras on TensorFlow: tracing a graph
#: takes longer than the call.
FEW = 4


class Runtime(Protocol):
    """Computes the logits of a `Predictor`.

    Attributes:
        name: "keras", "openvino" or "onnx".
        precision: Number type it computes in: "float32", "bfloat16" or "int8".
        batch_size: Number of images in a call at which it is fastest; what a `Predictor` sends by default.
    """

    name: str
    precision: str
    batch_size: int

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """Logits before the temperature. Uses all cores by itself, and may be called from several threads.

        Args:
            pixels: uint8 (n, image_size, image_size, 1) grey levels, n >= 1.
            full: Images of a full batch where this may be a short one: a runtime whose last bits or compiled programs
                depend on the number of images fills it up to that.

        Returns:
            float32 (n, findings).
        """
        ...


class KerasRuntime:
    """The network itself, on the running backend.

    Args:
        model: The ensemble.

    Example:
        >>> runtime = KerasRuntime(model)                               # doctest: +SKIP
        >>> runtime.logits(np.zeros((2, 320, 320, 1), np.uint8)).shape  # doctest: +SKIP
        (2, 14)
    """

    name, precision, batch_size = "keras", "float32", 16

    def __init__(self, model: Ensemble) -> None:
        # Other runtimes are read without Keras.
        from zoo.runtimes import network

        self.model: Any = model
        self._function = network.function(model, FEW)

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `Runtime`."""
        require_own_process()
        return self._function(pixels, full)
