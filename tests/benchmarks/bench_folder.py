"""From a folder of images to a file of findings, beside the bare runtime and beside loops as people write them.

All of a section take the same network and the same images. The bare runtime has their pixels in memory already: it is
what reading and writing at the same time could at best come to. The release is that of ZOO_BENCH_RELEASE, as in
`bench_inference.py`; without it the weights are random ones, and int8 is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks import peers
from PIL import Image

import zoo
from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.evaluation.decision import probabilities
from zoo.inference.predictor import Predictor
from zoo.release.read import read_release
from zoo.runs import predict

BACKENDS = ("tensorflow", "jax")
SIDE, FILMS = 2048, 64
MEMORY = "Memory of scoring a folder"

#: Runtime, precision, how often the images are gone through. Nothing is scored while the first batch is read: a fast
#: runtime takes more images, as a folder has them.
RUNTIMES = [
    ("keras", "float32", 1),
    pytest.param(("openvino", "float32", 2), marks=pytest.mark.tensorflow_only),
    pytest.param(("openvino", "int8", 4), marks=pytest.mark.tensorflow_only),
]

#: Probabilities may differ by so much at most, and in the mean, from those of images that were decoded as a whole; and
#: where TorchXRayVision reads them. Trained weights answer to fine detail, random ones to little.
TRAINED = "ZOO_BENCH_RELEASE" in os.environ
OURS, THEIRS = ((0.05, 0.002), (0.1, 0.005)) if TRAINED else ((0.01, 0.01), (0.05, 0.05))

#: Scores small images with a tiny network; prints the peak of resident memory, in MB.
SCORE = """
import json, sys
from pathlib import Path
import zoo
from zoo.runs import predict
from zoo.core.progress import Silent
counts = predict.write_findings(zoo.load(Path(sys.argv[2])), [Path(sys.argv[1])], Path(sys.argv[3]), Silent())
# Not getrusage: its peak is that of the process that started this one, where that was larger.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) / 1024
print(json.dumps({"films": counts.images, "peak": peak}))
"""


def named(asked: tuple[str, str, int]) -> str:
    return f"{asked[0]} {asked[1]}"


with_keras = pytest.mark.parametrize("job", RUNTIMES[:1], ids=named, indirect=True)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the benchmark keeps is its own."""
    folder = tmp_path_factory.mktemp("home")
    os.environ["ZOO_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms with the grain of an image, some 390 KB each."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    for i in range(FILMS):
        small = Image.fromarray(draw_phantom(np.random.default_rng(i), ("Edema",) if i % 2 else ())[0])
        pixels = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) + rng.normal(0, 3.4, (SIDE, SIDE))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"film{i:03d}.jpg", quality=80)
    return folder


@dataclass(frozen=True)
class Job:
    """Films to score, what scores them, and the probabilities that come out."""

    predictor: Predictor
    paths: list[Path]
    expected: np.ndarray

    @property
    def asked(self) -> dict[str, Any]:
        """Arguments of `compare` that all rows of the section share."""
        runtime = self.predictor.runtime
        how = f"{runtime.name} {runtime.precision}"
        how += f" on {os.environ['KERAS_BACKEND']}" if runtime.name == "keras" else ""
        section = f"{len(self.paths)} JPEGs of {SIDE} px to findings, three members at 224 px, {how}"
        return {"section": section, "items": len(self.paths), "unit": "images/s", "check": near(self.expected, *OURS)}


@pytest.fixture(scope="module", params=RUNTIMES, ids=named)
def job(request: pytest.FixtureRequest, folder: Path, films: Path) -> Job:
    """What is expected: probabilities of images that were decoded as a whole, without scaling inside of the JPEG."""
    runtime, precision, times = request.param
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra 'serve'")
    if precision == "int8" and not read_release(folder).exports:
        pytest.skip("ZOO_BENCH_RELEASE names no release with an int8 export that was accepted")
    predictor, paths = zoo.load(folder, runtime=runtime, precision=precision), sorted(films.iterdir())
    wholes = [Image.fromarray(read_image(path)[..., 0]) for path in paths]
    return Job(predictor, paths * times, np.tile(predictor.predict(wholes), (times, 1)))


def test_folder(compare: Callable[..., Any], job: Job, tmp_path: Path):
    out = tmp_path / "findings.csv"

    def work() -> np.ndarray:
        predict.write_findings(job.predictor, job.paths, out, Silent())
        return pd.read_csv(out)["probability"].to_numpy().reshape(len(job.paths), -1)

    compare(name="zoo: folder to CSV", work=work, **job.asked)


