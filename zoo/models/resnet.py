"""ResNet50 in the form of PyTorch, "version 1.5": the stride is on the 3 x 3 convolution.

`keras.applications.ResNet50` has it on the first 1 x 1 convolution, and biases in front of its batch norms: it cannot
hold the weights of torchvision, timm or TorchXRayVision.
"""

from __future__ import annotations

import keras

#: Blocks, and filters of the inner convolutions, of the four stages (He et al. 2015, arXiv:1512.03385, table 1).
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


def resnet50_v1_5(
    input_shape: tuple[int | None, int | None, int], stages: tuple[tuple[int, int], ...] = STAGES
) -> keras.Model:
    """Bottleneck residual network; layers are named as in torchvision, with "_" for ".".

    Args:
        input_shape: (height, width, channels); height and width of 32 pixels or more, or None.
        stages: Blocks and inner filters of each stage.

    Returns:
        A model that maps preprocessed pixels to a feature map of four times the last filters, which is 2,048 channels,
        and 1/32 of the height and width, rounded up.

    Example:
        >>> resnet50_v1_5((64, 96, 3), stages=((1, 8), (1, 16))).output_shape
        (None, 8, 12, 64)
    """
    pixels = keras.Input(input_shape, name="pixels")
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(pixels)
    x = keras.layers.Conv2D(64, 7, 2, use_bias=False, name="conv1")(x)
    x = _norm(x, "bn1", relu=True)
    # Zeros are as good as PyTorch's minus infinity behind a ReLU.
    x = keras.layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, (blocks, filters) in enumerate(stages, start=1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(x, filters, stride, f"layer{stage}_{block}")
    return keras.Model(pixels, x, name="resnet50_v1_5")


def _bottleneck(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """1 x 1, 3 x 3 with the stride, 1 x 1 to four times the filters, added to the input or its projection."""
    branch = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv1")(x)
    branch = _norm(branch, f"{name}_bn1", relu=True)
    # Not "same", which pads an even map at its end alone where the stride is 2.
    branch = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(branch)
    branch = keras.layers.Conv2D(filters, 3, stride, use_bias=False, name=f"{name}_conv2")(branch)
    branch = _norm(branch, f"{name}_bn2", relu=True)
    branch = keras.layers.Conv2D(4 * filters, 1, use_bias=False, name=f"{name}_conv3")(branch)
    branch = _norm(branch, f"{name}_bn3")
    if stride != 1 or x.shape[-1] != 4 * filters:
        x = keras.layers.Conv2D(4 * filters, 1, stride, use_bias=False, name=f"{name}_downsample_0")(x)
        x = _norm(x, f"{name}_downsample_1")
    return keras.layers.Activation("relu", name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([branch, x]))


def _norm(x: keras.KerasTensor, name: str, relu: bool = False) -> keras.KerasTensor:
    """A batch norm with the numbers of PyTorch, whose momentum is one minus that of Keras."""
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x) if relu else x
