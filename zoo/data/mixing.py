"""MixUp (Zhang et al. 2018, arXiv:1710.09412): training on mixtures of two images and of their labels."""

from __future__ import annotations

import numpy as np


def mixup(first: np.ndarray, second: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mixes pairs of images, or of their labels: `share * first + (1 - share) * second` (Zhang et al. 2018).

    Args:
        first: uint8 images (n, h, w, c), or float labels (n, k) of 1, 0, fractions and NaN (unknown).
        second: The partners, of the same shape and dtype.
        shares: (n,) in [0, 1]: the part of `first`.

    Returns:
        Array of that shape and dtype; pixels are rounded. A label is NaN if one that has a share in it is.

    Example:
        >>> mixup(np.array([[1.0, np.nan]]), np.array([[0.0, 1.0]]), np.array([0.75])).tolist()
        [[0.75, nan]]
        >>> mixup(np.array([[np.nan]]), np.array([[1.0]]), np.array([0.0])).tolist()
        [[1.0]]
    """
    share = np.reshape(shares, (-1,) + (1,) * (first.ndim - 1)).astype(np.float32)
    mixed = np.where(share == 1, first, np.where(share == 0, second, share * first + (1 - share) * second))
    return (np.rint(mixed) if first.dtype == np.uint8 else mixed).astype(first.dtype)
