"""The ingredients of `xrayslam_plus` on a network small enough for two CPU cores: what is each of them worth?

    zoo phantoms phantoms/ --images 600
    zoo ablate ablation --data phantoms/ --out runs/ablation-phantoms
    zoo ablate ablation --data NIH --out runs/ablation-nih

Each ingredient is taken out of the whole, with three seeds, and the mean AUC of the test part compared with the
whole's. The same command goes on after a kill, and `--max-hours` ends it cleanly. The tables of 600 phantoms and of
1,115 images of NIH are in `tests/benchmarks/results-ablation.md`.

Two members on EfficientNet-Lite0 with ImageNet weights, at 64 px. What helps here need not help at 384 px on a hundred
thousand images, and what is not told apart here may matter there: folds and progressive resizing are left out, since at
this size they would measure only the number of steps.
"""

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data.augment import AugmentSpec
from zoo.data.splits import SplitSpec
from zoo.training.ablation import Ablation
from zoo.training.recipe import LossSpec, Recipe, Stage

_START = "efficientnetlite0-imagenet"
_ALONE = f'{{"backbone": "efficientnetlite0", "head": "gem", "weights": "{_START}", "drop_path": 0.1, "alias": "gem"}}'

ablation = Ablation(
    name="ablation",
    recipe=Recipe(
        name="ablation",
        ensemble=EnsembleSpec(
            name="ablation",
            members=(
                MemberSpec("efficientnetlite0", head="gem", weights=_START, drop_path=0.1, alias="gem"),
                MemberSpec("efficientnetlite0", head="attention", weights=_START, drop_path=0.1, alias="attention"),
            ),
            image_size=64,
            weighting="fitted",
        ),
        stages=(
            Stage(
                name="all",
                epochs=6,
                batch_size=32,
                learning_rate=1e-3,
                weight_decay=0.05,
                schedule="warmup_cosine",
                warmup_steps=30,
                layer_decay=0.8,
                ema_momentum=0.95,
                early_stopping_patience=None,
            ),
        ),
        loss=LossSpec(name="asymmetric", weight_range=None),
        augment=AugmentSpec(
            rotation=8.0, translation=0.05, zoom=0.1, brightness=0.1, contrast_low=0.8, contrast_high=1.25, mixup=0.2
        ),
        split=SplitSpec(by="patient", fractions=(0.6, 0.15, 0.25), seed=42),
        # TensorFlow frees the graph of a training only with its process.
        members="parallel",
        precision="float32",
    ),
    without={
        "the second member": (f"recipe.ensemble.members=[{_ALONE}]",),
        "ImageNet weights": ("recipe.ensemble.members.0.weights=null", "recipe.ensemble.members.1.weights=null"),
        "GeM and attention heads": ("recipe.ensemble.members.0.head=gap", "recipe.ensemble.members.1.head=gap"),
        "asymmetric loss": ("recipe.loss.name=weighted_bce",),
        "warm-up and cosine": ("recipe.stages.0.warmup_steps=0", "recipe.stages.0.schedule=constant"),
        "lower rates in lower layers": ("recipe.stages.0.layer_decay=null",),
        "moving average of the weights": ("recipe.stages.0.ema_momentum=null",),
        "stochastic depth": ("recipe.ensemble.members.0.drop_path=0", "recipe.ensemble.members.1.drop_path=0"),
        "turns, shifts, zoom, contrast": ('recipe.augment={"mixup": 0.2}',),
        "MixUp": ("recipe.augment.mixup=0",),
        "fitted weights of members": ("recipe.ensemble.weighting=uniform",),
        "mean over the images of a study": ("by_study=false",),
    },
    seeds=(0, 1, 2),
    by_study=True,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["ablate", __file__, *sys.argv[1:]]))
