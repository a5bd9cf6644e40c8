"""Whether decoding images would keep an accelerator waiting: this machine's measured rate against the device's need."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.progress import Progress
from zoo.data.images.reading import read_image
from zoo.data.pipeline import training_batches
from zoo.training import devices
from zoo.training.recipe import Recipe

#: Images a second that a T4 trains of three backbones at 224 px, in float16; an estimate, never measured by us.
_T4 = 130.0

#: How many times faster devices with bfloat16 are at most; an estimate too.
_NEWER = 8.0

#: The estimates may be low, and training takes a part of the cores. A cache for nothing costs little, since checking
#: the images decodes each of them anyway; a missing one costs every epoch.
_HEADROOM = 2.0

_SAMPLE, _BATCH, _SECONDS = 256, 16, 5.0


def starves(recipe: Recipe, paths: Sequence[str], progress: Progress) -> bool:
    """Whether training from the files would be slower than the device; False on a CPU, without looking.

    Args:
        recipe: What is trained, at which size.
        paths: The images; a sample of them is decoded and augmented for some seconds.
        progress: Told the figures.
    """
    capability = devices.capability()
    if capability is None:
        return False
    devices.leave_gpu_to_the_backend()
    need, rate = needed_rate(recipe, capability), input_rate(recipe, paths)
    starved = rate < _HEADROOM * need
    progress.message(
        f"input: {rate:,.0f} images/s are decoded here, about {need:,.0f}/s are trained (an estimate): "
        + (f"below {_HEADROOM:g} times that, so the images are cached" if starved else "enough without a cache")
    )
    return starved


def needed_rate(recipe: Recipe, capability: tuple[int, int]) -> float:
    """Images/s that a device of this compute capability trains, estimated from a T4's by members and pixels."""
    members = len(recipe.ensemble.members) if recipe.members == "joint" else 1
    device = _NEWER if capability >= (8, 0) else 1.0
    return device * _T4 * 3 / members * (224 / recipe.ensemble.image_size) ** 2


def input_rate(recipe: Recipe, paths: Sequence[str]) -> float:
    """Images/s that the uncached path gives on this machine: read, decoded, augmented, in batches."""
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
    except ImageError:  # the check of all images is still to come
        return np.zeros((size, size, channels), np.uint8)
