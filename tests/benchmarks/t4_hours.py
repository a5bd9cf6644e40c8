"""How long a recipe would train on Kaggle's T4, estimated from rates that were measured on another card.

    python tests/benchmarks/t4_hours.py xrayslam xrayslam_plus

No T4 was at hand. `results-gpu.md` holds the training rates of ResNet50 and DenseNet121 on an H100 at 224 px. A T4
has 65 of its 989 TFLOP/s in half precision, and 320 of its 3,350 GB/s of memory (NVIDIA's data sheets), so a network
that the H100 trains at some rate is trained by a T4 at a fifteenth to a tenth of it: these are the two ends of each
estimate. Other backbones and sizes are scaled by their multiplications: an image of a backbone that was not measured
is taken to cost as much for each multiplication as one of DenseNet121, the less efficient of the two. Reading is not
counted; with a cache of decoded images it takes less time than a T4's step.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

from zoo.config.specs import MemberSpec
from zoo.models.backbones import leaf_layers
from zoo.models.classifier import Classifier
from zoo.models.weights.files import uninitialized
from zoo.training.recipe import Recipe, load_recipe

#: Images a second that an H100 trained at 224 px (`results-gpu.md`).
MEASURED = {"resnet50": 4799, "densenet121": 2996}

#: A T4's share of the H100's rate: by half-precision arithmetic, and by memory bandwidth.
SHARES = (65 / 989, 320 / 3350)

#: Training images of Grand X-Ray Slam, Division B, and one epoch's share of them.
IMAGES = 108_494


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", help="names or files of recipes")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"images of all parts (default: {IMAGES:,})")
    options = parser.parse_args()
    print("| recipe | member | size | billion multiplications an image | hours on one T4 |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name in options.recipes:
        for line in estimate(load_recipe(name), options.images):
            print(line)


def estimate(recipe: Recipe, images: int) -> list[str]:
    """The lines of one recipe: each member, and all of them."""
    train, validation, _ = recipe.split.shares
    share = (train + validation) * (1 - 1 / recipe.folds) if recipe.folds else train
    shown = images * share
    lines, totals = [], np.zeros(2)
    for member in recipe.ensemble.members:
        hours, macs = np.zeros(2), 0.0
        for stage in recipe.stages:
            size = getattr(stage, "image_size", None) or recipe.ensemble.image_size
            macs = multiplications(member, size)
            hours += (
                shown * stage.epochs * max(1, recipe.folds) / (rate(member.backbone, macs) * np.array(SHARES)) / 3600
            )
        totals += hours
        lines.append(_line(recipe.name, member.name, size, macs, hours))
    return [*lines, f"| {recipe.name} | all | | | {_hours(totals)} |"]


def _line(recipe: str, member: str, size: int, macs: float, hours: np.ndarray) -> str:
    return f"| {recipe} | {member} | {size} px | {macs / 1e9:.1f} | {_hours(hours)} |"


def _hours(hours: np.ndarray) -> str:
    return f"{hours.min():.1f} to {hours.max():.1f}"


def rate(backbone: str, macs: float) -> float:
    """Images a second that an H100 would train, from the measured rates."""
    like = backbone if backbone in MEASURED else "densenet121"
    return MEASURED[like] * multiplications(MemberSpec(like), 224) / macs


def multiplications(member: MemberSpec, size: int) -> float:
    """Multiplications of convolutions, dense layers and attention in one forward pass of an image.

    >>> round(multiplications(MemberSpec("resnet50"), 224) / 1e9, 1)  # as in its paper
    3.9
    """
    with uninitialized():
        network = Classifier.from_spec(MemberSpec(member.backbone, head=member.head), size, 14)
    return float(sum(_of(layer) for layer in leaf_layers(network)))


def _of(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _places(layer.output.shape) * int(np.prod(layer.kernel.shape))
    if isinstance(layer, keras.layers.Conv2D):  # its kernel holds the channels of one group
        return _places(layer.output.shape) * int(np.prod(layer.kernel.shape))
    if isinstance(layer, keras.layers.Dense):
        return _places(layer.output.shape) * int(np.prod(layer.kernel.shape))
    if type(layer).__name__ == "Attention":
        tokens, features = layer.output.shape[1:]
        return 2 * tokens * tokens * features
    return 0


def _places(shape: Sequence[int | None]) -> int:
    """Places at which a kernel is applied: all axes but those of the images and the channels."""
    return int(np.prod([n for n in shape[1:-1] if n is not None]))


if __name__ == "__main__":
    main()
