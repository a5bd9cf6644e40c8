"""Logits of converted DenseNets against the sources' own code, on random weights and batch-norm statistics."""

import numpy as np
import pytest

from zoo.models.ports.convert import convert
from zoo.release.build import load_members

torch = pytest.importorskip("torch")

#: Largest difference allowed, as a share of the largest logit.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def xrv():
    declare_operators()
    return pytest.importorskip("torchxrayvision")


@pytest.fixture(scope="module")
def timm():
    declare_operators()
    return pytest.importorskip("timm")


def declare_operators() -> None:
    """Declares what torchvision's wheel without a CPU build expects of torch."""
    try:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms(Tensor d, Tensor s, float t) -> Tensor", "qnms(Tensor d, Tensor s, float t) -> Tensor"):
            library.define(name)
    except RuntimeError:
        return  # declared already
    declare_operators.kept = library


def shuffled(network):
    """The network in inference, with random batch-norm statistics and weights that keep activations alive."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(1e-4, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


def tensors(network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def ours(ported, size: int, images: np.ndarray, tmp_path) -> np.ndarray:
    import dataclasses

    from safetensors.numpy import save_file

    spec = dataclasses.replace(ported.spec("port"), image_size=size)
    save_file(dict(ported.weights), tmp_path / f"{spec.members[0].name}.safetensors")
    return load_members(spec, tmp_path).predict(images, verbose=0)


def grey(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (2, size, size, 1), dtype=np.uint8)


def normalised(images: np.ndarray, mean: tuple[float, ...], deviation: tuple[float, ...]):
    x = torch.tensor(images.transpose(0, 3, 1, 2) / 255.0).float().repeat(1, 3, 1, 1)
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(deviation).view(1, 3, 1, 1)


def require_equal(got: np.ndarray, expected: np.ndarray) -> None:
    difference = np.abs(got - expected).max() / np.abs(expected).max()
    print(f"largest difference {difference:.2g} of the largest logit {np.abs(expected).max():.3g}")
    assert got.std() > 1e-3
    assert difference < TOLERANCE


@pytest.mark.parametrize("size", [224, 203])
def test_torchxrayvision(xrv, size, tmp_path):
    network = shuffled(xrv.models.DenseNet(weights=None))
    images = grey(size)
    scaled = np.stack([xrv.datasets.normalize(image[..., 0], 255)[None] for image in images])
    with torch.no_grad():
        expected = network(torch.tensor(scaled).float()).numpy()
    ported = convert(tensors(network))
    assert ported.port.name == "xrv-densenet121"
    require_equal(ours(ported, size, images, tmp_path), expected)


def test_timm(timm, tmp_path):
    network = shuffled(timm.create_model("densenet121", num_classes=14))
    images = grey(97)
    with torch.no_grad():
        expected = network(normalised(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))).numpy()
    ported = convert(tensors(network), findings=[f"f{i}" for i in range(14)])
    assert ported.port.name == "timm-densenet121"
    require_equal(ours(ported, 97, images, tmp_path), expected)


def test_chexnets_of_old_and_new_keys(timm, tmp_path):
    """A classifier of a linear layer and a sigmoid, behind any prefix; old torchvision wrote "norm.1"."""
    import re

    network = shuffled(timm.create_model("densenet121", num_classes=14))
    images = grey(97)
    with torch.no_grad():
        expected = network(normalised(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))).numpy()
    new = {name.replace("classifier.", "classifier.0."): value for name, value in tensors(network).items()}
    old = {
        "module.densenet121." + re.sub(r"(denselayer\d+\.)(norm|conv)(\d)", r"\1\2.\3", name): value
        for name, value in new.items()
    }
    assert "module.densenet121.features.denseblock1.denselayer1.norm.1.weight" in old
    first, second = convert(new), convert(old)
    assert first.port.name == second.port.name == "chexnet-densenet121"
    assert first.findings[:3] == ("Atelectasis", "Cardiomegaly", "Effusion")
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name])
    require_equal(ours(first, 97, images, tmp_path), expected)
