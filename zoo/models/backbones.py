"""Feature extractors: pixels 0..255 in, feature map out, with the preprocessing inside."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import keras

from zoo.config.pixels import PixelSpec
from zoo.core.errors import UsageError
from zoo.models import architectures, convolutions
from zoo.models.architectures import Architecture
from zoo.models.drop_path import require_place, stochastic_depth
from zoo.models.preprocessing import Preprocessing


@keras.saving.register_keras_serializable(package="zoo")
class Backbone(keras.Model):
    """A registered architecture with its own preprocessing in front, and random weights.

    Input: (batch, height, width, `channels`), pixels 0..255, uint8 or float. Output: feature map (batch, rows,
    columns, features) in the compute dtype of the Keras dtype policy.

    Args:
        architecture: Registered name, such as "densenet121".
        image_size: Height and width in pixels, or None for any. EfficientNets pad odd feature maps differently when
            they know the size, so a model is used at the size it was trained at.
        channels: 1 (greyscale, repeated to three inside) or 3 (RGB).
        batch_norm_momentum: Momentum of every batch norm; None keeps that of the architecture (mostly 0.99).
        name: Model name; by default the name of the architecture.
        pixels: Pixel values that the weights expect, if they are not those of the architecture; a `PixelSpec` or its
            fields.
        drop_path: Rate of stochastic depth at the last block (`zoo.models.drop_path`); None keeps the architecture's.

    Attributes:
        architecture: The entry of `ARCHITECTURES` it was built from.
        network: The nested network from preprocessed pixels to the feature map; `unfreeze_top` counts
            `network.layers`.

    Raises:
        UnknownNameError: No such architecture.
        ValueError: An image size below the minimum of the architecture, channels other than 1 and 3, or a
            `drop_path` for an architecture without a place for it.

    Example:
        >>> Backbone("tiny", image_size=32).output_shape
        (None, 4, 4, 64)
    """

    def __init__(
        self,
        architecture: str,
        image_size: int | None = None,
        channels: int = 1,
        batch_norm_momentum: float | None = None,
        name: str | None = None,
        pixels: PixelSpec | Mapping[str, Any] | None = None,
        drop_path: float | None = None,
    ) -> None:
        row = architectures.get(architecture)
        if image_size is not None:
            row.require_image_size(image_size)
        if channels not in (1, 3):
            raise UsageError(f"backbone {row.name!r}: channels must be 1 (grey) or 3 (RGB), got {channels}")
        network = _build_network(row, image_size, drop_path)
        for layer in leaf_layers(network):
            convolutions.quicken(layer)
            if batch_norm_momentum is not None and isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
        # float32 whatever the policy: the cast to half precision comes after the preprocessing.
        image = keras.Input((image_size, image_size, channels), dtype="float32", name="image")
        preprocessing = Preprocessing(row.preprocessing if pixels is None else pixels, name="preprocessing")
        features = network(preprocessing(image))
        super().__init__(inputs=image, outputs=features, name=name or row.name)
        self.architecture = row
        self.network = network
        self._config = {
            "architecture": row.name,
            "image_size": image_size,
            "channels": channels,
            "batch_norm_momentum": batch_norm_momentum,
            "name": self.name,
            "pixels": None if pixels is None else dataclasses.asdict(preprocessing.pixels),
            "drop_path": drop_path,
        }

    def weight_parts(self) -> dict[str, keras.layers.Layer]:
        """The parts that hold weights, by name, for `named_weights`."""
        return {"": self.network}

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal model, without weights."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Backbone:
        """Builds a model from its configuration; `custom_objects` is not used."""
        return cls(**config)


def register_backbone(
    architecture: Architecture | str,
    builder: Callable[..., keras.Model] | str | None = None,
    *,
    preprocessing: str = "torch",
    min_size: int = 32,
    replace: bool = False,
) -> Architecture:
    """Registers a backbone under a name that `Backbone`, recipes and releases understand.

    Args:
        architecture: A full `Architecture`, or just a name together with `builder`.
        builder: `builder(input_shape=(height, width, 3))` returns a model that maps preprocessed pixels to a feature
            map.
        preprocessing: The pixel values it expects, a name of `zoo.config.pixels.NAMED`.
        min_size: Smallest image side, in pixels.
        replace: Replace a registered backbone of this name.

    Returns:
        The registered architecture.

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
    """Yields the layers of a model in order, descending into nested models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _build_network(row: Architecture, image_size: int | None, drop_path: float | None) -> keras.Model:
    builder = row.builder
    if isinstance(builder, str):
        module, _, function = builder.partition(":")
        builder = getattr(import_module(module), function)
    # Our transformers take the rate themselves; `keras.applications` does not.
    takes_rate = drop_path is not None and "drop_path" in inspect.signature(builder).parameters
    if drop_path is not None and not takes_rate:
        require_place(row, drop_path)  # before seconds of building
    options = {**row.options, "drop_path": drop_path} if takes_rate else row.options
    network = builder(input_shape=(image_size, image_size, 3), **options)
    if row.stem:
        # The layers in front of the stem differ with the weights a network was built with, carry statistics of their
        # own and cannot be exported to ONNX: all of that goes with them.
        network = keras.Model(network.get_layer(row.stem).input, network.output, name=network.name)
    return network if drop_path is None or takes_rate else stochastic_depth(network, row, drop_path)
