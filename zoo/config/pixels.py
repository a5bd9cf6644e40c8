"""Pixel contracts as numbers: which values of a pixel 0..255 a network expects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from zoo.config.json_schema import Keywords
from zoo.core.errors import RecipeError

#: Limits within which float32 computes a contract: any mean in between, and any deviation of 1/`_LARGEST` or more.
_LARGEST = 1e6
_Mean = Annotated[float, Keywords(minimum=-_LARGEST, maximum=_LARGEST)]
_Deviation = Annotated[float, Keywords(minimum=1 / _LARGEST, maximum=_LARGEST)]
_Three = Keywords(minItems=3, maxItems=3)


@dataclass(frozen=True)
class PixelSpec:
    """What a network makes of a pixel 0..255: `(pixel - mean) / deviation` in each of its three channels.

    Attributes:
        mean: What is subtracted, for each channel in the order of `order`, in units of 0..255.
        deviation: What is divided by, likewise.
        order: Order of the channels that the network expects, "rgb" or "bgr". A grey image is three equal channels.

    Example:
        >>> PixelSpec.scaled(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)) == NAMED["torch"]
        True
    """

    mean: Annotated[tuple[_Mean, ...], _Three]
    deviation: Annotated[tuple[_Deviation, ...], _Three]
    order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        for what, values, least in (("mean", self.mean, -_LARGEST), ("deviation", self.deviation, 1 / _LARGEST)):
            if len(values) != 3 or not all(math.isfinite(v) and least <= v <= _LARGEST for v in values):
                limits = f"three numbers from {least:g} to {_LARGEST:g}"
                raise RecipeError(f"{what} of pixels must be {limits}, one for each channel, got {values}")
        if self.order not in ("rgb", "bgr"):
            raise RecipeError(f"order of channels must be 'rgb' or 'bgr', got {self.order!r}")

    @classmethod
    def scaled(cls, mean: tuple[float, ...], deviation: tuple[float, ...]) -> PixelSpec:
        """The contract of a network whose mean and deviation are published for pixels divided by 255."""
        return cls(tuple(255 * m for m in mean), tuple(255 * d for d in deviation))


#: Name -> contract. The first three are the modes of `keras.applications.imagenet_utils.preprocess_input`
#: (github.com/keras-team/keras); "xrv" is (2x / 255 - 1) * 1024 of TorchXRayVision
#: (github.com/mlmed/torchxrayvision, utils.py); "lite" is that of EfficientNet-Lite (github.com/tensorflow/tpu,
#: models/official/efficientnet/lite/efficientnet_lite_builder.py).
NAMED: dict[str, PixelSpec] = {
    "caffe": PixelSpec((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "bgr"),
    "torch": PixelSpec.scaled((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tf": PixelSpec((127.5,) * 3, (127.5,) * 3),
    "xrv": PixelSpec((127.5,) * 3, (127.5 / 1024,) * 3),
    "lite": PixelSpec((127.0,) * 3, (128.0,) * 3),
}
