"""Training throughput of the loop, from files, against plain `model.fit` on arrays in memory.

What is timed is an epoch as the loop runs it: `fit` on the pipeline, with the loop's callback. Validation and
checkpoints between epochs are not in it. `fit` on arrays does no input work at all: an upper bound.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from PIL import Image

from zoo.data import augment, pipeline
from zoo.models.ensemble import Ensemble
from zoo.specs import EnsembleSpec, MemberSpec
from zoo.training import devices
from zoo.training.callbacks import StepCallback
from zoo.training.losses import WeightedBCE
from zoo.training.optimizers import build_optimizer
from zoo.training.recipe import Stage

SIZE, BATCH, ROUNDS = 64, 32, 5
STAGE = Stage("bench", epochs=1, batch_size=BATCH, learning_rate=1e-4)


def make_films(folder: Path, n: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(0)
    films = rng.integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8)
    paths = [str(folder / f"{i}.png") for i in range(n)]
    for path, film in zip(paths, films, strict=True):
        Image.fromarray(film).save(path)
    return paths, films[..., None]


def compiled(backbone: str) -> Any:
    model = Ensemble.from_spec(EnsembleSpec("bench", (MemberSpec(backbone),), image_size=SIZE))
    model.compile(build_optimizer(model, STAGE, 1000), WeightedBCE(), jit_compile=devices.jit_compile())
    return model


def seconds(fit: Any) -> float:
    start = time.perf_counter()
    fit()
    return time.perf_counter() - start


def measure(backbone: str, n: int, folder: Path) -> tuple[float, dict[str, float]]:
    """Images/s of `fit` on arrays, and each pipeline's share of it, by the median of paired rounds."""
    paths, films = make_films(folder, n)
    labels = np.random.default_rng(1).integers(0, 2, (n, 14)).astype(np.float32)
    model = compiled(backbone)

    def from_arrays() -> None:
        model.fit(films, labels, batch_size=BATCH, verbose=0)

    def from_files(spec: augment.AugmentSpec) -> None:
        batches = pipeline.training_batches(
            paths, labels, image_size=SIZE, batch_size=BATCH, seed=0, epoch=0, augment=spec
        )
        callback = StepCallback(0, [], lambda step, loss: None, lambda: "", lambda step: None)
        model.fit(batches, shuffle=False, verbose=0, callbacks=[callback])

    loops = {
        "no augmentation": lambda: from_files(augment.NONE),
        "default augmentation": lambda: from_files(augment.DEFAULT),
    }
    for warm in (from_arrays, *loops.values()):
        warm()
    arrays, ratios = [], {name: [] for name in loops}
    for _ in range(ROUNDS):
        base = seconds(from_arrays)
        arrays.append(n / base)
        for name, loop in loops.items():
            ratios[name].append(base / seconds(loop))
    return statistics.median(arrays), {name: statistics.median(values) for name, values in ratios.items()}


def main() -> None:
    print(f"## Training from files against `fit` on arrays ({keras.config.backend()}, {SIZE} px, batch {BATCH})\n")
    print("| backbone | arrays, images/s | ratio, no augmentation | ratio, default augmentation |")
    print("| --- | --- | --- | --- |")
    for backbone, n in (("tiny", 1024), ("resnet50", 256)):
        with tempfile.TemporaryDirectory() as folder:
            speed, ratios = measure(backbone, n, Path(folder))
        shares = " | ".join(f"{ratio:.2f}" for ratio in ratios.values())
        print(f"| {backbone} | {speed:.0f} | {shares} |")


if __name__ == "__main__":
    main()
