"""Logits of converted ResNets, ConvNeXts and transformers against the sources' own code, on random weights.

The weights go through the sources' own file formats. What was computed is also compared with the constants by which
`test_golden_ports` checks the same networks without PyTorch.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import port_sources as sources
import pytest

from zoo.models.ports.convert import convert

GOLDEN = json.loads(Path(__file__).with_name("golden_logits.json").read_text())

#: Largest difference allowed, as a share of the largest logit.
TOLERANCE = 1e-4


def filled(torch, network, shapes):
    """The network with the values of `sources.tensors`, in inference; its names and shapes are those written down."""
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes
    values = sources.tensors(shapes)
    network.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    return network.eval()


def saved(torch, network, path):
    """The tensors of the network, through a file as timm writes it."""
    from safetensors.numpy import load_file
    from safetensors.torch import save_file

    save_file(network.state_dict(), path)
    return load_file(path)


def normalised(torch, size, mean, deviation):
    x = torch.tensor(sources.images(size).transpose(0, 3, 1, 2) / 255.0).float().repeat(1, 3, 1, 1)
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(deviation).view(1, 3, 1, 1)


def compare(name, ported, size, expected, openvino=False):
    """Keras' logits, and where asked those of OpenVINO, are the expected ones."""
    model, images = sources.ensemble(ported, size), sources.images(size)
    found = {keras.backend.backend(): model.predict(images, verbose=0)}
    if openvino:
        found["openvino"] = sources.by_openvino(model, size, images)
    assert expected.std() > 0.1
    for runtime, logits in found.items():
        difference = np.abs(logits - expected).max() / np.abs(expected).max()
        print(f"{name} {size} px, {runtime}: {difference:.2g} of the largest logit {np.abs(expected).max():.3g}")
        assert difference < TOLERANCE, runtime


IMAGENET, HALF = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)

#: Kind -> timm's name, its arguments, the tensors, the pixel values, and the sizes besides that of the constants.
TIMM: dict[str, tuple[str, dict[str, Any], sources.Shapes, tuple[Any, Any], tuple[int, ...]]] = {
    "timm-resnet50": ("resnet50", {}, sources.resnet50(), IMAGENET, (224, 97)),
    "timm-convnext-tiny": ("convnext_tiny", {}, sources.convnext_tiny(), IMAGENET, (224, 75)),
    "timm-vit-small-16": ("vit_small_patch16_224", {"depth": 2}, sources.vit(384, 2), HALF, (224, 240)),
    "timm-vit-base-16": ("vit_base_patch16_224", {"depth": 2}, sources.vit(768, 2), HALF, (224,)),
    "timm-vit-small-16-pooled": (
        "vit_small_patch16_224",
        {"depth": 2, "global_pool": "avg"},
        sources.vit(384, 2, norm="fc_norm"),
        HALF,
        (224,),
    ),
}


