"""What computes a predictor's logits: one protocol, and Keras as one who keeps it."""

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
    """What computes the logits of a `Predictor`.

    Attributes:
        name: "keras", "openvino" or "onnx".
        precision: Number type it computes in: "float32", "bfloat16" or "int8".
        batch_size: Images a call it is fastest with; what a `Predictor` sends unless it is told otherwise.
    """

    name: str
    precision: str
    batch_size: int

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """Logits before the temperature. Uses all cores by itself, and may be called from several threads.

        Args:
            pixels: uint8 (n, image_size, image_size, 1) grey levels, n >= 1.
            full: Images of a full batch where this may be a short one: a runtime that compiles a program for each shape
                fills it up to that, so that there is one.

        Returns:
            float32 (n, findings).
        """
        ...


class KerasRuntime:
    """The network itself, on the backend that runs.

    Args:
        model: The ensemble.
    """

    name, precision, batch_size = "keras", "float32", 16

    def __init__(self, model: Ensemble) -> None:
        # Other runtimes are read without Keras.
        from zoo.runtimes import network

        self.model: Any = model
        self._function = network.function(model)

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `Runtime`."""
        require_own_process()
        return self._function(pixels, full)
