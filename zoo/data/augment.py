"""Augmentation of image batches with NumPy and Pillow, as a pure function of given random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from PIL import Image

from zoo.core.errors import RecipeError, UsageError


@dataclass(frozen=True)
class AugmentSpec:
    """The augmentation of training images; 0 (or a range of 1 to 1) switches a step off.

    The steps are applied in the order of these fields. Saturation and hue have an effect on 3-channel images only, and
    none on grey pixels. "Targeted" steps apply to images with a rare finding only; see `targeted_images`.

    Attributes:
        flip_left_right: Probability of a horizontal flip. Off by default: a mirrored chest has its heart on the right.
        rot90: Probability of a rotation by -90, 0 or 90 degrees, chosen at random. Off by default.
        rotation: Largest angle in degrees, in both directions.
        translation: Largest shift, as a fraction of the side length.
        zoom: Largest relative enlargement or reduction.
        brightness: Largest shift, as a fraction of the full range: 0.1 is 25.5 grey levels. (The original solution
            applied 0.1 to pixels in 0..255, which had no effect.)
        contrast_low: Lowest factor on the deviation from the image's mean.
        contrast_high: Highest factor.
        targeted_saturation_low: Lowest factor on the saturation.
        targeted_saturation_high: Highest factor.
        targeted_hue: Largest shift of the hue, as a fraction of the colour circle.
        targeted_flip_up_down: Probability of a vertical flip.
        targeted_noise: Standard deviation of Gaussian noise in grey levels (0..255).
        targeted_noise_probability: Probability that the noise is added.
        mixup: Alpha of MixUp (Zhang et al. 2018, arXiv:1710.09412), applied to whole images after the steps above; see
            `zoo.data.mixing`. It is reproducible, unlike KerasCV's.
        kerascv: One of KerasCV's augmentations, applied to whole batches after the steps above. It uses its own random
            generator, so runs are no longer reproducible bit for bit. Its MixUp is refused beside `mixup`.
        kerascv_strength: RandAugment's magnitude (0..1), or MixUp's alpha (Zhang et al. 2018).

    Raises:
        RecipeError: A value is out of range.
    """

    flip_left_right: float = 0.0
    rot90: float = 0.0
    rotation: float = 0.0
    translation: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast_low: float = 1.0
    contrast_high: float = 1.0
    targeted_saturation_low: float = 1.0
    targeted_saturation_high: float = 1.0
    targeted_hue: float = 0.0
    targeted_flip_up_down: float = 0.0
    targeted_noise: float = 0.0
    targeted_noise_probability: float = 0.0
    mixup: float = 0.0
    kerascv: Literal["randaugment", "mixup"] | None = None
    kerascv_strength: float = 0.2

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name != "kerascv"):
            value, highest = getattr(self, name), _HIGHEST.get(name, 1.0)
            if not 0.0 <= value <= highest or value == math.inf:
                limits = f"0 to {highest:g}" if highest < math.inf else "0 or a finite number above it"
                raise RecipeError(f"augment.{name} must be {limits}, got {value}")
        if self.mixup and self.kerascv == "mixup":
            raise RecipeError(
                "augment.mixup and augment.kerascv='mixup' would mix each image twice: keep augment.mixup alone, which "
                "is reproducible"
            )
        for name in ("contrast", "targeted_saturation"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise RecipeError(f"augment.{name}_low must not exceed {name}_high, got {low} and {high}")


_HIGHEST = {
    "mixup": 1000.0,  # all shares are near a half there; beyond 1e307 the draws are all 0
    "rotation": 180.0,
    "zoom": 0.9,
    "contrast_low": math.inf,
    "contrast_high": math.inf,
    "targeted_saturation_low": math.inf,
    "targeted_saturation_high": math.inf,
    "targeted_hue": 0.5,
    "targeted_noise": 255.0,
}

#: Names of an image's random numbers, in order. Each step has its own, so switching one off does not change the others.
DRAWS = (
    "flip_left_right",
    "turned",
    "turn",
    "angle",
    "zoom",
    "shift_x",
    "shift_y",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "flip_up_down",
    "noisy",
    "noise",
)

#: No augmentation.
NONE = AugmentSpec()

#: Changes that another position of the patient or another exposure would cause; none that contradict anatomy.
DEFAULT = AugmentSpec(
    rotation=7.0,
    translation=0.05,
    zoom=0.08,
    brightness=0.1,
    contrast_low=0.85,
    contrast_high=1.15,
    targeted_noise=5.0,
    targeted_noise_probability=0.3,
)

#: The original solution's augmentation (github.com/hannahjan06/X-ray-Slab-B-Kaggle), with its brightness corrected.
ORIGINAL = AugmentSpec(
    flip_left_right=0.5,
    rot90=0.5,
    brightness=0.1,
    contrast_low=0.85,
    contrast_high=1.15,
    targeted_saturation_low=0.8,
    targeted_saturation_high=1.3,
    targeted_hue=0.05,
    targeted_flip_up_down=0.5,
    targeted_noise=5.0,
    targeted_noise_probability=0.3,
)


def augment(
    images: np.ndarray, draws: np.ndarray, spec: AugmentSpec, targeted: np.ndarray | Sequence[bool] | None = None
) -> np.ndarray:
    """Augments a batch of images; each image depends on its own random numbers only, not on the rest of the batch.

    KerasCV's options are not applied here.

    Args:
        images: uint8 (n, h, w, 1) or (n, h, w, 3), 0..255; not changed.
        draws: (n, k) uniform in [0, 1), with a column for each of the k names in `DRAWS`.
        spec: The augmentation.
        targeted: bool (n,): images that also get the targeted steps; none by default.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: `spec.rot90` on images that are not square, or draws of another shape.

    Example:
        >>> images = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
        >>> augment(images, np.zeros((1, len(DRAWS))), AugmentSpec(flip_left_right=0.5))[0, ..., 0].tolist()
        [[1, 0], [3, 2]]
    """
    if draws.shape != (len(images), len(DRAWS)):
        raise UsageError(f"{len(images)} images need draws of ({len(images)}, {len(DRAWS)}), got {draws.shape}")
    images, drawn = np.array(images), dict(zip(DRAWS, draws.T, strict=True))
    _flip(images, drawn["flip_left_right"] < spec.flip_left_right, axis=2)
    _quarter_turns(images, drawn, spec)
    if spec.rotation or spec.translation or spec.zoom:
        _move(images, drawn, spec)
    if spec.brightness or spec.contrast_low != 1.0 or spec.contrast_high != 1.0:
        _light(images, drawn, spec)
    if targeted is not None and np.any(targeted):
        _targeted(images, drawn, spec, np.asarray(targeted, bool))
    return images


def rare_findings(labels: np.ndarray, below: float = 0.2) -> np.ndarray:
    """Tells which findings are rare: the share of positives among their known labels is less than `below`.

    Args:
        labels: (n, k) of 1, 0 and NaN (unknown), of the training part alone.
        below: The share.

    Returns:
        bool (k,); False where no label is known.

    Example:
        >>> rare_findings(np.array([[1, 0], [1, 0], [0, np.nan]])).tolist()
        [False, True]
    """
    labels = np.asarray(labels)
    known, positives = np.sum(~np.isnan(labels), axis=0), np.sum(labels == 1, axis=0)
    return (known > 0) & (positives < below * known)


def targeted_images(labels: np.ndarray, below: float = 0.2) -> np.ndarray:
    """Tells which images get the targeted steps: bool (n,), True for images with a positive label of a rare finding.

    Example:
        >>> labels = np.zeros((10, 1))
        >>> labels[3] = 1
        >>> np.flatnonzero(targeted_images(labels)).tolist()
        [3]
    """
    return np.any(np.asarray(labels)[:, rare_findings(labels, below)] == 1, axis=1)


def _flip(images: np.ndarray, chosen: np.ndarray, axis: int) -> None:
    if chosen.any():
        images[chosen] = np.flip(images[chosen], axis)


def _quarter_turns(images: np.ndarray, drawn: Mapping[str, np.ndarray], spec: AugmentSpec) -> None:
    if spec.rot90 and images.shape[1] != images.shape[2]:
        raise UsageError(f"rot90 needs square images, got {images.shape[2]} x {images.shape[1]} pixels")
    turns = np.where(drawn["turned"] < spec.rot90, np.floor(3 * drawn["turn"]) - 1, 0)
    for k in (-1, 1):
        if (chosen := turns == k).any():
            images[chosen] = np.rot90(images[chosen], k, axes=(1, 2))


def _move(images: np.ndarray, drawn: Mapping[str, np.ndarray], spec: AugmentSpec) -> None:
    """Rotates, zooms and shifts in one bilinear resampling; pixels from outside the image are black."""
    height, width, channels = images.shape[1:]
    angle = np.radians(_between(-spec.rotation, spec.rotation, drawn["angle"]))
    scale = 1.0 / _between(1.0 - spec.zoom, 1.0 + spec.zoom, drawn["zoom"])
    shift_x = width * _between(-spec.translation, spec.translation, drawn["shift_x"])
    shift_y = height * _between(-spec.translation, spec.translation, drawn["shift_y"])
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    centre_x, centre_y = width / 2, height / 2
    # Pillow takes the inverse transform, from a pixel of the result to its source.
    from_x, from_y = centre_x + shift_x, centre_y + shift_y
    rows = (cos, sin, centre_x - cos * from_x - sin * from_y, -sin, cos, centre_y + sin * from_x - cos * from_y)
    # Image by image, since a whole batch in NumPy or TensorFlow takes as long or half as long again.
    for image, matrix in zip(images, np.stack(rows, axis=1).tolist(), strict=True):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        moved = picture.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        image[...] = np.asarray(moved).reshape(image.shape)


def _light(images: np.ndarray, drawn: Mapping[str, np.ndarray], spec: AugmentSpec) -> None:
    """Applies (x - mean) * contrast + mean + brightness, with a lookup table for each image and channel."""
    pixels = images.shape[1] * images.shape[2]
    means = images.sum((1, 2), dtype=np.uint64)[..., None] / pixels
    factors = _between(spec.contrast_low, spec.contrast_high, drawn["contrast"])[:, None, None]
    shifts = 255.0 * _between(-spec.brightness, spec.brightness, drawn["brightness"])[:, None, None]
    tables = _to_bytes((np.arange(256) - means) * factors + means + shifts)
    for image, channels in zip(images, tables, strict=True):
        for channel, table in enumerate(channels):
            image[..., channel] = np.take(table, image[..., channel])


def _targeted(images: np.ndarray, drawn: Mapping[str, np.ndarray], spec: AugmentSpec, targeted: np.ndarray) -> None:
    saturations = _between(spec.targeted_saturation_low, spec.targeted_saturation_high, drawn["saturation"])
    hues = _between(-spec.targeted_hue, spec.targeted_hue, drawn["hue"])
    if images.shape[3] == 3:
        for row in np.flatnonzero(targeted & ((saturations != 1.0) | (hues != 0.0))):
            images[row] = _colour(images[row], saturations[row], hues[row])
    _flip(images, targeted & (drawn["flip_up_down"] < spec.targeted_flip_up_down), axis=1)
    if spec.targeted_noise:
        levels = _noise_levels(spec.targeted_noise)
        for row in np.flatnonzero(targeted & (drawn["noisy"] < spec.targeted_noise_probability)):
            # All 53 bits of the random number are the seed of the image's own noise.
            rng = np.random.Generator(np.random.PCG64(int(drawn["noise"][row] * 2**53)))
            noise = np.take(levels, rng.integers(0, len(levels), images[row].shape, dtype=np.uint16))
            images[row] = np.clip(images[row] + noise, 0, 255)


@lru_cache(maxsize=4)
def _noise_levels(deviation: float) -> np.ndarray:
    """Gaussian quantiles at 65,536 equal steps, rounded to grey levels, int16 (65536,).

    A uniform choice among them is Gaussian noise in a quarter of the time that drawing floats takes.
    """
    normal = NormalDist(0.0, deviation)
    return np.rint([normal.inv_cdf((i + 0.5) / 2**16) for i in range(2**16)]).astype(np.int16)


def _colour(image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """Multiplies the saturation and shifts the hue in HSV; grey pixels stay as they are."""
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] += np.uint8(round(256 * hue) % 256)
    hsv[..., 1] = np.take(_to_bytes(np.arange(256) * saturation), hsv[..., 1])
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _between(low: float, high: float, draws: np.ndarray) -> np.ndarray:
    return low + (high - low) * draws


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
