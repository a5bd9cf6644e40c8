"""Feature extractors: pixels 0..255 in, feature map out, preprocessing inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import keras

from zoo.core.errors import UsageError
from zoo.models import architectures, convolutions
from zoo.models.architectures import Architecture, PreprocessingMode
from zoo.models.preprocessing import Preprocessing


@keras.saving.register_keras_serializable(package="zoo")
class Backbone(keras.Model):
    """A registered architecture behind its own preprocessing, with random weights.

    Input: (batch, height, width, `channels`), pixels 0..255, uint8 or float. Output: feature map (batch, rows,
    columns, features) in the compute dtype of Keras' dtype policy.

    Args:
        architecture: Registered name, such as "densenet121".
        image_size: Height and width in pixels, or None for any. EfficientNets pad odd maps differently when they know
            the size, so a model serves at the size it was trained at.
        channels: 1 (grey, made three inside) or 3 (RGB).
        batch_norm_momentum: Of every batch norm; None keeps the architecture's own (0.99 mostly).
        name: The architecture's by default.

    Attributes:
        architecture: The row of `ARCHITECTURES` it was built from.
        network: The nested network from preprocessed pixels to the feature map; `network.layers` are what
            `unfreeze_top` counts.

    Raises:
        UnknownNameError: No such architecture.
        ValueError: An image size below the architecture's, or channels other than 1 and 3.
    """

    def __init__(
        self,
        architecture: str,
        image_size: int | None = None,
        channels: int = 1,
        batch_norm_momentum: float | None = None,
        name: str | None = None,
    ) -> None:
        row = architectures.get(architecture)
        if image_size is not None and image_size < row.min_size:
            raise UsageError(f"backbone {row.name!r} takes images of {row.min_size} pixels or more, got {image_size}")
        if channels not in (1, 3):
            raise UsageError(f"backbone {row.name!r}: channels must be 1 (grey) or 3 (RGB), got {channels}")
        network = _build_network(row, image_size)
        for layer in leaf_layers(network):
            convolutions.quicken(layer)
            if batch_norm_momentum is not None and isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
        # float32 whatever the policy: the cast to half precision comes after the preprocessing.
        image = keras.Input((image_size, image_size, channels), dtype="float32", name="image")
        features = network(Preprocessing(row.preprocessing, name="preprocessing")(image))
        super().__init__(inputs=image, outputs=features, name=name or row.name)
        self.architecture = row
        self.network = network
        self._config = {
            "architecture": row.name,
            "image_size": image_size,
            "channels": channels,
            "batch_norm_momentum": batch_norm_momentum,
            "name": self.name,
        }

    def weight_parts(self) -> dict[str, keras.layers.Layer]:
        """Name of each part with weights -> the part, for `named_weights`."""
        return {"": self.network}

    def get_config(self) -> dict[str, Any]:
        """What `from_config` builds an equal model from, weights apart."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Backbone:
        """The model of a config; `custom_objects` is not needed."""
        return cls(**config)


def register_backbone(
    architecture: Architecture | str,
    builder: Callable[..., keras.Model] | str | None = None,
    *,
    preprocessing: PreprocessingMode = "torch",
    min_size: int = 32,
    replace: bool = False,
) -> Architecture:
    """Makes a backbone known by name to `Backbone`, recipes and releases.

    Args:
        architecture: A full row, or just a name together with `builder`.
        builder: `builder(input_shape=(height, width, 3))` gives a model from preprocessed pixels to a feature map.
        preprocessing: What pixels it expects: "torch", "tf" or "caffe".
        min_size: Smallest image side in pixels.
        replace: Take the place of a registered one.

    Returns:
        The registered row.

    Raises:
        ValueError: The name is taken, or there is no builder.

    Example:
        >>> register_backbone("mine", my_network, preprocessing="tf")       # doctest: +SKIP
    """
    if isinstance(architecture, str):
        if builder is None:
            raise UsageError(f"backbone {architecture!r} needs a builder: a function of input_shape, or a whole row")
        architecture = Architecture(architecture, builder, preprocessing, min_size=min_size)
    return architectures.register(architecture, replace)


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model in order, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _build_network(row: Architecture, image_size: int | None) -> keras.Model:
    builder = row.builder
    if isinstance(builder, str):
        module, _, function = builder.partition(":")
        builder = getattr(import_module(module), function)
    network = builder(input_shape=(image_size, image_size, 3), **row.options)
    if row.stem:
        # The layers in front of the stem differ with the weights a network was built with, carry statistics of their
        # own and cannot be exported to ONNX: all of that goes with them.
        network = keras.Model(network.get_layer(row.stem).input, network.output, name=network.name)
    return network
