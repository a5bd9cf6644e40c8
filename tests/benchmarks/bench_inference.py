"""Images a second of the three-member ensemble in each runtime, beside the same weights in PyTorch.

The release is that of the folder which ZOO_BENCH_RELEASE names; only one that was trained can carry an int8 export that
was accepted. Without it the weights are random ones, and int8 is left out. One takes half an hour on two cores:

    zoo phantoms phantoms --images 1500 --seed 42
    zoo train xrayslam_demo --set ensemble.image_size=224 --backend tensorflow \\
        --data phantoms --data-name phantoms --run run
    zoo release run --out release
    zoo export release --format openvino --precision int8 --data phantoms --trained-on run
    ZOO_BENCH_RELEASE=$PWD/release make bench
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import peers

import zoo
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.export.exporting import TOLERANCES
from zoo.export.int8 import acceptance
from zoo.release.folder import ReleaseFolder
from zoo.release.read import read_release

BACKENDS = ("tensorflow", "jax")
SIZE, FILMS, BATCH = 224, 64, 16
SECTION = f"Inference: ResNet50 + EfficientNetB3 + DenseNet121 at {SIZE} px, batches of {BATCH}"
RATE: dict[str, Any] = {"items": FILMS, "unit": "images/s"}
TEXT = """\
The same weights on every row: {weights}. The peers are timm's networks with these weights and the same preprocessing;
their logits are checked like everyone's. Pixels are in memory, `bench_folder.py` has the way from files."""


@pytest.fixture(scope="module")
def keras_predictor(folder: Path) -> zoo.Predictor:
    predictor = zoo.load(folder)
    assert predictor.spec.image_size == SIZE, predictor
    return predictor


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    films = [draw_phantom(np.random.default_rng(i), ("Edema",) if i % 2 else ())[0] for i in range(FILMS)]
    return np.stack([read_image(film, SIZE) for film in films])


@pytest.fixture(scope="module")
def expected(keras_predictor: zoo.Predictor, pixels: np.ndarray) -> np.ndarray:
    """Keras' logits."""
    return in_batches(keras_predictor.runtime.logits, pixels)


def test_keras(
    compare: Callable[..., Any],
    describe: Callable[..., None],
    keras_predictor: zoo.Predictor,
    pixels: np.ndarray,
    expected: np.ndarray,
):
    weights = "trained on phantoms" if "ZOO_BENCH_RELEASE" in os.environ else "random ones"
    describe(SECTION, TEXT.format(weights=weights))
    on = {"tensorflow": "TensorFlow", "jax": "JAX"}[os.environ["KERAS_BACKEND"]]
    work = lambda: in_batches(keras_predictor.runtime.logits, pixels)  # noqa: E731
    peer = on == "TensorFlow"  # what a Keras user has without the zoo's runtimes
    compare(SECTION, f"Keras on {on}", work, check=near(expected, "float32"), peer=peer, rounds=3, **RATE)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "runtime, precision",
    [("onnx", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8")],
)
def test_runtime(
    compare: Callable[..., Any],
    folder: Path,
    pixels: np.ndarray,
    expected: np.ndarray,
    runtime: Any,
    precision: Any,
):
    pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime", reason="needs the extra 'serve'")
    if precision == "bfloat16":
        from zoo.runtimes.openvino_runtime import native

        if "bfloat16" not in native():
            pytest.skip("this CPU does not compute in bfloat16")
    found = read_release(folder)
    if precision == "int8" and not found.exports:
        pytest.skip("ZOO_BENCH_RELEASE names no release with an int8 export that was accepted")
    predictor = zoo.load(folder, runtime=runtime, precision=precision)
    check = stays(found, expected) if precision == "int8" else near(expected, precision)
    work = lambda: in_batches(predictor.runtime.logits, pixels)  # noqa: E731
    compare(SECTION, f"zoo: {runtime} {precision}", work, check=check, **RATE)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("way", ["eager", "channels-last", "torch.compile", "torch.compile, bfloat16"])
def test_pytorch(
    compare: Callable[..., Any], keras_predictor: zoo.Predictor, pixels: np.ndarray, expected: np.ndarray, way: str
):
    torch = peers.import_torch()
    from benchmarks.timm_twins import twin

    network: Any = twin(keras_predictor.model)
    kind = torch.contiguous_format if way == "eager" else torch.channels_last
    network = network.to(memory_format=kind)
    if "compile" in way:
        network = torch.compile(network, dynamic=False)

    def logits(batch: np.ndarray) -> np.ndarray:
        films = torch.from_numpy(batch[..., 0][:, None]).float().contiguous(memory_format=kind)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in way):
            return network(films).float().numpy()

    check = near(expected, "bfloat16" if "bfloat16" in way else "float32")
    compare(SECTION, f"PyTorch {way}", lambda: in_batches(logits, pixels), check=check, peer=True, rounds=3, **RATE)


def in_batches(logits: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([logits(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)])


def near(expected: np.ndarray, precision: str) -> Callable[[np.ndarray], str]:
    """Logits are Keras', within what the precision may move them."""

    def check(found: np.ndarray) -> str:
        share = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
        assert share < TOLERANCES[precision], share
        return f"largest difference of a logit: {share:.1g} of the largest one"

    return check


def stays(found: ReleaseFolder, expected: np.ndarray) -> Callable[[np.ndarray], str]:
    """The share of these images' decisions that are Keras', beside what the export was accepted with."""

    def check(logits: np.ndarray) -> str:
        from zoo.inference import starting

        known = starting.int8(found).facts.acceptance
        run = known.runs.get("bfloat16", known.runs["float32"])
        kept = acceptance.share_kept(found.decision, expected, logits)
        return (
            f"accepted: macro AUC {-run.auc_loss.value:+.4f}, {run.decisions_kept.value:.2%} of decisions "
            f"stay on {known.compared.films} images; of these {FILMS} images {kept:.2%}"
        )

    return check
