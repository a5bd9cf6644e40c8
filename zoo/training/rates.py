"""Learning rates that differ between the variables of a model: by distance from the head, and by member.

Layer-wise rates are those of ELECTRA (Clark et al. 2020, arXiv:2003.10555) and BEiT (Bao et al. 2022,
arXiv:2106.08254): the head has the stage's rate, and each block below has `layer_decay` times the rate of the one
above. A convolutional network has too many blocks for that; as for ConvNeXt (Liu et al. 2022, arXiv:2201.03545), its
blocks are taken in groups: here its stages, in front of which is the stem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import keras

from zoo.models.backbones import Backbone, leaf_layers
from zoo.models.classifier import Classifier
from zoo.training.stage import Stage

#: What tells the group of a layer by its name: the number of its stage, or of its block in a transformer.
_GROUP = re.compile(r"(?:block_?|stage_|stack_|down|pool|conv_?(?!\dd))(\d+)")


def factors(model: keras.Model, stage: Stage) -> tuple[float, ...] | None:
    """Returns the factor of the learning rate for each of a model's trainable variables, in order.

    Args:
        model: An `Ensemble` or any other model that contains classifiers; layers frozen as the stage trains them. The
            factor of a variable outside of all classifiers is 1.
        stage: Its `layer_decay`, and the learning rates in its `overrides`.

    Returns:
        The factors, or None if all are 1.
    """
    found: dict[int, float] = {}
    for member in (layer for layer in model.layers if isinstance(layer, Classifier)):
        override = stage.overrides.get(member.name) or stage.overrides.get(member.backbone.architecture.name)
        rate = (override and override.learning_rate) or stage.learning_rate
        own = rate / stage.learning_rate
        found |= {id(v): own for v in member.trainable_variables}
        if stage.layer_decay is not None:
            found |= {key: own * factor for key, factor in by_depth(member.backbone, stage.layer_decay).items()}
    row = tuple(found.get(id(v), 1.0) for v in model.trainable_variables)
    return None if all(factor == 1 for factor in row) else row


def by_depth(backbone: Backbone, decay: float) -> dict[int, float]:
    """Returns id of each variable of a backbone -> `decay` to the power of its distance from the head (1 at the top).

    Example:
        >>> backbone = Backbone("tiny", 16)
        >>> found = by_depth(backbone, 0.5)
        >>> [found[id(backbone.network.get_layer(name).kernel)] for name in ("stem_conv", "down1_conv", "down2_conv")]
        [0.125, 0.25, 0.5]
    """
    layers = [layer for layer in leaf_layers(backbone.network) if layer.weights]
    groups = depths(layer.name for layer in layers)
    top = max(groups, default=0) + 1
    return {id(v): decay ** (top - group) for layer, group in zip(layers, groups, strict=True) for v in layer.variables}


def depths(names: Iterable[str]) -> list[int]:
    """Returns the group of each layer, from 0, by the layers' names in order.

    A new group begins where the number of the stage or block changes; a layer without one belongs to the group before
    it. So a network whose names have no numbers is one group.

    Example:
        >>> depths(["stem_conv", "block1a_dwconv", "block2a_bn", "block2d_bn", "block7b_bn", "top_conv"])
        [0, 1, 2, 2, 3, 3]
        >>> depths(["conv1_conv", "conv2_block1_1_conv", "pool2_conv", "conv3_block1_0_bn", "bn"])
        [0, 1, 1, 2, 2]
    """
    groups: list[int] = []
    current, group = "", 0
    for name in names:
        match = _GROUP.search(name)
        if match and match.group(1) != current:
            current, group = match.group(1), group + (1 if groups else 0)
        groups.append(group)
    return groups