@pytest.mark.real
@pytest.mark.usefixtures("two_blocks")
@pytest.mark.parametrize("kind, size", [(kind, size) for kind, row in TIMM.items() for size in (64, *row[-1])])
def test_timm(torch, timm, kind, size, tmp_path):
    name, options, shapes, pixels, _ = TIMM[kind]
    if "vit" in name:
        options = {**options, "dynamic_img_size": True}
    network = filled(torch, timm.create_model(name, num_classes=5, **options), shapes)
    with torch.no_grad():
        expected = network(normalised(torch, size, *pixels)).numpy()
    ported = convert(saved(torch, network, tmp_path / "model.safetensors"), findings=tuple("abcde"))
    assert ported.port.name == kind
    compare(kind, ported, size, expected, openvino=size != 224)
    if size == 64:
        np.testing.assert_allclose(GOLDEN[kind], expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.real
@pytest.mark.parametrize("kind, width, size", [("small", 384, 224), ("small", 384, 240), ("base", 768, 224)])
def test_whole_transformers_of_timm(torch, timm, kind, width, size, tmp_path):
    """All 12 blocks, since differences grow from block to block."""
    network = timm.create_model(f"vit_{kind}_patch16_224", num_classes=5, dynamic_img_size=True)
    filled(torch, network, sources.vit(width))
    with torch.no_grad():
        expected = network(normalised(torch, size, *HALF)).numpy()
    ported = convert(saved(torch, network, tmp_path / "model.safetensors"), findings=tuple("abcde"))
    compare(f"{ported.port.name} of 12 blocks", ported, size, expected, openvino=True)


@pytest.mark.real
@pytest.mark.parametrize("size", [512, 97])
def test_torchxrayvision(torch, torchxrayvision, size, tmp_path, monkeypatch):
    """Built by their own constructor from a state dict saved as they save it; beyond 512 px without their resizing."""
    torchvision = pytest.importorskip("torchvision")
    plain = torchvision.models.resnet50(num_classes=18)
    plain.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    path = tmp_path / "resnet50.pt"
    torch.save(filled(torch, plain, sources.resnet50(18, stem=1)).state_dict(), path)
    monkeypatch.setattr(torchxrayvision.models, "get_weights", lambda *args, **kwargs: str(path))
    network = torchxrayvision.models.ResNet(weights="resnet50-res512-all")
    network.op_threshs = None
    pixels = np.stack([torchxrayvision.datasets.normalize(image[..., 0], 255)[None] for image in sources.images(size)])
    with torch.no_grad():
        expected = (network if size == 512 else network.model)(torch.tensor(pixels).float()).numpy()
    ported = convert(read(path))
    assert (ported.port.name, ported.findings) == ("xrv-resnet50", tuple(network.targets))
    compare("xrv-resnet50", ported, size, expected, openvino=size != 512)


def read(path):
    from zoo.models.ports import files

    return files.read(path).tensors


@pytest.mark.real
@pytest.mark.usefixtures("two_blocks")
@pytest.mark.parametrize("size", [56, 238, 518])
def test_dinov2_of_transformers(torch, transformers, size, tmp_path):
    compare_dinov2(torch, transformers, 2, size, tmp_path)


@pytest.mark.real
def test_whole_dinov2_of_transformers(torch, transformers, tmp_path):
    compare_dinov2(torch, transformers, 12, 238, tmp_path)


def compare_dinov2(torch, transformers, depth, size, tmp_path):
    config = transformers.Dinov2Config(num_hidden_layers=depth, image_size=518, patch_size=14)
    network = transformers.Dinov2Model(config)
    # Their own code has other names than their files: the values are read from a file.
    network.save_pretrained(tmp_path)
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model.safetensors"
    assert {name: value.shape for name, value in load_file(path).items()} == sources.dinov2(depth)
    save_file(sources.tensors(sources.dinov2(depth)), path, {"format": "pt"})
    network = transformers.Dinov2Model.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        tokens = network(normalised(torch, size, *IMAGENET)).last_hidden_state.numpy()
    ported = convert(load_file(path))
    assert (ported.port.name, ported.unused) == ("dinov2-vit-base-14", ("embeddings.mask_token",))
    check_tokens("dinov2-vit-base-14", ported, size, tokens, openvino=depth > 2 or size == 238)


@pytest.mark.real
@pytest.mark.usefixtures("two_blocks")
def test_dinov2_of_timm(torch, timm, tmp_path):
    """At 518 px alone: timm widens the filter when it interpolates positions, the authors' code does not."""
    network = timm.create_model("vit_base_patch14_dinov2", depth=2)
    filled(torch, network, sources.timm_dinov2(2))
    with torch.no_grad():
        tokens = network.forward_features(normalised(torch, 518, *IMAGENET)).numpy()
    ported = convert(saved(torch, network, tmp_path / "model.safetensors"))
    assert ported.port.name == "timm-dinov2-vit-base-14"
    check_tokens("timm-dinov2-vit-base-14", ported, 518, tokens, openvino=False)


def check_tokens(name, ported, size, tokens, openvino):
    """The class token, through a linear layer, and each patch token relative to their mean."""
    kernel, bias = sources.probe()
    expected = tokens[:, 0] @ kernel + bias
    compare(name, ported, size, expected, openvino)
    if size == 56:
        np.testing.assert_allclose(GOLDEN[name], expected, atol=2e-5 * np.abs(expected).max())
        (member,) = sources.ensemble(ported, size).members
        found = np.asarray(keras.ops.convert_to_numpy(member.backbone(sources.images(size))))
        patches = tokens[:, 1:].reshape(found.shape)
        wanted = patches - patches.mean((1, 2), keepdims=True) + tokens[:, 0, None, None]
        np.testing.assert_allclose(found, wanted, atol=TOLERANCE * np.abs(wanted).max())
