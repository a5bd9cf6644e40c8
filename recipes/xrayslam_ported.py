"""The ensemble of `xrayslam`, started from published chest X-ray networks: for machines without ImageNet's files.

    zoo train xrayslam_ported --data DIR            (or: python recipes/xrayslam_ported.py --data DIR)

DenseNet121 starts from `xrv-densenet121-all` (TorchXRayVision, Apache-2.0), with the pixel values that it expects; it
is fetched at the first run. Without internet access install it before: `zoo port FILE --as xrv-densenet121-all`.
ResNet50 and EfficientNetB3 start from random weights: no published chest X-ray network fits them.

The numbers of the stages are those of `xrayslam`. This recipe has not been trained at full size here, so no result is
claimed for it.
"""

import dataclasses

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.training.recipe import load_recipe

recipe = dataclasses.replace(
    load_recipe("xrayslam"),
    name="xrayslam_ported",
    ensemble=EnsembleSpec(
        name="xrayslam-ported",
        members=(
            MemberSpec("resnet50"),
            MemberSpec("efficientnetb3"),
            MemberSpec("densenet121", weights="xrv-densenet121-all"),
        ),
        image_size=224,
    ),
)

if __name__ == "__main__":
    import sys

    from zoo.cli import main

    sys.exit(main(["train", __file__, *sys.argv[1:]]))