def test_bare_runtime(compare: Callable[..., Any], job: Job):
    size, runtime = job.predictor.spec.image_size, job.predictor.runtime
    pixels, batch = np.stack([read_image(path, size) for path in job.paths]), runtime.batch_size

    def work() -> np.ndarray:
        batches = [runtime.logits(pixels[i : i + batch], batch) for i in range(0, len(pixels), batch)]
        return probabilities(np.concatenate(batches), job.predictor.decision)

    compare(name="bare runtime on pixels in memory", work=work, peer=True, **job.asked)


@with_keras
def test_plain_loop(compare: Callable[..., Any], job: Job, tmp_path: Path):
    """Read a batch, infer, write, one after the other, each image decoded as a whole."""

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((224, 224), Image.Resampling.BILINEAR))[..., None]

    def work() -> np.ndarray:
        return loop(read, job, tmp_path / "loop.csv")

    compare(name="plain loop: Pillow, infer, write", work=work, peer=True, rounds=3, **job.asked)


@with_keras
def test_torchxrayvision_loop(compare: Callable[..., Any], job: Job, tmp_path: Path):
    """The same loop with the preprocessing of TorchXRayVision's README, brought back to 0..255 for this network."""
    xrv = peers.import_torchxrayvision()
    skimage = pytest.importorskip("skimage.io", reason=peers.MISSING.format("scikit-image"))
    crop, resize = xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)

    def read(path: Path) -> np.ndarray:
        scaled = xrv.datasets.normalize(skimage.imread(path), 255)  # to -1024..1024
        pixels = resize(crop(scaled[None]))
        return ((pixels[0] / 1024 + 1) * 127.5).round().clip(0, 255).astype(np.uint8)[..., None]

    def work() -> np.ndarray:
        return loop(read, job, tmp_path / "xrv.csv")

    asked = job.asked | {"check": near(job.expected, *THEIRS)}
    compare(name="TorchXRayVision's reading in a loop", work=work, peer=True, rounds=2, **asked)


def test_memory(record: Callable[..., None], describe: Callable[..., None], tmp_path: Path):
    """Peak of memory for a thousand images and for a hundred thousand, links to four small ones."""
    from builders import tiny_release

    describe(MEMORY, "Peak of resident memory of a fresh process, backend and network included; `tiny`, 32 px films.")
    model = tiny_release(tmp_path / "tiny", members=1)
    found = {n: score(linked(tmp_path / f"films{n}", n), model, tmp_path / f"{n}.csv") for n in (1_000, 100_000)}
    for n, peak in found.items():
        record(MEMORY, {"backend": os.environ["KERAS_BACKEND"], "images": n, "peak (MB)": round(peak)})
    assert found[100_000] - found[1_000] < 60, found


def near(expected: np.ndarray, largest: float, mean: float) -> Callable[[np.ndarray], str]:
    def check(found: np.ndarray) -> str:
        off = np.abs(found - expected)
        assert off.max() < largest, off.max()
        assert off.mean() < mean, off.mean()
        return f"probabilities differ by {off.mean():.1g} in the mean, {off.max():.1g} at most"

    return check


def loop(read: Callable[[Path], np.ndarray], job: Job, out: Path) -> np.ndarray:
    batch, predictor = job.predictor.runtime.batch_size, job.predictor
    out.unlink(missing_ok=True)
    for start in range(0, len(job.paths), batch):
        names = job.paths[start : start + batch]
        logits = predictor.runtime.logits(np.stack([read(path) for path in names]), batch)
        table = pd.DataFrame(probabilities(logits, predictor.decision), index=[str(name) for name in names])
        table.to_csv(out, mode="a", header=False)
    return pd.read_csv(out, header=None).iloc[:, 1:].to_numpy()


def linked(folder: Path, n: int) -> Path:
    """Folders of a hundred images each; a file takes some ten thousand links."""
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / f"{i // 100:05d}" / f"film{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 1000 == 0:
            film = folder / f"film{i}.png"
            Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(film)
        os.link(film, path)
        if i % 1000 == 999:
            film.unlink()
    return folder


def score(films: Path, model: Path, out: Path) -> float:
    command = [sys.executable, "-c", SCORE, str(films), str(model), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["films"] == sum(1 for _ in films.rglob("*.png"))
    return found["peak"]
