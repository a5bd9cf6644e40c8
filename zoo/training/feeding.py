"""Estimates whether decoding images is slower than training on them, so that a cache of decoded images pays off."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.progress import Progress
from zoo.data.images.reading import read_image
from zoo.data.pipeline import training_batches
from zoo.training import devices, processes, replicas
from zoo.training.recipe import Recipe

#: Images per second that a T4 trains with three backbones at 224 px in float16; an estimate that was not measured.
_T4 = 130.0

#: How many times faster than a T4 devices with bfloat16 are at most; also an estimate.
_NEWER = 8.0

#: Safety factor: the estimates may be low, and training uses some of the cores. An unnecessary cache costs little,
#: since every image is decoded once for the check anyway; a missing one slows every epoch.
_HEADROOM = 2.0

_SAMPLE, _BATCH, _SECONDS = 256, 16, 5.0


def starves(recipe: Recipe, paths: Sequence[str], progress: Progress) -> bool:
    """Whether decoding the image files is likely to be slower than the accelerator; always False on a CPU.

    Args:
        recipe: Gives the members and the image size.
        paths: The images; a sample of them is decoded and augmented for some seconds.
        progress: Receives a message with both rates.
    """
    capability = devices.capability()
    if capability is None:
        return False
    devices.leave_gpu_to_the_backend()
    here = replicas.count(recipe.devices) // processes.count()
    need, rate = needed_rate(recipe, capability) * here, input_rate(recipe, paths)
    starved = rate < _HEADROOM * need
    who = "the device trains" if here == 1 else f"its {here} devices train"
    progress.message(
        f"input: this machine decodes {rate:,.0f} images/s, and {who} about {need:,.0f} images/s (an estimate): "
        + (f"below {_HEADROOM:g} times that rate, so the images are cached" if starved else "no cache is needed")
    )
    return starved


def needed_rate(recipe: Recipe, capability: tuple[int, int]) -> float:
    """Estimates the images/s that a device trains, from the rate of a T4, the number of members and the image size."""
    members = len(recipe.ensemble.members) if recipe.members == "joint" else 1
    device = _NEWER if capability >= (8, 0) else 1.0
    return device * _T4 * 3 / members * (224 / recipe.ensemble.image_size) ** 2


def input_rate(recipe: Recipe, paths: Sequence[str]) -> float:
    """Measures the images/s that this machine reads, decodes, augments and batches without a cache."""
    sample = list(paths[:: max(1, len(paths) // _SAMPLE)])
    batches = training_batches(
        sample,
        np.zeros((len(sample), 1), np.float32),
        image_size=recipe.ensemble.image_size,
        batch_size=min(_BATCH, len(sample)),
        seed=recipe.seed,
        epoch=0,
        augment=recipe.augment,
        read=_read,
    )
    started, seen = time.perf_counter(), 0
    for images, _ in batches:
        seen += len(images)
        if time.perf_counter() - started > _SECONDS:
            break
    return seen / (time.perf_counter() - started)


def _read(path: str, size: int, channels: int) -> np.ndarray:
    try:
        return read_image(path, size, channels)
    except ImageError:  # all images are checked later
        return np.zeros((size, size, channels), np.uint8)
