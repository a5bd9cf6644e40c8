"""EfficientNet-Lite0 at 224 px on a small part of NIH ChestX-ray14: the model that comes with the package.

    zoo train nih_lite --data DIR            (or: python recipes/nih_lite.py --data DIR)

`DIR` holds NIH's `Data_Entry*.csv` and a folder `images/`. Any part of the data set will do. The included release was
made from the 1,115 frontal images of 888 patients that `zoo/included/nih-lite/README.md` describes, reduced to 320 and
512 px; on two CPU cores that takes about ten minutes.

Data: Wang, Peng, Lu, Lu, Bagheri and Summers, "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on
Weakly-Supervised Classification and Localization of Common Thorax Diseases", CVPR 2017; NIH Clinical Center,
nihcc.app.box.com/v/ChestXray-NIHCC. Its labels were read from reports by software.

Start: EfficientNet-Lite0 with ImageNet weights (github.com/tensorflow/tpu, Apache-2.0), by their name in the catalog;
`--set ensemble.members.0.weights=FILE` starts from a file of them.

Findings: the 14 of this package. NIH labels eight of them, "No Finding" included, and these are trained. What NIH says
nothing of is unknown, and those outputs are marked as not trained; NIH's debatable equivalents (Infiltration for Lung
Opacity, Mass and Nodule for Lung Lesion, Pleural_Thickening for Pleural Other) are not used.
"""

from zoo.data.augment import AugmentSpec
from zoo.data.splits import SplitSpec
from zoo.names.catalog import CATALOG
from zoo.training.recipe import LossSpec, Recipe, Stage

recipe = Recipe(
    name="nih_lite",
    ensemble=CATALOG["nih-lite"].spec,
    dataset="nih",
    stages=(
        # The head alone first, so that its random start does not disturb the backbone.
        Stage(
            name="head",
            epochs=5,
            batch_size=32,
            learning_rate=3e-3,
            weight_decay=0.1,
            schedule="warmup_cosine",
            warmup_steps=20,
            unfreeze_top=0,
            average_last=1,
            early_stopping_patience=None,
        ),
        # Then its last two stages as well (blocks 6 and 7 and the last convolution); batch norms stay as they are.
        Stage(
            name="top",
            epochs=8,
            batch_size=32,
            learning_rate=3e-4,
            weight_decay=0.01,
            schedule="warmup_cosine",
            warmup_steps=20,
            unfreeze_top=49,
            average_last=3,
            early_stopping_patience=None,
        ),
    ),
    # Unweighted and unsmoothed, so that the probabilities follow the prevalences.
    loss=LossSpec(weight_range=None),
    # No flips: a mirrored chest has its heart on the right. No noise on rare findings: it would tell them apart.
    augment=AugmentSpec(
        rotation=8.0, translation=0.06, zoom=0.1, brightness=0.12, contrast_low=0.75, contrast_high=1.3
    ),
    split=SplitSpec(by="patient", fractions=(0.74, 0.13, 0.13), seed=42),
    precision="float32",
    seed=42,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
