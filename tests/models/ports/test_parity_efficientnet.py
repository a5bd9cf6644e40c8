"""Logits of a converted tf_efficientnet_b3 against timm's own code, from a file as timm's users save it."""

import keras
import numpy as np
import port_sources
import pytest

from zoo.models.classifier import Classifier
from zoo.models.ports import files
from zoo.models.ports.convert import convert
from zoo.models.weights.files import named_weights

#: Largest difference allowed, as a share of the largest logit.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """timm's network with lively batch norms, in inference, and the safetensors file of its weights."""
    torch = pytest.importorskip("torch")
    try:  # a torchvision without a build for this PyTorch expects these operators
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor d, Tensor s, float t) -> Tensor")
        library.define("qnms(Tensor d, Tensor s, float t) -> Tensor")
    except RuntimeError:
        library = None  # they are there
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_b3", num_classes=14)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of the batches
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
    # Statistics of images like those that are compared: others make the random network amplify rounding to percents.
    like = torch.tensor(np.random.default_rng(1).integers(0, 256, (16, 3, 128, 128)) / 255).float()
    with torch.no_grad():
        network.train()((like - 0.45) / 0.225)
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file(network.state_dict(), path)
    yield network.eval(), path
    del library


@pytest.mark.parametrize("size", [224, 75])
def test_timm(saved, size):
    import torch

    network, path = saved
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = network(normalised(torch, images)).numpy()
    ported = convert(files.read(path).tensors, findings=[f"f{i}" for i in range(14)])
    assert ported.port.name == "timm-tf-efficientnetb3"
    model = Classifier.from_spec(ported.member, size, 14, channels=3)
    variables = named_weights(model)
    assert variables.keys() == ported.weights.keys()
    for name, variable in variables.items():
        variable.assign(ported.weights[name])
    compare(np.asarray(model.predict(images, verbose=0)), expected, f"Keras, {size} px")


@pytest.mark.parametrize("size", [224, 75])
def test_grey_images_by_openvino(saved, size):
    """A graph takes one channel, which timm's users repeat."""
    import torch

    network, path = saved
    grey = np.random.default_rng(size).integers(0, 256, (2, size, size, 1), dtype=np.uint8)
    with torch.no_grad():
        expected = network(normalised(torch, grey.repeat(3, axis=-1))).numpy()
    model = port_sources.ensemble(convert(files.read(path).tensors, findings=[f"f{i}" for i in range(14)]), size)
    compare(model.predict(grey, verbose=0), expected, f"{keras.backend.backend()}, grey, {size} px")
    compare(port_sources.by_openvino(model, size, grey), expected, f"OpenVINO, grey, {size} px")


def normalised(torch, images):
    """As timm's transforms do it: uint8 (n, size, size, 3) to float32 (n, 3, size, size)."""
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (torch.tensor(images).permute(0, 3, 1, 2) / 255 - mean) / deviation


def compare(found, expected, what):
    largest = np.abs(expected).max()
    difference = np.abs(found - expected).max() / largest
    print(f"{what}: largest difference {difference:.2g} of the largest logit {largest:.3g}")
    assert expected.std() > 1e-3
    assert difference < TOLERANCE
