"""The ensemble of `xrayslam`, started from published chest X-ray networks: for machines without ImageNet's files.

    zoo train xrayslam_ported --data DIR            (or: python recipes/xrayslam_ported.py --data DIR)

ResNet50 and DenseNet121 start from `xrv-resnet50-all` and `xrv-densenet121-all` (TorchXRayVision, Apache-2.0), with the
pixel values that they expect; both are fetched at the first run. Without internet access install them before, from a
copy of the folder `releases` in ZOO_HOME. EfficientNetB3 starts from random weights: no published chest X-ray network
fits it. ResNet50 has its stride on the 3x3 convolutions (v1.5), as the published one.

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
            MemberSpec("resnet50_v1_5", weights="xrv-resnet50-all"),
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
