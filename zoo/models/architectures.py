"""The registered backbones, as data: how each is built, which pixels it expects, where its ImageNet weights are.

URLs and hashes are those of `keras.applications` (github.com/keras-team/keras, Apache-2.0); a test compares them
with the installed Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.config.pixels import NAMED
from zoo.core.errors import UnknownNameError, UsageError

_RESNET = "Deep Residual Learning for Image Recognition (He et al. 2015), arXiv:1512.03385"
_RESNET_V2 = "Identity Mappings in Deep Residual Networks (He et al. 2016), arXiv:1603.05027"
_EFFICIENTNET = "EfficientNet: Rethinking Model Scaling for CNNs (Tan and Le 2019), arXiv:1905.11946"
_EFFICIENTNET_LITE = "EfficientNet-Lite (Liu 2020), github.com/tensorflow/tpu; arXiv:1905.11946 without its gates"
_EFFICIENTNET_V2 = "EfficientNetV2: Smaller Models and Faster Training (Tan and Le 2021), arXiv:2104.00298"
_DENSENET = "Densely Connected Convolutional Networks (Huang et al. 2017), arXiv:1608.06993"
_CONVNEXT = "A ConvNet for the 2020s (Liu et al. 2022), arXiv:2201.03545"
_VIT = "An Image is Worth 16x16 Words (Dosovitskiy et al. 2020), arXiv:2010.11929"
_DINOV2 = "DINOv2: Learning Robust Visual Features without Supervision (Oquab et al. 2023), arXiv:2304.07193"
_MOBILENET_V3 = "Searching for MobileNetV3 (Howard et al. 2019), arXiv:1905.02244"


@dataclass(frozen=True)
class Architecture:
    """One backbone.

    Attributes:
        name: Registered name.
        builder: `"module:function"` or a function. Called as `builder(input_shape=(height, width, 3), **options)`, it
            returns a `keras.Model` that maps preprocessed pixels to a feature map (batch, rows, columns, channels).
        preprocessing: The pixel values it expects, a name of `zoo.config.pixels.NAMED`: "caffe" (BGR minus mean),
            "torch" (0..1, normalised by the mean and deviation of ImageNet), "tf" (-1..1), "xrv" (-1024..1024) or
            "lite" (about -1..1). A member can bring its own numbers (`MemberSpec.pixels`).
        options: Further arguments for the builder.
        stem: First layer behind the preprocessing that the built network contains and that is cut off; "" if it
            contains none.
        channels: Channels of the feature map; 0 = not stated.
        parameters: Parameters of the network without its preprocessing, including batch-norm statistics; 0 = not
            stated.
        drop_path: Rate of stochastic depth at the last block of the network as it is built; None if its blocks have no
            place for it (`zoo.models.drop_path`).
        min_size: Smallest image side, in pixels.
        imagenet_url: URL of the published weights file without the classification layer; "" if there is none.
        imagenet_hash: MD5 (32 digits) or SHA-256 (64 digits) of that file.
        paper: Title, authors, year.
    """

    name: str
    builder: str | Callable[..., Any]
    preprocessing: str = "torch"
    options: Mapping[str, Any] = field(default_factory=dict)
    stem: str = ""
    channels: int = 0
    parameters: int = 0
    drop_path: float | None = None
    min_size: int = 32
    imagenet_url: str = ""
    imagenet_hash: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if self.preprocessing not in NAMED:
            raise UsageError(
                f"backbone {self.name!r}: preprocessing must be one of {', '.join(NAMED)}, got {self.preprocessing!r}"
            )
        if not callable(self.builder) and ":" not in self.builder:
            raise UsageError(
                f"backbone {self.name!r}: builder must be a function or 'module:function', got {self.builder!r}"
            )

    def require_image_size(self, size: int) -> None:
        """Raises a `UsageError` unless the network can take images of `size` pixels a side."""
        if size < self.min_size:
            raise UsageError(f"backbone {self.name!r} takes images of {self.min_size} pixels or more, got {size}")


def get(name: str) -> Architecture:
    """Returns the architecture called `name`.

    Raises:
        UnknownNameError: No such architecture; names the closest ones.

    Example:
        >>> get("densenet121").channels
        1024
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("backbone", name, ARCHITECTURES, "zoo.register_backbone adds one.")
    return ARCHITECTURES[name]


def register(architecture: Architecture, replace: bool = False) -> Architecture:
    """Adds an architecture and returns it; `ValueError` if the name is taken, unless `replace`."""
    if architecture.name in ARCHITECTURES and not replace:
        raise UsageError(f"backbone {architecture.name!r} is registered: pass replace=True or take another name")
    ARCHITECTURES[architecture.name] = architecture
    return architecture


def _keras(
    name: str,
    function: str,
    preprocessing: str,
    channels: int,
    parameters: int,
    file: str,
    file_hash: str,
    paper: str,
    **options: Any,
) -> Architecture:
    """A network of `keras.applications`; only EfficientNetV1 has no option to leave its preprocessing out."""
    first = "https://storage.googleapis.com"
    return Architecture(
        name=name,
        builder=f"keras.applications:{function}",
        preprocessing=preprocessing,
        options={"include_top": False, "weights": None, **options},
        stem="stem_conv_pad" if paper == _EFFICIENTNET else "",
        drop_path={_EFFICIENTNET: 0.2, _EFFICIENTNET_V2: 0.2, _CONVNEXT: 0.0}.get(paper),
        channels=channels,
        parameters=parameters,
        imagenet_url=f"{first}/keras-applications/{file}"
        if paper == _EFFICIENTNET
        else f"{first}/tensorflow/keras-applications/{file}",
        imagenet_hash=file_hash,
        paper=paper,
    )


