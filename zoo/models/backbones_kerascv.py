"""KerasCV backbones. The only model file that imports KerasCV (last release, 0.9), which needs TensorFlow."""

from __future__ import annotations

import keras

from zoo.core.errors import MissingExtraError


def resnet18(input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """ResNet18, which `keras.applications` lacks, from the generic KerasCV class: its presets would access the network.

    Args:
        input_shape: (height, width, 3), where height and width may be None.

    Returns:
        A model that maps preprocessed pixels to a feature map of 512 channels and 1/32 of the height and width.

    Raises:
        ImportError: KerasCV is not installed.
    """
    try:
        from keras_cv.models import ResNetBackbone
    except ImportError as error:
        raise MissingExtraError("backbone 'kerascv-resnet18'", "KerasCV with TensorFlow", "train,cpu") from error
    return ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        input_shape=input_shape,
        block_type="basic_block",
        name="kerascv_resnet18",
    )
