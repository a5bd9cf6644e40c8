"""ONNX Runtime as a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.core.errors import ReleaseError
from zoo.core.process import require_own_process


class OnnxRuntime:
    """An exported graph in ONNX Runtime, on the CPU.

    Args:
        path: `model.onnx`; checked before.
        temperature: What the graph divides its logits by.
    """

    name, precision, batch_size = "onnx", "float32", 8

    def __init__(self, path: Path, *, temperature: Sequence[float] = (1.0,)) -> None:
        import onnxruntime

        self._temperature = np.asarray(temperature, np.float32)
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except RuntimeError as error:
            raise ReleaseError(f"{path}: ONNX Runtime cannot load it: {str(error).splitlines()[0][:300]}") from None

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `zoo.runtimes.runtime.Runtime`."""
        return self.outputs(pixels) * self._temperature

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """What the graph gives: logits divided by the temperature, float32 (n, findings)."""
        require_own_process()
        return np.asarray(self._session.run(None, {"pixels": pixels})[0])
