"""The "Grand X-Ray Slam, Division B" solution with its original hyperparameters and its faults corrected.

    zoo train xrayslam --data DIR            (or: python recipes/xrayslam.py --data DIR)

`DIR` holds `train2.csv` and `train2/`. Hardware: one Kaggle T4, in sessions (`--max-hours 11.5`; run the same command
to resume). Without internet access, use local weights:
`--set ensemble.members.1.weights=/kaggle/input/.../efficientnetb3_notop.h5`.

Source: github.com/hannahjan06/X-ray-Slab-B-Kaggle. Its authors report AUC 0.91 and weighted F1 0.89 on their own
image-level split. This recipe has not been trained at full size here, so no result is claimed for it.

Kept: backbones, ResNet50 from random weights (`--set ensemble.members.0.weights=imagenet` gives it a start), dropout,
loss weights and their range, learning rates, weight decays (on all weights), clip norm, batch sizes, epochs,
callbacks, the last 50 layers of each backbone with their batch norm in stage 2, 80/20 by image at random state 42
(`--set split.by=patient` keeps each patient in one part), flips and quarter turns, missing ages and sexes filled by
mean and mode (written to `filled.csv` only: no network uses them, and the report counts them as unknown).

Corrected:
- EfficientNet had its ImageNet rescaling in stage 1 but not in stage 2. Each backbone now has its own preprocessing.
- ResNet's preprocessing was used for three networks that expect different ones. Each backbone now has its own.
- Brightness of 0.1 had no effect on pixels in 0..255. It is now 10 % of the range.
- Binary accuracy compared logits with 0.5. It now compares probabilities.
- Label weights included the validation images. They now use the training part only.
- Thresholds were fitted and evaluated on the same images. The 20 % are now halved into validation and test parts.
- The last, incomplete batch was left out of validation. It is now included.
- Patients have images in several parts. A warning and the report now count them.
Saturation and hue are kept and, as in the original, have no effect on grey images.
"""

from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.names.catalog import CATALOG
from zoo.training.recipe import LossSpec, Recipe, Stage

recipe = Recipe(
    name="xrayslam",
    ensemble=CATALOG["xrayslam-ensemble"].spec,
    stages=(
        Stage(
            name="stage1",
            epochs=10,
            batch_size=64,
            learning_rate=1e-5,
            weight_decay=1e-6,
            decay_norms_and_biases=True,
            min_learning_rate=1e-7,
            best_weights="ensemble_model.weights.h5",
        ),
        Stage(
            name="stage2",
            epochs=5,
            batch_size=32,
            learning_rate=5e-6,
            weight_decay=1e-7,
            decay_norms_and_biases=True,
            min_learning_rate=1e-8,
            unfreeze_top=50,
            train_batch_norm=True,
            best_weights="finetuned_ensemble.weights.h5",
            last_weights="final_finetuned_ensemble.weights.h5",
        ),
    ),
    loss=LossSpec(name="weighted_bce", form="both_terms", weight_range=(0.5, 3.0)),
    augment=augment.ORIGINAL,
    fill_missing="original",
    split=SplitSpec(by="image", fractions=(0.8, 0.1, 0.1), seed=42),
    precision="auto",
    seed=42,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
