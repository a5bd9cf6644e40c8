"""What can be wrong with a chest radiograph: changes that make such images from good ones, to learn and to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

#: (uint8 (height, width) image, random numbers) -> the changed image, of any size.
Change: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]

#: What is left of a side that was cut off, as a share.
CUT = (0.45, 0.65)

#: Tiles a side of an image whose parts are out of order.
_TILES = 4


@dataclass(frozen=True)
class Kind:
    """A fault that is recognised.

    Attributes:
        group: Kinds of one group have one limit.
        reason: What is said of the image.
        change: Makes such an image from a good one.
    """

    group: str
    reason: str
    change: Change


def turned(quarters: int) -> Change:
    """Turns by quarters of a circle, anticlockwise."""
    return lambda image, rng: np.rot90(image, quarters)


def mirrored(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchanges left and right."""
    return image[:, ::-1]


def inverted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchanges black and white."""
    return 255 - image


def cut(down: float | None, across: float | None) -> Change:
    """Keeps a part of the image, `CUT` of a side.

    Args:
        down: Where the part lies, from 0 (top) to 1 (bottom); None keeps the whole height.
        across: The same from left to right.
    """

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        share = rng.uniform(*CUT)
        places = (down, image.shape[0]), (across, image.shape[1])
        parts = [slice(None) if at is None else _part(at, share, length) for at, length in places]
        return image[parts[0], parts[1]]

    return change


def cut_anywhere(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keeps `CUT` of each side, anywhere in the image."""
    return cut(rng.uniform(), rng.uniform())(image, rng)


def shuffled(image: np.ndarray, rng: np.random.Generator, tiles: int = _TILES) -> np.ndarray:
    """Cuts the image into tiles and puts them in another order.

    >>> shuffled(np.arange(64, dtype=np.uint8).reshape(8, 8), np.random.default_rng(0)).shape
    (8, 8)
    """
    high, wide = image.shape[0] // tiles, image.shape[1] // tiles
    whole = image[: high * tiles, : wide * tiles].reshape(tiles, high, tiles, wide).swapaxes(1, 2)
    order = rng.permutation(tiles * tiles)
    while (order == np.arange(len(order))).all():
        order = rng.permutation(tiles * tiles)
    mixed = whole.reshape(-1, high, wide)[order].reshape(tiles, tiles, high, wide)
    return mixed.swapaxes(1, 2).reshape(high * tiles, wide * tiles)


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A good image as another machine or person might have made it: turned, moved, enlarged and brightened a little."""
    turn, zoom, gamma = rng.uniform(-6, 6), rng.uniform(0.92, 1.08), rng.uniform(0.75, 1.33)
    curve = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    angle, middle = np.deg2rad(turn), np.array(image.shape[::-1]) / 2
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
    shift = middle - back @ (middle + rng.uniform(-0.04, 0.04, 2) * image.shape[::-1])
    place = (*back[0], shift[0], *back[1], shift[1])
    made = Image.fromarray(curve[image])
    return np.asarray(made.transform(made.size, Image.Transform.AFFINE, place, Image.Resampling.BILINEAR))


def _part(at: float, share: float, length: int) -> slice:
    start = int(at * (1 - share) * length)
    return slice(start, start + max(1, int(share * length)))


_CUT = "looks cropped: a part of the chest is missing"
_PLACES = [(0, None), (1, None), (None, 0), (None, 1), *((y, x) for y in (0, 0.5, 1) for x in (0, 0.5, 1))]

#: The faults that a reference knows, in the order of its numbers.
KINDS = (
    Kind("turned", "looks turned by 90 degrees anticlockwise", turned(1)),
    Kind("turned", "looks turned by 180 degrees", turned(2)),
    Kind("turned", "looks turned by 90 degrees clockwise", turned(3)),
    Kind("turned", "looks upside down", lambda image, rng: image[::-1]),
    Kind("inverted", "looks inverted: black and white are exchanged", inverted),
    Kind("shuffled", "its parts are out of order", shuffled),
    Kind("mirrored", "looks mirrored: left and right are exchanged", mirrored),
    *(Kind("cropped", _CUT, cut(down, across)) for down, across in _PLACES),
)

#: Groups of kinds, in the order of a reference's limits.
GROUPS = tuple(dict.fromkeys(kind.group for kind in KINDS))
