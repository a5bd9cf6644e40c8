"""A runtime whose logits are the means over the views of each image (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable

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
        """See `zoo.runtimes.runtime.Runtime`."""
        return mean_over_views(lambda view: self._runtime.logits(view, full), pixels, self.spec)


def mean_over_views(logits: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, spec: TtaSpec | None) -> np.ndarray:
    """Returns the mean of the logits of all views, float32, taken in float64; those of the images without a `spec`."""
    if spec is None:
        return logits(pixels)
    total = sum(np.asarray(logits(view), np.float64) for view in views(pixels, spec))
    return np.asarray(total / spec.count, np.float32)


def averaged(runtime: Runtime, spec: TtaSpec | None) -> Runtime:
    """Returns the runtime that averages over these views, or the runtime itself without any."""
    return runtime if spec is None else AveragedRuntime(runtime, spec)
