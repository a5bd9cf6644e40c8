"""How well heatmaps point at what is known to be there: scores against masks."""

from __future__ import annotations

import numpy as np

from zoo.core.errors import UsageError


def pointing_game(heatmaps: np.ndarray, masks: np.ndarray, tolerance: int = 0) -> np.ndarray:
    """Whether each heatmap's maximum lies in its mask (Zhang et al. 2018, arXiv:1608.00507).

    Where several pixels share the maximum, the one nearest to the middle of the image counts: enlarging leaves a flat
    rim outside the middles of a grid's outermost cells, and the inner end of that rim is the cell's middle. A map
    without a positive value points nowhere, which is a miss.

    Args:
        heatmaps: (n, h, w), finite.
        masks: (n, h, w) bool.
        tolerance: Pixels around the mask that count as inside (the paper takes 15 on photographs).

    Returns:
        float64 (n,) of 1 and 0 (between them where several maxima are equally near to the middle); NaN where the mask
        is empty.

    Raises:
        ValueError: Shapes differ, a mask is not bool, a heatmap is not finite, or the tolerance is negative.

    >>> heatmap = np.array([[[0.0, 0.2], [0.1, 0.9]]])
    >>> pointing_game(heatmap, heatmap > 0.5).tolist()
    [1.0]
    """
    heat, inside = _checked(heatmaps, masks)
    if tolerance < 0:
        raise UsageError(f"tolerance must be 0 pixels or more, got {tolerance}")
    peak = heat.max(axis=(1, 2), keepdims=True)
    distance = np.where((heat == peak) & (peak > 0), _from_middle(*heat.shape[1:]), np.inf)
    nearest = distance.min(axis=(1, 2), keepdims=True)
    maximal = (distance == nearest) & np.isfinite(nearest)
    hits = (maximal & grow(inside, tolerance)).sum(axis=(1, 2))
    score = hits / np.maximum(maximal.sum(axis=(1, 2)), 1)
    return np.where(inside.any(axis=(1, 2)), score, np.nan)


def energy_inside(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's positive part that lies in its mask (Wang et al. 2020, arXiv:1910.01279).

    A map spread evenly over the image gets the mask's share of the image, which is the chance level.

    Args:
        heatmaps: (n, h, w), finite.
        masks: (n, h, w) bool.

    Returns:
        float64 (n,) in 0..1, 0 where the map has no positive value; NaN where the mask is empty.

    Raises:
        ValueError: As for `pointing_game`.

    >>> heatmap = np.array([[[0.0, 0.2], [0.2, 0.6]]])
    >>> energy_inside(heatmap, heatmap > 0.5).tolist()
    [0.6]
    """
    heat, inside = _checked(heatmaps, masks)
    positive = np.maximum(heat, 0)
    total = positive.sum(axis=(1, 2))
    share = np.where(inside, positive, 0).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return np.where(inside.any(axis=(1, 2)), share, np.nan)


def grow(masks: np.ndarray, radius: int) -> np.ndarray:
    """Masks (n, h, w) bool with all pixels within `radius` pixels of one of theirs, bool."""
    n, h, w = masks.shape
    grown = masks.copy()
    for dy in range(-min(radius, h - 1), min(radius, h - 1) + 1):
        reach = int(np.sqrt(radius**2 - dy**2))
        # How many mask pixels lie in each row's window of +-reach, by differences of running counts.
        counts = np.zeros((n, h, w + 1), np.int32)
        np.cumsum(masks, axis=2, out=counts[..., 1:])
        columns = np.arange(w)
        right, left = np.minimum(columns + reach + 1, w), np.maximum(columns - reach, 0)
        near = counts[..., right] > counts[..., left]
        target, source = slice(max(0, dy), h + min(0, dy)), slice(max(0, -dy), h + min(0, -dy))
        grown[:, target] |= near[:, source]
    return grown


def _from_middle(h: int, w: int) -> np.ndarray:
    """Squared distance in pixels, times 4, of each pixel from the image's middle: integers, so that ties are exact."""
    y, x = 2 * np.arange(h) - (h - 1), 2 * np.arange(w) - (w - 1)
    return (y[:, None] ** 2 + x[None, :] ** 2).astype(np.float64)


def _checked(heatmaps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    heat, inside = np.asarray(heatmaps, np.float64), np.asarray(masks)
    if heat.ndim != 3 or heat.shape != inside.shape or inside.dtype != bool:
        raise UsageError(
            f"expected heatmaps (n, h, w) and bool masks of the same shape, got {heat.shape} and "
            f"{inside.dtype} {inside.shape}"
        )
    if not np.isfinite(heat).all():
        raise UsageError("heatmaps must be finite numbers, there is a NaN or an infinity")
    return heat, inside
