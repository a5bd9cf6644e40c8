"""The three backbones of `xrayslam` at a small image size, trained in some minutes on two CPU cores.

    zoo demo                                     draws synthetic images, trains, and installs the model
    zoo train xrayslam_demo --data DIR           trains the same recipe on your own data

The model is trained from random weights on synthetic images (`zoo.data.phantoms`) and is of no use on real ones. It
shows that every step works, and that the network beats a linear model on the pixels. The README shows the result.
"""

from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.names.catalog import CATALOG
from zoo.training.recipe import LossSpec, Recipe, Stage, StageOverride

recipe = Recipe(
    name="xrayslam_demo",
    ensemble=CATALOG["xrayslam-demo"].spec,
    # One stage: a second one, as in `xrayslam`, builds every graph again and added 0.003 to the AUC of a member.
    stages=(
        Stage(
            name="stage1",
            epochs=3,
            batch_size=16,
            learning_rate=1e-3,
            weight_decay=1e-6,
            schedule="warmup_cosine",
            warmup_steps=48,
            early_stopping_patience=None,
            # From random weights in some hundred steps. ResNet50 reached an AUC of 0.80 with 1e-3 and 0.69 with 3e-3.
            overrides={
                "resnet50": StageOverride(learning_rate=5e-4),
                "efficientnetb3": StageOverride(epochs=4, learning_rate=2e-3),
            },
            best_weights="ensemble_model.weights.h5",
        ),
    ),
    loss=LossSpec(name="weighted_bce"),
    augment=augment.NONE,
    split=SplitSpec(by="patient", fractions=(0.75, 0.1, 0.15), seed=42),
    precision="float32",
    # With so few steps from random weights, separately trained members reach a better AUC than joint training.
    members="parallel",
    seed=42,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
