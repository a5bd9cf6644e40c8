"""KerasCV's RandAugment and MixUp as optional augmentation of whole batches; the only data module that needs KerasCV.

The state of their random generators is not part of a checkpoint, and MixUp of KerasCV 0.9 ignores its seed: a resumed
run is then not identical to an uninterrupted one, and two runs with one seed may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import keras
import numpy as np

from zoo.core.errors import MissingExtraError

BatchAugmentation = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def batch_augmentation(
    name: Literal["randaugment", "mixup"], strength: float, seed: tuple[int, int]
) -> BatchAugmentation:
    """Returns a function that augments a batch of images and labels.

    RandAugment (Cubuk et al. 2020) applies two changes of magnitude `strength` to each image. MixUp (Zhang et al. 2018)
    mixes pairs of images and, in the same proportion, their labels, which become fractions. A label that is unknown
    (NaN) in one image of a pair is unknown in the mixture.

    Args:
        name: Name of the augmentation.
        strength: RandAugment's magnitude, 0..1, or MixUp's alpha, above 0.
        seed: (seed of the run, epoch).

    Returns:
        Function of (uint8 (b, h, w, 1 or 3), float32 (b, k)) to arrays of the same shapes and dtypes.

    Raises:
        ImportError: KerasCV is not installed.
    """
    try:
        import keras_cv
    except ImportError as error:
        raise MissingExtraError(f"augment.kerascv={name!r}", "KerasCV", "train") from error
    state = int(np.random.SeedSequence(seed).generate_state(1)[0]) % 2**31
    if name == "mixup":
        return _mixup(keras_cv.layers.MixUp(alpha=strength, seed=state))
    return _randaugment(
        keras_cv.layers.RandAugment(value_range=(0, 255), augmentations_per_image=2, magnitude=strength, seed=state)
    )


def _randaugment(layer: keras.Layer) -> BatchAugmentation:
    def apply(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The layer accepts colour images only; three equal channels stay equal.
        colour = np.broadcast_to(images, (*images.shape[:3], 3)).astype(np.float32)
        return _pixels(layer(colour, training=True))[..., : images.shape[3]], labels

    return apply


def _mixup(layer: keras.Layer) -> BatchAugmentation:
    def apply(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tensors = {"images": images.astype(np.float32), "labels": labels}
        mixed = layer({key: keras.ops.convert_to_tensor(value) for key, value in tensors.items()}, training=True)
        return _pixels(mixed["images"]), keras.ops.convert_to_numpy(mixed["labels"]).astype(np.float32)

    return apply


def _pixels(images: object) -> np.ndarray:
    return np.clip(np.rint(keras.ops.convert_to_numpy(images)), 0, 255).astype(np.uint8)
