"""TorchXRayVision's weights, as rows of `zoo.names.published`."""

from __future__ import annotations

from zoo.models.ports.kinds import NIH_ORDER, XRV_FINDINGS
from zoo.names.publication import Published, Reported

_CITATION = """@inproceedings{cohen2022xrv,
  title={{TorchXRayVision}: A library of chest {X}-ray datasets and models},
  author={Cohen, Joseph Paul and Viviano, Joseph D. and Bertin, Paul and Morrison, Paul and Torabian, Parsa and
    Guarrera, Matteo and Lungren, Matthew P and Chaudhari, Akshay and Brooks, Rupert and Hashir, Mohammad and
    Bertrand, Hadrien},
  booktitle={Medical Imaging with Deep Learning},
  year={2022},
  url={https://github.com/mlmed/torchxrayvision}
}
@inproceedings{cohen2020limits,
  title={On the limits of cross-domain generalization in automated {X}-ray prediction},
  author={Cohen, Joseph Paul and Hashir, Mohammad and Brooks, Rupert and Bertrand, Hadrien},
  booktitle={Medical Imaging with Deep Learning},
  year={2020},
  url={https://arxiv.org/abs/2002.02497}
}"""

_UNVERIFIED = (
    "The published file itself: it could not be fetched where this project is tested. The conversion was compared with "
    "the authors' own code on random weights saved in their format.",
    "The AUC: this project measured none.",
    "The authors crop an image to its centre square; this library stretches it to a square.",
)

_RELEASE = "https://github.com/mlmed/torchxrayvision/releases/download/v1/"
_MIRROR = "https://huggingface.co/torchxrayvision/densenet121-res224-{}/resolve/main/model.pt"

#: The outputs of CheXpert's and MIMIC's labels among the 18, and of the others.
_CHEX = tuple(
    "" if name in ("Infiltration", "Emphysema", "Fibrosis", "Pleural_Thickening", "Nodule", "Mass", "Hernia") else name
    for name in XRV_FINDINGS
)
_NIH = tuple(name if name in NIH_ORDER else "" for name in XRV_FINDINGS)
_PC = tuple(name if name in (*NIH_ORDER, "Fracture") else "" for name in XRV_FINDINGS)
_RESNET = tuple("" if name in ("Lung Lesion", "Enlarged Cardiomediastinum") else name for name in XRV_FINDINGS)
_RSNA = tuple(name if name in ("Pneumonia", "Lung Opacity") else "" for name in XRV_FINDINGS)

#: Weight set -> (file, outputs, training data, operating point of each trained output in order); from
#: torchxrayvision/models.py of version 1.5.7.
_DENSENETS = {
    "all": (
        "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        XRV_FINDINGS,
        "NIH ChestX-ray14, PadChest, CheXpert, MIMIC-CXR, NIH labels by Google, OpenI, RSNA",
        (0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358, 0.010060724, 0.103246614,
         0.056810737, 0.026791653, 0.050318155, 0.023985857, 0.01939503, 0.042889766, 0.053369623, 0.035975814,
         0.20204692, 0.05015312),
    ),
    "nih": (
        "nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _NIH,
        "NIH ChestX-ray14",
        (0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932, 0.012037827, 0.038744126,
         0.0037213727, 0.014730946, 0.016149804, 0.054241467, 0.037198864, 0.0004403434),
    ),
    "pc": (
        "pc-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _PC,
        "PadChest",
        (0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257, 0.0023071, 0.055412333,
         0.044385884, 0.042766232, 0.043258056, 0.037629247, 0.005658899, 0.0091741895, 0.026507627),
    ),
    "chex": (
        "chex-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _CHEX,
        "CheXpert",
        (0.1988969, 0.05710573, 0.0531293, 0.1435217, 0.27212676, 0.07749717, 0.19712369, 0.09932402, 0.09273402,
         0.3270967, 0.10888247),
    ),
    "rsna": (
        "kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _RSNA,
        "RSNA Pneumonia Challenge",
        (0.13486601, 0.13511065),
    ),
    "mimic_nb": (
        "mimic_nb-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _CHEX,
        "MIMIC-CXR, labels by NegBio",
        (0.08558747, 0.011884617, 0.0040595434, 0.010733786, 0.118761964, 0.022924708, 0.06358637, 0.022143636,
         0.017476924, 0.1258702, 0.014020768),
    ),
    "mimic_ch": (
        "mimic_ch-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        _CHEX,
        "MIMIC-CXR, labels by CheXpert's labeller",
        (0.09121389, 0.010573786, 0.005023008, 0.003698257, 0.08001232, 0.037242252, 0.05006329, 0.019866971,
         0.03823637, 0.11303808, 0.0069147074),
    ),
}  # fmt: skip

