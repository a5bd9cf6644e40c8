"""KerasCV's RandAugment in a small recipe.

    zoo train kerascv_options --data DIR

KerasCV uses its own random generator, so a killed and resumed run does not end with exactly the same weights. This is
the only recipe of which that is true.
"""

import dataclasses

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.training.recipe import Recipe, Stage

recipe = Recipe(
    name="kerascv_options",
    ensemble=EnsembleSpec(name="kerascv-options", members=(MemberSpec("tiny"),), image_size=64),
    stages=(Stage(name="stage1", epochs=5, batch_size=32, learning_rate=1e-3),),
    augment=dataclasses.replace(augment.DEFAULT, kerascv="randaugment"),
    split=SplitSpec(by="patient"),
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
