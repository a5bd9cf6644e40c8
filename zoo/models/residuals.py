"""A start for residual networks: every block begins as the identity, since the last scale of its branch is 0.

Source: Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017 (arXiv:1706.02677), section
5.1. A deep network then begins as a shallow one, which short runs from random weights need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from zoo.core.errors import UsageError


def silence_branches(network: keras.Model) -> int:
    """Sets the scale of the last batch norm in the branch of each residual block to 0, in place.

    The branch is the longer of the two ways that an addition joins. The shorter one is the block's input, or its
    projection, and is left as it is. Blocks that concatenate, as those of DenseNet, have no branch.

    Args:
        network: The network of a backbone, with random weights.

    Returns:
        The number of blocks.

    Raises:
        UsageError: The network has no such block.

    Example:
        >>> from zoo.models.resnet import resnet50_v1_5
        >>> silence_branches(resnet50_v1_5((32, 32, 3), stages=((1, 8), (2, 16))))
        3
    """
    sources = _sources(network)
    consumers = Counter(name for names in sources.values() for name in set(names))

    def way(name: str) -> list[str]:
        """The layers from one input of an addition back to where the block begins, or to one of several inputs."""
        found = []
        while consumers[name] == 1 and len(sources[name]) == 1:
            found.append(name)
            name = sources[name][0]
        return found

    blocks = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Add):
            ways = [way(source) for source in sources[layer.name]]
            branch = [network.get_layer(name) for name in max(ways, key=len)]
            norm = next((part for part in branch if isinstance(part, keras.layers.BatchNormalization)), None)
            if norm is not None:
                norm.gamma.assign(keras.ops.zeros(norm.gamma.shape, norm.gamma.dtype))
                blocks += 1
    if not blocks:
        raise UsageError(f"{network.name}: no residual block ends in a batch norm, so none can start at 0")
    return blocks


def _sources(network: keras.Model) -> dict[str, list[str]]:
    """Name of each layer -> names of the layers whose outputs it takes."""
    return {
        layer["name"]: [name for node in layer["inbound_nodes"] for name in _names(node)]
        for layer in network.get_config()["layers"]
    }


def _names(part: Any) -> Iterator[str]:
    """The layers named in the arguments of a call, as `get_config` writes them."""
    if isinstance(part, Mapping):
        if part.get("class_name") == "__keras_tensor__":
            yield part["config"]["keras_history"][0]
        else:
            for value in part.values():
                yield from _names(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _names(value)
