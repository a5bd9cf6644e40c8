"""A backbone small enough for tests and dry runs, with the kinds of layers that the large ones have."""

from __future__ import annotations

import keras


def tiny(input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Three strided convolutions and a residual block, with batch norm, dropout and stochastic depth.

    Args:
        input_shape: (height, width, channels); height and width of 8 pixels or more, or None.

    Returns:
        A model that maps preprocessed pixels to a feature map of 64 channels and 1/8 of the height and width.
    """
    pixels = keras.Input(input_shape, name="pixels")
    x = _convolution(pixels, 16, strides=2, name="stem")
    x = _convolution(x, 32, strides=2, name="down1")
    branch = _convolution(x, 32, strides=1, name="block")
    branch = keras.layers.Dropout(0.1, noise_shape=(None, 1, 1, 1), name="block_drop_path")(branch)
    x = keras.layers.Add(name="block_add")([x, branch])
    x = _convolution(x, 64, strides=2, name="down2")
    x = keras.layers.Dropout(0.05, name="top_dropout")(x)
    return keras.Model(pixels, x, name="tiny")


def _convolution(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, 3, strides, "same", use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)
