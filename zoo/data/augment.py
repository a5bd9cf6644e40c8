"""Augmentation of single images: NumPy and Pillow, a pure function of the random generator it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from PIL import Image

from zoo.errors import RecipeError


@dataclass(frozen=True)
class AugmentSpec:
    """What is done to a training image, and how likely or how far; 0 (or a range of 1 to 1) turns a step off.

    The steps run in the order of these fields. Saturation and hue change nothing on grey pixels: they act on
    3-channel images and are the identity on one channel.

    Attributes:
        flip_left_right: Probability. A mirrored chest has its heart on the right: no default.
        rot90: Probability of a turn by -90, 0 or 90 degrees, one of the three at random. No default either.
        rotation: Largest angle in degrees, to either side.
        translation: Largest shift, as a part of the side length.
        zoom: Largest enlargement or reduction, as a part of 1.
        brightness: Largest shift, as a part of the full range: 0.1 is 25.5 grey levels. (The original applied 0.1 to
            pixels in 0..255, where it did nothing.)
        contrast_low: Lowest factor on the distance from the image's mean.
        contrast_high: Highest factor.
        targeted_saturation_low: Lowest factor, on targeted images only, as all the following.
        targeted_saturation_high: Highest factor.
        targeted_hue: Largest shift, as a part of the colour circle.
        targeted_flip_up_down: Probability.
        targeted_noise: Standard deviation of Gaussian noise in grey levels (0..255).
        targeted_noise_probability: Probability that the noise is added.
        kerascv: One of KerasCV's augmentations on whole batches after the steps above. It draws from a generator of
            its own: runs are then no longer reproducible bit for bit.
        kerascv_strength: RandAugment's magnitude (0..1), or MixUp's alpha (Zhang et al. 2018).
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
    kerascv: Literal["randaugment", "mixup"] | None = None
    kerascv_strength: float = 0.2

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name != "kerascv"):
            value, highest = getattr(self, name), _HIGHEST.get(name, 1.0)
            if not 0.0 <= value <= highest:
                raise RecipeError(f"augment.{name} must be 0 to {highest:g}, got {value}")
        for name in ("contrast", "targeted_saturation"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise RecipeError(f"augment.{name}_low must not exceed {name}_high, got {low} and {high}")


_HIGHEST = {
    "rotation": 180.0,
    "zoom": 0.9,
    "contrast_low": math.inf,
    "contrast_high": math.inf,
    "targeted_saturation_low": math.inf,
    "targeted_saturation_high": math.inf,
    "targeted_hue": 0.5,
    "targeted_noise": 255.0,
}

#: Images as they are.
NONE = AugmentSpec()

#: What a repositioned patient and another exposure would change, and nothing that anatomy forbids.
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

#: The original solution's set (github.com/hannahjan06/X-ray-Slab-B-Kaggle), its brightness in the range it meant.
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


def augment(image: np.ndarray, rng: np.random.Generator, spec: AugmentSpec, targeted: bool = False) -> np.ndarray:
    """One image, randomly changed; the image itself where the spec asks for nothing.

    The same generator state gives the same pixels. KerasCV's options are not applied here, since they need a batch.

    Args:
        image: uint8 (h, w, 1) or (h, w, 3), 0..255; not changed.
        rng: Source of all randomness.
        spec: What to do.
        targeted: Also do what the spec keeps for images with under-represented findings.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: `spec.rot90` on an image that is not square.
    """
    if rng.random() < spec.flip_left_right:
        image = image[:, ::-1]
    if rng.random() < spec.rot90:
        image = _rot90(image, int(rng.integers(-1, 2)))
    if spec.rotation or spec.translation or spec.zoom:
        image = _affine(image, rng, spec)
    image = _brightness_contrast(image, rng, spec)
    if targeted:
        image = _targeted(image, rng, spec)
    return np.ascontiguousarray(image)


def rare_findings(labels: np.ndarray, below: float = 0.2) -> np.ndarray:
    """Which findings are under-represented: their share of positives among the known labels is less than `below`.

    Args:
        labels: (n, k), 1, 0 and NaN (unknown); of the training part alone.
        below: The share.

    Returns:
        bool (k,); False where nothing is known.
    """
    labels = np.asarray(labels)
    known, positives = np.sum(~np.isnan(labels), axis=0), np.sum(labels == 1, axis=0)
    return (known > 0) & (positives < below * known)


def targeted_images(labels: np.ndarray, below: float = 0.2) -> np.ndarray:
    """Which images get the targeted steps: those with a positive in a finding of `rare_findings`; bool (n,)."""
    return np.any(np.asarray(labels)[:, rare_findings(labels, below)] == 1, axis=1)


def _rot90(image: np.ndarray, k: int) -> np.ndarray:
    if image.shape[0] != image.shape[1]:
        raise ValueError(f"rot90 needs square images, got {image.shape[1]} x {image.shape[0]} pixels")
    return np.rot90(image, k)


def _affine(image: np.ndarray, rng: np.random.Generator, spec: AugmentSpec) -> np.ndarray:
    """Rotation, zoom and shift about the centre in one bilinear step; what comes into view is black."""
    height, width, channels = image.shape
    angle = math.radians(rng.uniform(-spec.rotation, spec.rotation))
    scale = 1.0 / rng.uniform(1.0 - spec.zoom, 1.0 + spec.zoom)
    shift_x, shift_y = rng.uniform(-spec.translation, spec.translation, 2) * (width, height)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    centre_x, centre_y = width / 2, height / 2
    # Pillow asks where each pixel of the result comes from: the inverse of the movement.
    from_x, from_y = centre_x + shift_x, centre_y + shift_y
    matrix = (cos, sin, centre_x - cos * from_x - sin * from_y, -sin, cos, centre_y + sin * from_x - cos * from_y)
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    moved = picture.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(moved).reshape(image.shape)


def _brightness_contrast(image: np.ndarray, rng: np.random.Generator, spec: AugmentSpec) -> np.ndarray:
    """(x - mean) * contrast + mean + brightness, by one table of 256 values a channel."""
    shift = 255.0 * rng.uniform(-spec.brightness, spec.brightness)
    factor = rng.uniform(spec.contrast_low, spec.contrast_high)
    if shift == 0.0 and factor == 1.0:
        return image
    result = np.empty_like(image)
    for channel in range(image.shape[2]):
        mean = image[..., channel].mean()
        table = _to_bytes((np.arange(256) - mean) * factor + mean + shift)
        result[..., channel] = np.take(table, image[..., channel])
    return result


def _targeted(image: np.ndarray, rng: np.random.Generator, spec: AugmentSpec) -> np.ndarray:
    saturation = rng.uniform(spec.targeted_saturation_low, spec.targeted_saturation_high)
    hue = rng.uniform(-spec.targeted_hue, spec.targeted_hue)
    if image.shape[2] == 3 and (saturation, hue) != (1.0, 0.0):
        image = _colour(image, saturation, hue)
    if rng.random() < spec.targeted_flip_up_down:
        image = image[::-1]
    if rng.random() < spec.targeted_noise_probability:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = _to_bytes(image + np.float32(spec.targeted_noise) * noise)
    return image


def _colour(image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """Saturation times a factor and hue moved round the circle, in HSV; a grey pixel stays as it is."""
    hsv = np.array(Image.fromarray(np.ascontiguousarray(image)).convert("HSV"))
    hsv[..., 0] += np.uint8(round(256 * hue) % 256)
    hsv[..., 1] = np.take(_to_bytes(np.arange(256) * saturation), hsv[..., 1])
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
