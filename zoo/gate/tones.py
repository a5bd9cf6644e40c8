"""Checks of brightness and size that need no comparison: enough pixels, enough contrast, neither black nor white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.gate.verdict import Verdict

#: An image with fewer rows or columns than this share of the network's input is doubtful, or rejected.
DOUBTFUL_SHARE, REJECTED_SHARE = 0.5, 0.25

#: Grey levels up to which a pixel counts as black, and from which on as white.
_BLACK, _WHITE = 3, 252


@dataclass(frozen=True)
class Tones:
    """Numbers of a reduced image, or limits on them.

    Attributes:
        contrast: Grey levels between the 5 % darkest and the 5 % brightest pixels.
        black: Share of pixels that are almost black.
        white: Share of pixels that are almost white.
    """

    contrast: float
    black: float
    white: float


def measure(small: np.ndarray) -> Tones:
    """Measures a reduced image, uint8 (64, 64).

    >>> measure(np.full((64, 64), 255, np.uint8))
    Tones(contrast=0.0, black=0.0, white=1.0)
    """
    ordered = np.sort(small, axis=None)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    black, white = np.searchsorted(ordered, (_BLACK, _WHITE), side="right")
    return Tones(float(high) - float(low), float(black / len(ordered)), float(1 - white / len(ordered)))


def limits_of(seen: list[Tones]) -> Tones:
    """Limits half-way between the most extreme of the training images and an image without any contrast.

    >>> limits_of([Tones(100.0, 0.2, 0.0), Tones(80.0, 0.4, 0.1)])
    Tones(contrast=40.0, black=0.7, white=0.55)
    """
    black, white = (max(getattr(tones, name) for tones in seen) for name in ("black", "white"))
    return Tones(min(tones.contrast for tones in seen) / 2, (1 + black) / 2, (1 + white) / 2)


def check(found: Tones, limits: Tones) -> str:
    """Says what is wrong with the exposure of an image; "" if nothing is.

    >>> check(Tones(3.0, 0.0, 0.0), Tones(40.0, 0.7, 0.55))
    'almost no contrast: 3 grey levels between dark and bright'
    """
    if found.black > limits.black:
        return f"too dark: {found.black:.0%} of the pixels are black"
    if found.white > limits.white:
        return f"too bright: {found.white:.0%} of the pixels are white"
    if found.contrast < limits.contrast:
        return f"almost no contrast: {found.contrast:.0f} grey levels between dark and bright"
    return ""


def check_size(decoded: tuple[int, int], size: int) -> Verdict | None:
    """Judges the number of pixels of an image; None if there are enough.

    Args:
        decoded: Height and width of the image.
        size: Height and width of the network's input.

    >>> check_size((50, 200), 224)
    Verdict(quality='rejected', reason='50 x 200 pixels: the model takes 224 x 224')
    """
    smaller = min(decoded)
    if smaller >= DOUBTFUL_SHARE * size:
        return None
    quality = "rejected" if smaller < REJECTED_SHARE * size else "doubtful"
    return Verdict(quality, f"{decoded[0]} x {decoded[1]} pixels: the model takes {size} x {size}")  # type: ignore[arg-type]
