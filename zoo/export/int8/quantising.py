"""Post-training quantisation of a network by NNCF: the choice of layers and of ranges."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.runtimes.openvino_runtime import core

#: Patterns of the names of what stays in floating point in any network: the preprocessing, the few numbers of the
#: heads, and the mean of the members.
_IN_FLOAT = (r"^/.*", r".*/preprocessing/.*", r".*/head/.*", r"^[^/]*/logits/.*")

#: How the range of an activation is estimated, by NNCF's names, in the order in which they are tried: its extremes over
#: all images, and the mean of each image's extremes. The mean cuts off values that are large on a few images, and a
#: finding is on few; the extremes leave all other values fewer of the 256 steps.
RANGES = ("MINMAX", "MEAN_MINMAX")


def quantise(plain: Any, calibration: np.ndarray, patterns: Sequence[str], ranges: str) -> Any:
    """An int8 copy of an `openvino.Model`, for one image at a time.

    Args:
        plain: The network; it stays as it is.
        calibration: uint8 (n, image_size, image_size, 1) images that ranges are measured on.
        patterns: Regular expressions of the names of what is not quantised, from `left_in_float`.
        ranges: One of `RANGES`.
    """
    core()  # before any that NNCF makes
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    with _quiet():
        return nncf.quantize(
            plain.clone(),
            nncf.Dataset([image[None] for image in calibration]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(calibration),
            ignored_scope=nncf.IgnoredScope(patterns=[*patterns], validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # Corrected biases would stay when their layer is given back to floating point, and be wrong there. The
                # bias of the logits is corrected at the end.
                disable_bias_correction=True,
                activations_range_estimator_params=getattr(RangeEstimatorParametersSet, ranges),
            ),
        )


def left_in_float(plain: Any, spec: EnsembleSpec) -> list[str]:
    """Patterns of the names of what is not quantised: see `_IN_FLOAT`, and members with depthwise convolutions."""
    name = re.escape(spec.name)
    deep = {op.get_friendly_name().split("/")[1] for op in plain.get_ops() if op.get_type_name() == "GroupConvolution"}
    members = {m.name for m in spec.members}
    # Where every member has them, int8 is what was asked for.
    return [*_IN_FLOAT, *(f"^{name}/{re.escape(m)}/.*" for m in sorted(deep & members) if deep & members != members)]


@contextmanager
def _quiet() -> Iterator[None]:
    """NNCF logs every step and draws its own bars."""
    logger = logging.getLogger("nncf")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
