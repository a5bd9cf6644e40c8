"""Freezing and unfreezing of backbones; layers are counted in the network itself, not in the model around it."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from zoo.core.errors import UsageError
from zoo.models.backbones import Backbone, leaf_layers


@dataclass(frozen=True)
class Trainable:
    """The part of a backbone that is trainable after a call.

    Attributes:
        layers: Number of layers, counted from the output of the network.
        with_weights: How many of them have weights.
        batch_norms: How many of them are batch norms, trainable or not.
        parameters: Parameters in these layers, including batch-norm statistics.
        share: `parameters` / all parameters of the backbone.
    """

    layers: int
    with_weights: int
    batch_norms: int
    parameters: int
    share: float

    def __str__(self) -> str:
        return (
            f"{self.layers} layers unfrozen, {self.with_weights} with weights, {self.batch_norms} of them batch norm; "
            f"{self.share:.1%} of the parameters"
        )


def freeze(backbone: Backbone) -> Trainable:
    """Freezes all weights; batch norms use their stored statistics and no longer update them."""
    return unfreeze_top(backbone, 0)


def unfreeze_all(backbone: Backbone, batch_norm: bool = True) -> Trainable:
    """Unfreezes every layer; `batch_norm=False` keeps the batch norms frozen."""
    return unfreeze_top(backbone, len(backbone.network.layers), batch_norm)


def unfreeze_top(backbone: Backbone, n: int, batch_norm: bool = False) -> Trainable:
    """Unfreezes the last `n` of `backbone.network.layers` and freezes the others.

    Args:
        backbone: The backbone to change.
        n: Number of layers, with or without weights, counted back from the output.
        batch_norm: Whether batch norms in the unfrozen part are trainable (weights and statistics).

    Returns:
        The trainable part. Compile the model afterwards for the change to take effect.

    Raises:
        ValueError: `n` is negative or more than the number of layers.

    Example:
        >>> print(unfreeze_top(Backbone("tiny", image_size=32), 3))
        3 layers unfrozen, 1 with weights, 1 of them batch norm; 0.8% of the parameters
    """
    layers = backbone.network.layers
    if not 0 <= n <= len(layers):
        raise UsageError(f"{backbone.name!r} has {len(layers)} layers, cannot unfreeze the top {n}")
    # Setting `trainable` on a model sets all of its layers, so the exceptions come afterwards.
    backbone.trainable = n > 0
    bottom, top = layers[: len(layers) - n], layers[len(layers) - n :]
    for layer in bottom:
        layer.trainable = False
    leaves = [leaf for layer in top for leaf in (leaf_layers(layer) if isinstance(layer, keras.Model) else [layer])]
    batch_norms = [leaf for leaf in leaves if isinstance(leaf, keras.layers.BatchNormalization)]
    for layer in batch_norms:
        layer.trainable = batch_norm
    parameters = sum(layer.count_params() for layer in top)
    return Trainable(
        layers=n,
        with_weights=sum(bool(layer.weights) for layer in top),
        batch_norms=len(batch_norms),
        parameters=parameters,
        share=parameters / backbone.count_params(),
    )