#: Weight set -> (size, SHA-256) of the files whose hash is known to this project.
_KNOWN = {"all": (28_382_008, "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899")}


#: Who measured TorchXRayVision's two `all` networks; the means are of the AUCs by finding given there.
_BENCHMARK = "its authors, BENCHMARKS.md, 2021"

#: Weight set -> AUCs that somebody measured. CheXpert and PadChest were training data of `all`, VinDr-CXR was not.
_REPORTED = {
    "all": (
        Reported(0.852, "PadChest, 15 findings", _BENCHMARK),
        Reported(0.864, "CheXpert, 11 findings", _BENCHMARK),
        Reported(0.856, "VinDr-CXR, not trained on, 8 findings", _BENCHMARK),
    ),
}


def _densenet(name: str) -> Published:
    file, findings, data, points = _DENSENETS[name]
    left = iter(points)
    size, sha256 = _KNOWN.get(name, (0, ""))
    return Published(
        name=f"xrv-densenet121-{name}",
        kind="xrv-densenet121",
        summary=f"TorchXRayVision's DenseNet121 at 224 px, trained on {data}",
        urls=(_RELEASE + file, _MIRROR.format(name)),
        size=size,
        sha256=sha256,
        findings=findings,
        thresholds=tuple(next(left) if finding else None for finding in findings),
        point="torchxrayvision",
        licence="apache-2.0",
        origin="TorchXRayVision (github.com/mlmed/torchxrayvision)",
        data=data,
        citation=_CITATION,
        unverified=_UNVERIFIED,
        reported=_REPORTED.get(name, ()),
    )


# fmt: off
ROWS = (
    *(_densenet(name) for name in _DENSENETS),
    Published(
        name="xrv-resnet50-all",
        kind="xrv-resnet50",
        summary="TorchXRayVision's ResNet50 at 512 px, trained on PadChest, NIH ChestX-ray14, RSNA, SIIM and VinDr",
        urls=(f"{_RELEASE}pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt",),
        findings=_RESNET,
        thresholds=(0.51570356, 0.50444704, 0.53787947, 0.50723547, 0.5025118, 0.5035252, 0.5038076, 0.51862943,
                    0.5078151, 0.50724894, 0.5056339, 0.510706, 0.5053923, 0.5020846, None, 0.5080557, 0.5138526, None),
        point="torchxrayvision",
        licence="apache-2.0",
        origin="TorchXRayVision (github.com/mlmed/torchxrayvision)",
        data="PadChest, NIH ChestX-ray14, RSNA, SIIM, VinDr-CXR",
        citation=_CITATION,
        unverified=(
            *_UNVERIFIED,
            "The two outputs without an operating point (Lung Lesion, Enlarged Cardiomediastinum): they count as not "
            "trained here.",
            "The operating points: all lie from 0.502 to 0.538, as if they were fitted on the sigmoid of a sigmoid.",
        ),
        reported=(
            Reported(0.877, "PadChest, 15 findings", _BENCHMARK),
            Reported(0.709, "CheXpert, not trained on, 9 findings", _BENCHMARK),
        ),
    ),
)
# fmt: on
