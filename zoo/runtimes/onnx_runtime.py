"""ONNX Runtime as a runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.core.errors import ReleaseError
from zoo.core.process import require_own_process


class OnnxRuntime:
    """An exported graph in ONNX Runtime, on the CPU.

    Args:
        path: `model.onnx`, whose hash was verified before.

    Raises:
        ReleaseError: ONNX Runtime cannot load it.
    """

    name, precision, batch_size = "onnx", "float32", 8

    def __init__(self, path: Path) -> None:
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except RuntimeError as error:
            raise ReleaseError(f"{path}: ONNX Runtime cannot load it: {str(error).splitlines()[0][:300]}") from None

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `zoo.runtimes.runtime.Runtime`."""
        require_own_process()
        return np.asarray(self._session.run(None, {"pixels": pixels})[0])
