"""The ensemble of `xrayslam`, started from published chest X-ray networks: for machines without ImageNet's files.

    zoo train xrayslam_ported --data DIR            (or: python recipes/xrayslam_ported.py --data DIR)

ResNet50 and DenseNet121 start from `xrv-resnet50-all` and `xrv-densenet121-all` (TorchXRayVision, Apache-2.0), with the
pixel values that they expect; both are fetched at the first run. Without internet access install them before, from a
copy of the folder `releases` in ZOO_HOME. EfficientNetB3 starts from random weights: no published chest X-ray network
fits it. ResNet50 has its stride on the 3x3 convolutions (v1.5), as the published one.

Memory: a joint step keeps the activations of all three networks for their gradients. In float32 on a CPU, without a
graph, a step of 8 images at 96 px took 3.0 GB, 1.4 GB of it before the step; building TensorFlow's graph took 4.8 GB
with 4 images. Activations grow with the images of a batch and with their area: by that rule 64 images at 224 px take
some 40 GB or more (calculated, not measured). On a small machine train one network after the other, with small batches:
`--set members=separate --set stages.0.batch_size=8 --set stages.1.batch_size=8`. DenseNet121 alone, 8 images at 224 px,
took 3.7 GB, measured in the same way.

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
