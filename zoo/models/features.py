"""The pooled features of an ensemble's members, as a model: what a linear head is fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from zoo.models.classifier import Classifier
    from zoo.models.ensemble import Ensemble


def sizes(ensemble: Ensemble) -> dict[str, int]:
    """Returns member name -> number of features, in the order of the columns of `features_model`.

    Example:
        >>> from zoo.config.specs import EnsembleSpec, MemberSpec
        >>> from zoo.models.ensemble import Ensemble
        >>> sizes(Ensemble.from_spec(EnsembleSpec("e", (MemberSpec("tiny"),), 32)))
        {'tiny': 64}
    """
    return {member.name: int(member.backbone.output_shape[-1]) for member in ensemble.members}


def features_model(ensemble: Ensemble) -> keras.Model:
    """Builds the network from pixels to pooled features, with the backbones (and weights) of an ensemble.

    The features of a member are the mean of its backbone's feature map over all places, in float32; a transformer's map
    is laid out so that its mean is the class token. A `GAPHead` is a linear layer on exactly these numbers, whatever
    head the member itself has.

    Args:
        ensemble: The ensemble; it is not changed.

    Returns:
        A model from pixels 0..255 (batch, height, width, channels) to float32 (batch, features), the features of all
        members side by side.

    Example:
        >>> from zoo.config.specs import EnsembleSpec, MemberSpec
        >>> from zoo.models.ensemble import Ensemble
        >>> members = MemberSpec("tiny", alias="a"), MemberSpec("tiny", alias="b")
        >>> features_model(Ensemble.from_spec(EnsembleSpec("e", members, 32))).output_shape
        (None, 128)
    """
    image = keras.Input(ensemble.input_shape[1:], dtype="float32", name="image")
    pooled = [_pooled(member)(image) for member in ensemble.members]
    features = keras.layers.Concatenate(dtype="float32", name="joined")(pooled) if len(pooled) > 1 else pooled[0]
    return keras.Model(image, features, name="features")


def _pooled(member: Classifier) -> keras.Model:
    """One member's part, under its name: two members may have the same backbone."""
    image = keras.Input(member.input_shape[1:], dtype="float32", name="image")
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pooled")
    return keras.Model(image, pool(member.backbone(image)), name=member.name)
