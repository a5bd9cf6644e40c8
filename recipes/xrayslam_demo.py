"""The three backbones of `xrayslam` at a small image size, trained in some minutes on two CPU cores.

    zoo demo                                     draws synthetic images, trains, and installs the model
    zoo train xrayslam_demo --data DIR           trains the same recipe on your own data

The model is trained from random weights on synthetic images (`zoo.data.phantoms`) and is of no use on real ones. It
shows that every step works, and that the network beats a linear model on the pixels. The README shows the result.
"""

from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.names.catalog import CATALOG
from zoo.training.recipe import LossSpec, Recipe, Stage

recipe = Recipe(
    name="xrayslam_demo",
    ensemble=CATALOG["xrayslam-demo"].spec,
    stages=(
        Stage(
            name="stage1",
            epochs=4,
            batch_size=16,
            learning_rate=1e-3,
            weight_decay=1e-6,
            schedule="warmup_cosine",
            warmup_steps=48,
            best_weights="ensemble_model.weights.h5",
        ),
        Stage(
            name="stage2",
            epochs=1,
            batch_size=32,
            learning_rate=2e-4,
            weight_decay=1e-7,
            schedule="warmup_cosine",
            warmup_steps=6,
            unfreeze_top=50,
            best_weights="finetuned_ensemble.weights.h5",
            last_weights="final_finetuned_ensemble.weights.h5",
        ),
    ),
    loss=LossSpec(name="weighted_bce"),
    augment=augment.NONE,
    split=SplitSpec(by="patient", fractions=(0.68, 0.12, 0.2), seed=42),
    precision="float32",
    # With so few steps from random weights, separately trained members reach a better AUC than joint training.
    members="separate",
    seed=42,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
