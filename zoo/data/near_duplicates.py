"""Nearly equal images: copies that were resized, compressed again, or changed in contrast."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.warn import Threads
from zoo.data.images.reading import read_image

#: Bits of a hash: the lowest 16 x 16 frequencies of a picture of 32 x 32 pixels. The usual 8 x 8 do not tell one chest
#: radiograph from another: among 600 of NIH, those of different patients came as near as 4 of 64 bits.
BITS = 256

#: Greatest distance of a pair that is reported. Of 1,115 images of NIH (621,000 pairs) no two lay below 52; of 100,
#: copies of a third of the size or of JPEG quality 30 lay within 10, those with another gamma (0.7) or contrast within
#: 28. Among many more images some pairs come within it by chance: the distance is listed, and a reader looks.
NEAR = 32

_SIDE, _LOW, _BLOCK = 32, 16, 2048


@dataclass(frozen=True, eq=False)
class Hashes:
    """Perceptual hashes of image files.

    Attributes:
        bits: (n, 256) bool; rows of unreadable files are False.
        unreadable: Path -> the reason why it cannot be read.
    """

    bits: np.ndarray
    unreadable: dict[str, str]


@dataclass(frozen=True)
class Pair:
    """Two nearly equal images: their positions, `first` < `second`, and the number of bits that differ."""

    first: int
    second: int
    distance: int


def perceptual_hash(picture: np.ndarray) -> np.ndarray:
    """Computes which low frequencies of a picture are above their median.

    Args:
        picture: (32, 32) or (32, 32, 1) grey values.

    Returns:
        (256,) bool: the lowest 16 x 16 coefficients of the cosine transform (DCT-II), in rows. A linear change of
        brightness or contrast keeps all of them but the first.

    Example:
        >>> picture = np.arange(1024).reshape(32, 32) % 37
        >>> int((perceptual_hash(picture) != perceptual_hash(2 * picture)).sum())
        0
    """
    grey = np.asarray(picture, float).reshape(_SIDE, _SIDE)
    low = (_COSINES @ grey @ _COSINES.T).ravel()
    return low > np.median(low)


def hash_images(paths: Sequence[str], *, on_file: Callable[[], None] | None = None) -> Hashes:
    """Hashes image files, at some milliseconds each; unreadable files are listed and do not stop the others.

    Args:
        paths: Image files.
        on_file: Called after each file, in the caller's thread.

    Example:
        >>> hash_images(["missing.png"]).unreadable
        {'missing.png': 'no such file'}
    """
    found = Hashes(np.zeros((len(paths), BITS), bool), {})
    with Threads(os.cpu_count()) as pool:
        for row, (path, made) in enumerate(zip(paths, pool.map(_hash, paths), strict=True)):
            if isinstance(made, str):
                found.unreadable[path] = made
            else:
                found.bits[row] = made
            if on_file is not None:
                on_file()
    return found


def near_pairs(bits: np.ndarray, most: int = NEAR) -> list[Pair]:
    """Finds all pairs of hashes that differ in at most `most` bits, the nearest first.

    All pairs are compared as products of matrices: 256 - 2 x distance is the product of two rows of +1 and -1, which is
    exact in float32. It needs 1 KiB per image, and some 50 MiB. 20,000 images took 5 s on two cores; the time grows
    with the square of the number.

    Args:
        bits: (n, b) bool.
        most: Greatest distance, in bits.

    Example:
        >>> near_pairs(np.array([[True, False, True], [False, True, False], [True, True, True]]), 1)
        [Pair(first=0, second=2, distance=1)]
    """
    signs = np.where(bits, np.float32(1), np.float32(-1))
    pairs: list[Pair] = []
    for start in range(0, len(signs), _BLOCK):
        rows = signs[start : start + _BLOCK]
        for other in range(start, len(signs), _BLOCK):
            distances = (bits.shape[1] - rows @ signs[other : other + _BLOCK].T) / 2
            for i, j in np.argwhere(distances <= most).tolist():
                if start + i < other + j:
                    pairs.append(Pair(start + i, other + j, int(distances[i, j])))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def _hash(path: str) -> np.ndarray | str:
    try:
        return perceptual_hash(read_image(path, _SIDE))
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return error.strerror or type(error).__name__


#: The lowest rows of the DCT-II of 32 values.
_COSINES = np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
