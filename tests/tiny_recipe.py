"""The whole road at its smallest: two tiny members, 32 px, a few steps."""

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.training.recipe import Recipe, Stage

recipe = Recipe(
    name="tiny",
    ensemble=EnsembleSpec(
        name="tiny-pair", members=(MemberSpec("tiny"), MemberSpec("tiny", head="gem", alias="tiny-gem")), image_size=32
    ),
    stages=(
        Stage(name="stage1", epochs=2, batch_size=16, learning_rate=1e-3, best_weights="ensemble_model.weights.h5"),
        Stage(
            name="stage2",
            epochs=1,
            batch_size=16,
            learning_rate=1e-4,
            unfreeze_top=4,
            best_weights="finetuned_ensemble.weights.h5",
            last_weights="final_finetuned_ensemble.weights.h5",
        ),
    ),
    augment=augment.DEFAULT,
    split=SplitSpec(by="patient", fractions=(0.6, 0.2, 0.2), seed=1),
    precision="float32",
    seed=7,
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
