"""The catalog of models that the zoo knows by name.

Entries include no weights: each states how to obtain them. An entry names no repository; users pin a name to a
repository with `zoo catalog add`.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config.specs import EnsembleSpec, MemberSpec

#: The three backbones of the "Grand X-Ray Slam, Division B" solution, in its order.
XRAYSLAM_MEMBERS = ("resnet50", "efficientnetb3", "densenet121")


@dataclass(frozen=True)
class CatalogEntry:
    """A model known by name.

    Attributes:
        spec: Specification of the model.
        recipe: Name of the recipe that trains the model.
        summary: One line for `zoo list` and `zoo.info`.
        environment: Environment variable that may name a release of this model: a folder, or hf://owner/repo.
        how: Command that produces the weights.
    """

    spec: EnsembleSpec
    recipe: str
    summary: str
    environment: str
    how: str


CATALOG: dict[str, CatalogEntry] = {
    "xrayslam-ensemble": CatalogEntry(
        spec=EnsembleSpec(
            name="xrayslam-ensemble",
            # The original initialises ResNet50 at random, and the other two with ImageNet weights.
            members=tuple(MemberSpec(b, weights=None if b == "resnet50" else "imagenet") for b in XRAYSLAM_MEMBERS),
            image_size=224,
        ),
        recipe="xrayslam",
        summary="ResNet50 + EfficientNetB3 + DenseNet121 at 224 px, mean of logits; trained by you on the competition",
        environment="ZOO_XRAYSLAM_ENSEMBLE",
        how="zoo train xrayslam --data DIR --run runs/xrayslam && zoo install runs/xrayslam --as xrayslam-ensemble",
    ),
    "xrayslam-demo": CatalogEntry(
        spec=EnsembleSpec(
            name="xrayslam-demo",
            # What some hundred steps from random weights need; DenseNet121 has no residual blocks.
            members=(
                MemberSpec("resnet50", dropout=0.1, batch_norm_momentum=0.9, zero_residuals=True),
                MemberSpec("efficientnetb3", dropout=0.1, batch_norm_momentum=0.9, drop_path=0.0, zero_residuals=True),
                MemberSpec("densenet121", dropout=0.1, batch_norm_momentum=0.9),
            ),
            image_size=64,
            weighting="fitted",
        ),
        recipe="xrayslam_demo",
        summary="the three backbones at 64 px, trained in minutes on synthetic images; knows nothing of real lungs",
        environment="ZOO_XRAYSLAM_DEMO",
        how="zoo demo",
    ),
    "nih-lite": CatalogEntry(
        spec=EnsembleSpec(
            name="nih-lite",
            members=(MemberSpec("efficientnetlite0", weights="efficientnetlite0-imagenet"),),
            image_size=224,
            # What NIH says nothing of; its debatable equivalents are not used.
            untrained=(
                "Enlarged Cardiomediastinum",
                "Fracture",
                "Lung Lesion",
                "Lung Opacity",
                "Pleural Other",
                "Support Devices",
            ),
        ),
        recipe="nih_lite",
        summary="EfficientNet-Lite0 at 224 px, trained on 824 real images; comes with the package, to try it out",
        environment="ZOO_NIH_LITE",
        how="it comes with the package; zoo train nih_lite --data DIR trains one like it",
    ),
}
