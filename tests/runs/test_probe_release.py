"""The release of a probe goes every road that other releases go: JAX alone, heatmaps, graphs, and the Hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from PIL import Image

import zoo
from zoo.cli import main
from zoo.core.progress import Silent
from zoo.inference.load import load
from zoo.runs import probe
from zoo.training.probes.spec import ProbeSpec

pytest.importorskip("sklearn")

#: Reports on the release in a process where neither TensorFlow, PyTorch nor scikit-learn can be imported.
ALONE = """
import json, sys
for name in ("tensorflow", "torch", "sklearn"):
    sys.modules[name] = None
import numpy as np
import zoo
model = zoo.load(sys.argv[1])
(batch,) = model.stream(sys.argv[2:])
shown = model.explain(sys.argv[2], "Edema", method="cam")
print(json.dumps([batch.logits.tolist(), np.asarray(shown.heatmap, float).tolist()]))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    """60 images of 30 patients; a bright lower half is Edema, a bright left half Atelectasis."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    labels = (rng.random((60, 2)) < 0.5).astype(int)
    for i, (left, lower) in enumerate(labels):
        pixels = rng.integers(60, 120, (32, 32))
        pixels[:, :16] += 30 * left
        pixels[16:] += 30 * lower
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    table = pd.DataFrame(labels, columns=["Atelectasis", "Edema"])
    table.insert(0, "patient", [f"p{i // 2}" for i in range(60)])
    table.insert(0, "image", [f"{i:02d}.png" for i in range(60)])
    table.to_csv(folder / "labels.csv", index=False)
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def release(images, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("probed")
    base, data = tiny_release(folder / "tiny", members=1), images[0].with_name("labels.csv")
    options = {"spec": ProbeSpec(folds=2), "name": "mine", "dataset": "csv", "crossed": False}
    return probe.probe(load(base), data, folder / "mine", Silent(), **options).release


@pytest.fixture(scope="module")
def logits(release, images) -> np.ndarray:
    (batch,) = zoo.load(release).stream(images[:3])
    assert batch.logits.std() > 0.1
    return batch.logits


def test_it_predicts_and_explains_on_jax_without_tensorflow_and_scikit_learn(release, images, logits):
    pytest.importorskip("jax")
    variables = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(zoo.__file__).parents[1])}
    command = [sys.executable, "-c", ALONE, str(release), *map(str, images[:3])]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found, heatmap = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, logits, atol=1e-4 * np.abs(logits).max())
    shown = zoo.load(release).explain(images[0], "Edema", method="cam")
    np.testing.assert_allclose(heatmap, shown.heatmap, atol=1e-3)


@pytest.mark.parametrize(("format", "library"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_its_graphs_give_its_logits(release, images, logits, tmp_path, format, library):
    pytest.importorskip(library)
    pytest.importorskip("onnx")
    assert main(["export", str(release), "--format", format, "--out", str(tmp_path / "graph")]) == 0
    temperature = zoo.load(release).decision.temperature[0]
    pixels = np.stack([np.asarray(Image.open(path)) for path in images[:3]])[..., None]
    found = {"onnx": by_onnx, "openvino": by_openvino}[format](tmp_path / "graph", pixels)
    np.testing.assert_allclose(found * temperature, logits, atol=1e-4 * np.abs(logits).max())
    (batch,) = zoo.load(release, runtime=format).stream(images[:3])
    np.testing.assert_allclose(batch.logits, logits, atol=1e-4 * np.abs(logits).max())


def by_onnx(folder: Path, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(next(folder.glob("*.onnx")))
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def by_openvino(folder: Path, pixels: np.ndarray) -> np.ndarray:
    import openvino

    model = openvino.Core().compile_model(next(folder.glob("*.xml")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model(pixels)[0]


def test_it_is_published_and_loads_from_the_hub_with_the_same_logits(release, images, logits, hub, token, capsys):
    status = main(["publish", str(release), "--repo", "tester/mine", "--license", "mit"])
    assert status == 0, capsys.readouterr()
    commit = hub.store["tester/mine"].heads["main"]
    (batch,) = zoo.load(f"hf://tester/mine@{commit}").stream(images[:3])
    np.testing.assert_array_equal(batch.logits, logits)
