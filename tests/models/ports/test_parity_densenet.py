"""Logits of converted DenseNets against the sources' own code, on random weights and batch-norm statistics."""

from importlib.util import find_spec

import keras
import numpy as np
import pytest

from zoo.models.ports import files
from zoo.models.ports.convert import convert
from zoo.release.build import load_members

torch = pytest.importorskip("torch")

#: What was declared lives as long as the process.
KEPT = []

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
    KEPT.append(library)


def shuffled(network, images):
    """The network in inference, with batch-norm statistics of these images, disturbed, so that no layer dies out."""
    torch.manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of the batches
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
    with torch.no_grad():
        network.train()(images)
    for norm in norms:
        norm.running_mean.mul_(torch.empty_like(norm.running_mean).uniform_(0.8, 1.2))
        norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.2))
    norms[0].running_var[:3] = torch.tensor([0.0, 1e-9, 1e-6])  # where Keras' other epsilon matters most
    return network.eval()


def tensors(network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def ours(ported, size: int, images: np.ndarray, tmp_path) -> dict[str, np.ndarray]:
    """The logits of Keras, and of OpenVINO."""
    import dataclasses

    from safetensors.numpy import save_file

    spec = dataclasses.replace(ported.spec("port"), image_size=size)
    save_file(dict(ported.weights), tmp_path / f"{spec.members[0].name}.safetensors")
    model = load_members(spec, tmp_path)
    found = {keras.backend.backend(): model.predict(images, verbose=0)}
    if find_spec("openvino") and find_spec("onnx"):
        found["openvino"] = by_openvino(model, size, images)
    return found


def by_openvino(model, size: int, images: np.ndarray) -> np.ndarray:
    import openvino

    from zoo.export.onnx.model import to_onnx

    core = openvino.Core()
    graph = core.read_model(to_onnx(model, size).SerializeToString())
    return core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(images)[0]


def grey(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (2, size, size, 1), dtype=np.uint8)


def normalised(images: np.ndarray, mean: tuple[float, ...], deviation: tuple[float, ...]):
    x = torch.tensor(images.transpose(0, 3, 1, 2) / 255.0).float().repeat(1, 3, 1, 1)
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(deviation).view(1, 3, 1, 1)


def require_equal(got: dict[str, np.ndarray], expected: np.ndarray) -> None:
    assert expected.std() > 1e-3
    for runtime, logits in got.items():
        difference = np.abs(logits - expected).max() / np.abs(expected).max()
        print(f"{runtime}: largest difference {difference:.2g} of the largest logit {np.abs(expected).max():.3g}")
        assert difference < TOLERANCE, runtime


@pytest.mark.parametrize("size", [224, 75])
def test_torchxrayvision(xrv, size, tmp_path):
    images = grey(size)
    scaled = torch.tensor(np.stack([xrv.datasets.normalize(image[..., 0], 255)[None] for image in images])).float()
    network = shuffled(xrv.models.DenseNet(weights=None), scaled)
    with torch.no_grad():
        expected = network(scaled).numpy()
    ported = convert(tensors(network))
    assert ported.port.name == "xrv-densenet121"
    require_equal(ours(ported, size, images, tmp_path), expected)


@pytest.mark.parametrize("size", [224, 97])
def test_timm(timm, size, tmp_path):
    images = grey(size)
    scaled = normalised(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = shuffled(timm.create_model("densenet121", num_classes=14), scaled)
    with torch.no_grad():
        expected = network(scaled).numpy()
    ported = convert(tensors(network), findings=[f"f{i}" for i in range(14)])
    assert ported.port.name == "timm-densenet121"
    require_equal(ours(ported, size, images, tmp_path), expected)


def test_chexnets_of_old_and_new_keys(timm, tmp_path):
    """A classifier of a linear layer and a sigmoid, behind any prefix; old torchvision wrote "norm.1"."""
    import re

    images = grey(97)
    scaled = normalised(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network = shuffled(timm.create_model("densenet121", num_classes=14), scaled)
    with torch.no_grad():
        expected = network(scaled).numpy()
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


def test_a_whole_pickled_module_is_read_as_torchxrayvision_saves_it(xrv, tmp_path):
    """Its own file format: `torch.save(model)`, zipped or not, with labels and thresholds among its attributes."""
    network = xrv.models.DenseNet(weights=None).eval()
    network.pathologies = ["" if name == "Mass" else name for name in xrv.datasets.default_pathologies]
    wanted = convert(tensors(network), findings=network.pathologies)
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        torch.save(network, path, _use_new_zipfile_serialization=zipped)
        found = files.read(path)
        assert list(found.attributes["pathologies"]) == network.pathologies
        ported = convert(found.tensors, findings=found.attributes["pathologies"])
        assert ported.untrained == wanted.untrained == ("Mass",)
        for name, value in wanted.weights.items():
            np.testing.assert_array_equal(ported.weights[name], value)


def test_a_checkpoint_is_read_as_the_chexnets_save_it(timm, tmp_path):
    """jrzech saves `{"model": module, "epoch": ...}`, arnoweng `{"state_dict": ...}` of a wrapped module."""
    network = timm.create_model("densenet121", num_classes=14).eval()
    network.classifier = torch.nn.Sequential(network.classifier, torch.nn.Sigmoid())
    wanted = convert(tensors(network))
    wrapped = {f"module.densenet121.{name}": value for name, value in network.state_dict().items()}
    contents = {
        "jrzech": {"model": network, "best_loss": 0.1, "epoch": 3, "rng_state": torch.get_rng_state(), "LR": 0.01},
        "arnoweng": {"epoch": 1, "arch": "DenseNet121", "state_dict": wrapped, "best_prec1": 0.5},
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        ported = convert(files.read(path).tensors)
        assert (ported.port.name, ported.findings) == ("chexnet-densenet121", wanted.findings)
        for ours_, value in wanted.weights.items():
            np.testing.assert_array_equal(ported.weights[ours_], value)
