"""Images a second that reach the model: the pipeline with and without augmentation, beside a plain loop.

Prints a Markdown section; with `ZOO_BENCH_OUT` set it writes the section to that file as well.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from zoo.data.augment import DEFAULT, NONE, ORIGINAL
from zoo.data.images import read_image
from zoo.data.pipeline import training_batches

IMAGES, FILM_SIZE, SIZE, BATCH = 256, 1024, 224, 32
ROUNDS = 3


def films(folder: Path) -> list[str]:
    """Grey JPEGs of smooth noise: they compress, and so decode, about as X-rays do."""
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{i}.jpg") for i in range(IMAGES)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((FILM_SIZE, FILM_SIZE), Image.Resampling.BICUBIC)) / 1.1
        grain = rng.normal(0, 3, pixels.shape)
        Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(path, quality=85)
    return paths


def rate(make: Callable[[], Iterable[object]]) -> float:
    """The best of some rounds, images/s, the start of the first batch included."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in make():
            pass
        seconds.append(time.perf_counter() - start)
    return IMAGES / min(seconds)


def measure(paths: list[str]) -> dict[str, float]:
    labels = np.zeros((IMAGES, 14), np.float32)
    targeted = np.arange(IMAGES) % 3 == 0

    def batches(spec, workers=None):
        knobs = {"image_size": SIZE, "batch_size": BATCH, "seed": 0, "epoch": 0, "workers": workers}
        return lambda: training_batches(paths, labels, augment=spec, targeted=targeted, **knobs)

    return {
        "plain loop over `read_image`": rate(lambda: (read_image(path, SIZE) for path in paths)),
        "pipeline, 1 thread": rate(batches(NONE, workers=1)),
        "pipeline": rate(batches(NONE)),
        "pipeline, default augmentation": rate(batches(DEFAULT)),
        "pipeline, the original's augmentation": rate(batches(ORIGINAL)),
    }


def report(rates: dict[str, float]) -> str:
    loop = next(iter(rates.values()))
    rows = [f"| {name} | {value:.0f} | {value / loop:.2f} |" for name, value in rates.items()]
    head = f"Grey JPEGs of {FILM_SIZE} px to {SIZE} px, batches of {BATCH}, {os.cpu_count()} cores, best of {ROUNDS}.\n"
    return "\n".join(["## Input\n", head, "| input | images/s | against the loop |", "| --- | --- | --- |", *rows, ""])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        section = report(measure(films(Path(folder))))
    print(section)
    if "ZOO_BENCH_OUT" in os.environ:
        Path(os.environ["ZOO_BENCH_OUT"]).write_text(section)


if __name__ == "__main__":
    main()
