"""What of a backbone trains: counted on the network's own layers, not on the model around it."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from zoo.core.errors import UsageError
from zoo.models.backbones import Backbone, leaf_layers


@dataclass(frozen=True)
class Trainable:
    """What a call left unfrozen in a backbone.

    Attributes:
        layers: Layers counted from the top of the network.
        with_weights: Those of them that have weights.
        batch_norms: Batch norms among these, whether or not they train.
        parameters: In these layers, batch-norm statistics included.
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
    """Freezes all weights; batch norms run on their stored statistics and no longer move them."""
    return unfreeze_top(backbone, 0)


def unfreeze_all(backbone: Backbone, batch_norm: bool = True) -> Trainable:
    """Unfreezes every layer; `batch_norm=False` keeps the batch norms frozen."""
    return unfreeze_top(backbone, len(backbone.network.layers), batch_norm)


def unfreeze_top(backbone: Backbone, n: int, batch_norm: bool = False) -> Trainable:
    """Unfreezes the last `n` of `backbone.network.layers` and freezes the others.

    Args:
        backbone: Whose layers.
        n: How many layers, with or without weights, from the output back; at most all.
        batch_norm: Whether batch norms in the unfrozen part train (weights and statistics).

    Returns:
        What is unfrozen now; compile the model again for it to count.

    Raises:
        ValueError: `n` is negative or more than there are.
    """
    layers = backbone.network.layers
    if not 0 <= n <= len(layers):
        raise UsageError(f"{backbone.name!r} has {len(layers)} layers, cannot unfreeze the top {n}")
    # Setting a model sets all of its layers, so the model comes first and the exceptions after it.
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
