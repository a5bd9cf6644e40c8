"""ConvNeXt-Tiny without its last layer norm, which the paper and timm apply to the pooled features."""

from __future__ import annotations

import keras


def convnexttiny_unnormed(input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """The network of `keras.applications` without its last layer, for the head "norm".

    Without its classification layer, the Keras network normalises each place of its feature map. The classifier of
    the paper (Liu et al. 2022, arXiv:2201.03545) normalises their mean over the places instead, so that logits differ.

    Args:
        input_shape: (height, width, channels); height and width of 32 pixels or more, or None.

    Returns:
        A model that maps preprocessed pixels to a feature map of 768 channels and 1/32 of the height and width.
    """
    whole = keras.applications.ConvNeXtTiny(
        include_top=False, include_preprocessing=False, weights=None, input_shape=input_shape
    )
    # The sum in front of the norm is an operation and none of `whole.layers`.
    return keras.Model(whole.input, whole.layers[-1].input, name="convnexttiny_unnormed")
