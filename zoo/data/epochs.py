"""What an epoch draws at random: the order of the images, the numbers for their augmentation, and pairs to be mixed.

All are pure functions of (seed, epoch, index): nothing has to be stored for a resume.
"""

from __future__ import annotations

import numpy as np

from zoo.data.augment import DRAWS

# Third word of a generator's seed, so that order and augmentation use different random streams.
_ORDER, _AUGMENT, _MIX = 1, 2, 3


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of `n` images in an epoch: int64 permutation (n,), a pure function of its arguments.

    Example:
        >>> sorted(epoch_order(4, seed=42, epoch=0).tolist())
        [0, 1, 2, 3]
    """
    return _generator(seed, epoch, _ORDER).permutation(n).astype(np.int64)


def epoch_draws(n: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the random numbers for the augmentation of `n` images in an epoch.

    A row is a pure function of (seed, epoch, row) and does not depend on `n`.

    Returns:
        float64 (n, k) in [0, 1), with the k columns of `augment.DRAWS`.

    Example:
        >>> bool((epoch_draws(2, seed=42, epoch=0) == epoch_draws(3, seed=42, epoch=0)[:2]).all())
        True
    """
    return _generator(seed, epoch, _AUGMENT).random((n, len(DRAWS)))


def epoch_pairs(n: int, seed: int, epoch: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns with which image each of `n` images is mixed in an epoch (MixUp), and its own share of the mixture.

    Neighbours in the order of the epoch are partners of each other, so that batches of even size hold both; the last of
    an odd number stays as it is. Like the order, pairs and shares do not depend on the size of the batches.

    Returns:
        int64 (n,), index of each image's partner, and float64 (n,) in [0, 1], drawn from Beta(alpha, alpha).

    Example:
        >>> partners, shares = epoch_pairs(4, seed=42, epoch=0, alpha=0.2)
        >>> partners[partners].tolist(), bool(((0 <= shares) & (shares <= 1)).all())
        ([0, 1, 2, 3], True)
    """
    order = epoch_order(n, seed, epoch)
    partners, places = np.arange(n), np.arange(n // 2 * 2)
    partners[order[places]] = order[places ^ 1]
    return partners, _generator(seed, epoch, _MIX).beta(alpha, alpha, n)


def _generator(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(words)))
