"""An epoch as the training loop runs it, from files, beside plain `model.fit` on arrays in memory.

Validation and checkpoints between epochs are not in it. `fit` on arrays does no input work at all: what reading at the
same time could at best come to.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data import augment, pipeline
from zoo.models.ensemble import Ensemble
from zoo.training import devices
from zoo.training.callbacks import StepCallback
from zoo.training.losses import WeightedBCE
from zoo.training.optimizers import build_optimizer
from zoo.training.recipe import Stage

BACKENDS = ("tensorflow", "jax")
SIZE, BATCH = 64, 32
FILMS = {"tiny": 1024, "resnet50": 128, "efficientnetb3": 128}
STAGE = Stage("bench", epochs=1, batch_size=BATCH, learning_rate=1e-4)
SPECS = {"no augmentation": augment.NONE, "default augmentation": augment.DEFAULT}

backbones = pytest.mark.parametrize("backbone", FILMS)


def section(backbone: str) -> str:
    on = os.environ["KERAS_BACKEND"]
    return f"Training, {backbone} at {SIZE} px in float32, batches of {BATCH}, on {on}"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], np.ndarray]:
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (max(FILMS.values()), SIZE, SIZE), dtype=np.uint8)
    paths = [folder / f"{i}.png" for i in range(len(pixels))]
    for path, film in zip(paths, pixels, strict=True):
        Image.fromarray(film).save(path)
    return [str(path) for path in paths], pixels[..., None]


@cache
def compiled(backbone: str) -> Any:
    model = Ensemble.from_spec(EnsembleSpec("bench", (MemberSpec(backbone),), image_size=SIZE))
    model.compile(build_optimizer(model, STAGE, 1000), WeightedBCE(), jit_compile=devices.jit_compile())
    return model


@backbones
def test_arrays(compare: Callable[..., Any], films: tuple[list[str], np.ndarray], backbone: str):
    n, model = FILMS[backbone], compiled(backbone)
    pixels, labels = films[1][:n], labels_of(n)

    def work() -> float:
        return model.fit(pixels, labels, batch_size=BATCH, verbose=0).history["loss"][0]

    timed(compare, backbone, "plain fit on arrays", work, peer=True)


@backbones
@pytest.mark.parametrize("name", SPECS)
def test_files(compare: Callable[..., Any], films: tuple[list[str], np.ndarray], backbone: str, name: str):
    n, model = FILMS[backbone], compiled(backbone)

    def work() -> float:
        batches = pipeline.training_batches(
            films[0][:n], labels_of(n), image_size=SIZE, batch_size=BATCH, seed=0, epoch=0, augment=SPECS[name]
        )
        callback = StepCallback(0, [], lambda step, loss: None, lambda: "", lambda step: None)
        return model.fit(batches, shuffle=False, verbose=0, callbacks=[callback]).history["loss"][0]

    timed(compare, backbone, f"zoo: from files, {name}", work)


def timed(compare: Callable[..., Any], backbone: str, name: str, work: Callable[[], float], peer: bool = False) -> None:
    items = FILMS[backbone]
    compare(section(backbone), name, work, items=items, unit="images/s", peer=peer, rounds=3, check=finite)


def finite(loss: float) -> None:
    """The loss is a number."""
    assert np.isfinite(loss)


def labels_of(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, (n, 14)).astype(np.float32)
