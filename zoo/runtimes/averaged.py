"""A runtime whose logits are the means over the views of each image (test-time augmentation)."""

from __future__ import annotations

import numpy as np

from zoo.config.tta import TtaSpec
from zoo.data.tta import views
from zoo.runtimes.runtime import Runtime


class AveragedRuntime:
    """Averages the logits of another runtime over the views of each image; see `zoo.data.tta`.

    Args:
        runtime: Computes the logits of each view, in batches of the same shape as without views.
        spec: The views.
    """

    def __init__(self, runtime: Runtime, spec: TtaSpec) -> None:
        self._runtime, self.spec = runtime, spec
        self.name, self.precision, self.batch_size = runtime.name, runtime.precision, runtime.batch_size

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `zoo.runtimes.runtime.Runtime`. The mean is taken in float64."""
        total = sum(np.asarray(self._runtime.logits(view, full), np.float64) for view in views(pixels, self.spec))
        return np.asarray(total / self.spec.count, np.float32)


def averaged(runtime: Runtime, spec: TtaSpec | None) -> Runtime:
    """Returns the runtime that averages over these views, or the runtime itself without any."""
    return runtime if spec is None else AveragedRuntime(runtime, spec)
