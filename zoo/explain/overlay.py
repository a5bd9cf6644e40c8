"""Draws a heatmap over an image, in a colour map that is readable with every kind of colour vision."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zoo.core.errors import UsageError
from zoo.evaluation.report import RESEARCH_ONLY

#: Opacity where the heatmap is 1.
ALPHA = 0.6


def overlay(image: np.ndarray, heatmap: np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """Draws a heatmap over an image.

    The opacity rises from 0 where the heatmap is 0, which leaves the image unchanged, to `alpha` where it is 1.

    Args:
        image: uint8 (h, w).
        heatmap: (h, w) in 0..1.
        alpha: Largest opacity, in 0..1.

    Returns:
        uint8 (h, w, 3), sRGB.

    Raises:
        ValueError: An argument has another shape, type or range.

    Example:
        >>> overlay(np.full((2, 2), 100, np.uint8), np.eye(2)).shape
        (2, 2, 3)
    """
    grey, heat = np.asarray(image), np.asarray(heatmap, np.float32)
    if grey.ndim != 2 or grey.dtype != np.uint8 or heat.shape != grey.shape:
        raise UsageError(
            f"image must be uint8 (h, w) and the heatmap of its shape, got {grey.dtype} {grey.shape} and {heat.shape}"
        )
    if heat.size and not (heat.min() >= 0 and heat.max() <= 1):  # a NaN fails both
        raise UsageError(f"heatmap must be in 0..1, got {heat.min():g}..{heat.max():g}")
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha must be in 0..1, got {alpha}")
    colour = colours()[np.rint(heat * 255).astype(np.uint8)]
    opacity = (alpha * heat)[..., None]
    return np.rint(grey[..., None] * (1 - opacity) + colour * opacity).astype(np.uint8)


@cache
def colours() -> np.ndarray:
    """Returns the colour map, uint8 (256, 3) in sRGB: dark blue, purple, orange, yellow.

    Lightness rises in equal steps, so the order can be read with any colour vision and in a greyscale print. The path
    has constant steps of lightness and hue in OKLab (Ottosson 2020, "A perceptual color space for image processing").
    """
    t = np.linspace(0, 1, 256)
    lightness, chroma = 0.4 + 0.5 * t, 0.17 - 0.04 * t
    hue = np.deg2rad(275 + 180 * t)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return np.rint(255 * _srgb(lab)).astype(np.uint8)


def save_png(path: str | Path, picture: np.ndarray, **facts: str) -> Path:
    """Writes an image as PNG, with the disclaimer that this is no medical device as a text chunk.

    Args:
        path: File to write; its folder must exist.
        picture: uint8 (h, w) or (h, w, 3).
        **facts: Further text chunks, by keyword. They must not identify a patient.

    Returns:
        The path.
    """
    text = PngInfo()
    for keyword, words in {"Disclaimer": RESEARCH_ONLY, **facts}.items():
        text.add_itxt(keyword, words)
    Image.fromarray(picture).save(path, format="PNG", pnginfo=text)
    return Path(path)


def _srgb(lab: np.ndarray) -> np.ndarray:
    """Converts OKLab (..., 3) to sRGB in 0..1, clipped to the gamut."""
    cones = lab @ np.array([[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775],
                            [0.2158037573, -0.0638541728, -1.2914855480]])  # fmt: skip
    linear = cones**3 @ np.array([[4.0767416621, -1.2684380046, -0.0041960863],
                                  [-3.3077115913, 2.6097574011, -0.7034186147],
                                  [0.2309699292, -0.3413193965, 1.7076147010]])  # fmt: skip
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