def _vit(
    name: str, patch: int, width: int, trained: int, parameters: int, paper: str = _VIT, **options: Any
) -> Architecture:
    """A vision transformer of 12 blocks, with heads of 64 features."""
    shape = {"patch": patch, "width": width, "heads": width // 64, "trained": trained}
    return Architecture(
        name=name,
        builder="zoo.models.vit:vit",
        preprocessing="torch" if paper == _DINOV2 else "tf",
        options={**shape, **options},
        channels=width,
        parameters=parameters,
        drop_path=0.0,
        min_size=patch,
        paper=paper,
    )


_BARE = {"include_preprocessing": False}
_KERNELS = "weights_tf_dim_ordering_tf_kernels_notop.h5"

# fmt: off
_ROWS = (
    _keras("resnet50", "ResNet50", "caffe", 2048, 23_587_712,
           f"resnet/resnet50_{_KERNELS}", "4d473c1dd8becc155b73f8504c6f6626", _RESNET),
    _keras("resnet101", "ResNet101", "caffe", 2048, 42_658_176,
           f"resnet/resnet101_{_KERNELS}", "88cf7a10940856eca736dc7b7e228a21", _RESNET),
    _keras("resnet50v2", "ResNet50V2", "tf", 2048, 23_564_800,
           f"resnet/resnet50v2_{_KERNELS}", "fac2f116257151a9d068a22e544a4917", _RESNET_V2),
    _keras("efficientnetb0", "EfficientNetB0", "torch", 1280, 4_049_564,
           "efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d", _EFFICIENTNET),
    _keras("efficientnetb3", "EfficientNetB3", "torch", 1536, 10_783_528,
           "efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226", _EFFICIENTNET),
    _keras("efficientnetv2b0", "EfficientNetV2B0", "torch", 1280, 5_919_312,
           "efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff", _EFFICIENTNET_V2, **_BARE),
    _keras("efficientnetv2b1", "EfficientNetV2B1", "torch", 1280, 6_931_124,
           "efficientnet_v2/efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37", _EFFICIENTNET_V2, **_BARE),
    _keras("efficientnetv2b2", "EfficientNetV2B2", "torch", 1408, 8_769_374,
           "efficientnet_v2/efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb", _EFFICIENTNET_V2, **_BARE),
    _keras("efficientnetv2b3", "EfficientNetV2B3", "torch", 1536, 12_930_622,
           "efficientnet_v2/efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856", _EFFICIENTNET_V2, **_BARE),
    _keras("densenet121", "DenseNet121", "torch", 1024, 7_037_504,
           f"densenet/densenet121_{_KERNELS}", "30ee3e1110167f948a6b9946edeeb738", _DENSENET),
    _keras("densenet169", "DenseNet169", "torch", 1664, 12_642_880,
           f"densenet/densenet169_{_KERNELS}", "b8c4d4c20dd625c148057b9ff1c1176b", _DENSENET),
    _keras("densenet201", "DenseNet201", "torch", 1920, 18_321_984,
           f"densenet/densenet201_{_KERNELS}", "c13680b51ded0fb44dff2d8f86ac8bb1", _DENSENET),
    _keras("convnexttiny", "ConvNeXtTiny", "torch", 768, 27_820_128, "convnext/convnext_tiny_notop.h5",
           "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1", _CONVNEXT, **_BARE),
    _keras("mobilenetv3small", "MobileNetV3Small", "tf", 576, 939_120,
           "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
           "d3e8ec802a04aa4fc771ee12a9a9b836", _MOBILENET_V3, **_BARE),
    _keras("mobilenetv3large", "MobileNetV3Large", "tf", 960, 2_996_352,
           "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
           "07fb09a5933dd0c8eaafa16978110389", _MOBILENET_V3, **_BARE),
    Architecture("resnet50_v1_5", "zoo.models.resnet:resnet50_v1_5", "torch",
                 channels=2048, parameters=23_561_152, paper=_RESNET),
    Architecture("convnexttiny_unnormed", "zoo.models.convnext:convnexttiny_unnormed", "torch",
                 channels=768, parameters=27_818_592, drop_path=0.0, paper=_CONVNEXT),
    _vit("vit_small_16", 16, 384, 14, 21_665_664),
    _vit("vit_base_16", 16, 768, 14, 85_798_656),
    _vit("vit_small_16_unnormed", 16, 384, 14, 21_664_896, pooling="patches"),
    _vit("vit_base_16_unnormed", 16, 768, 14, 85_797_120, pooling="patches"),
    _vit("vit_base_14_dinov2", 14, 768, 37, 86_579_712, _DINOV2, layer_scale=True, antialias=False),
    Architecture("kerascv-resnet18", "zoo.models.backbones_kerascv:resnet18", "torch",
                 channels=512, parameters=11_186_112, paper=_RESNET),
    Architecture("efficientnetlite0", "zoo.models.efficientnet_lite:efficientnet_lite0", "lite",
                 channels=1280, parameters=3_413_024, drop_path=0.2, paper=_EFFICIENTNET_LITE),
    Architecture("tiny", "zoo.models.tiny:tiny", "torch", channels=64, parameters=33_264, drop_path=0.1, min_size=8,
                 paper="A small residual network of this library, for tests and dry runs"),
)
# fmt: on

#: Name -> architecture; `register` adds to it.
ARCHITECTURES: dict[str, Architecture] = {row.name: row for row in _ROWS}
