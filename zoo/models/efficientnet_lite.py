"""EfficientNet-Lite0 from preprocessed pixels to its feature map, in `keras.layers`."""

from __future__ import annotations

import keras

#: Stages as (blocks, kernel size, stride, expansion, channels): github.com/tensorflow/tpu (Apache-2.0),
#: models/official/efficientnet/lite/efficientnet_lite_builder.py.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _TOP = 32, 1280

#: Share of images for which the last block is left out in training; the share grows linearly from 0 at the first.
_DROP_CONNECT = 0.2


def efficientnet_lite0(input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """EfficientNet without squeeze-and-excitation and with ReLU6, so that it stays exact and fast in int8.

    The last 1x1 convolution is part of it. Convolutions with a stride pad as TensorFlow does ("same": an odd row or
    column of zeros goes after), at every image size.

    Args:
        input_shape: (height, width, channels); height and width of 32 pixels or more, or None.

    Returns:
        A model that maps preprocessed pixels to a feature map of 1280 channels and 1/32 of the height and width.

    Example:
        >>> efficientnet_lite0((224, 224, 3)).output_shape
        (None, 7, 7, 1280)
    """
    pixels = keras.Input(input_shape, name="pixels")
    x = _convolution(pixels, _STEM, "stem_conv", kernel=3, stride=2)
    x = _norm(x, "stem_bn", "stem_activation")
    total, index = sum(stage[0] for stage in _STAGES), 0
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            name = f"block{stage}{chr(ord('a') + block)}_"
            drop = _DROP_CONNECT * index / total
            x = _block(x, name, kernel, stride if block == 0 else 1, expansion, channels, drop)
            index += 1
    x = _convolution(x, _TOP, "top_conv")
    return keras.Model(pixels, _norm(x, "top_bn", "top_activation"), name="efficientnetlite0")


def block_names() -> list[str]:
    """The names of the blocks in order, such as "block2a"; the first one has no expansion."""
    return [f"block{stage}{chr(ord('a') + i)}" for stage, row in enumerate(_STAGES, start=1) for i in range(row[0])]


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, channels: int, drop: float
) -> keras.KerasTensor:
    """Inverted bottleneck: wider by `expansion`, a depthwise convolution, narrower, plus the input if shapes allow."""
    start, inside = x, x.shape[-1] * expansion
    if expansion != 1:
        x = _convolution(x, inside, f"{name}expand_conv")
        x = _norm(x, f"{name}expand_bn", f"{name}expand_activation")
    x = keras.layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, depthwise_initializer=_start(), name=f"{name}dwconv"
    )(x)
    x = _norm(x, f"{name}bn", f"{name}activation")
    x = _norm(_convolution(x, channels, f"{name}project_conv"), f"{name}project_bn")
    if stride == 1 and start.shape[-1] == channels:
        if drop:
            x = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        x = keras.layers.Add(name=f"{name}add")([x, start])
    return x


def _convolution(x: keras.KerasTensor, filters: int, name: str, kernel: int = 1, stride: int = 1) -> keras.KerasTensor:
    layer = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, kernel_initializer=_start(), name=name)
    return layer(x)


def _norm(x: keras.KerasTensor, name: str, activation: str = "") -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
    return keras.layers.ReLU(6.0, name=activation)(x) if activation else x


def _start() -> keras.initializers.Initializer:
    """What EfficientNets start from; one for each layer, since an initializer with a seed repeats itself."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
