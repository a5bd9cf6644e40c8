"""Scores of heatmaps against masks of the findings: pointing game and energy inside the mask."""

from __future__ import annotations

import numpy as np

from zoo.core.errors import UsageError


def pointing_game(heatmaps: np.ndarray, masks: np.ndarray, tolerance: int = 0) -> np.ndarray:
    """Tells whether each heatmap's maximum lies in its mask (Zhang et al. 2018, arXiv:1608.00507).

    If several pixels share the maximum, the one nearest to the image's centre counts: upsampling makes the border
    outside the centres of the outermost cells constant, and the innermost pixel of that border is the cell's centre. A
    map without a positive value is a miss.

    Args:
        heatmaps: (n, h, w), finite.
        masks: (n, h, w) bool.
        tolerance: Distance from the mask, in pixels, that still counts as inside (the paper uses 15 on photographs).

    Returns:
        float64 (n,): 1 for a hit, 0 for a miss, a fraction if several maxima are equally near to the centre; NaN if
        the mask is empty.

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
    """Computes the share of each map's positive part that lies in its mask (Wang et al. 2020, arXiv:1910.01279).

    The chance level is the mask's share of the image, which a uniform map gets.

    Args:
        heatmaps: (n, h, w), finite.
        masks: (n, h, w) bool.

    Returns:
        float64 (n,) in 0..1; 0 if the map has no positive value, NaN if the mask is empty.

    Raises:
        ValueError: The arguments are invalid, as in `pointing_game`.

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
    """Dilates masks, bool (n, h, w), by a disc of `radius` pixels."""
    n, h, w = masks.shape
    grown = masks.copy()
    for dy in range(-min(radius, h - 1), min(radius, h - 1) + 1):
        reach = int(np.sqrt(radius**2 - dy**2))
        # Number of mask pixels in each row's window of +-reach, from differences of cumulative counts.
        counts = np.zeros((n, h, w + 1), np.int32)
        np.cumsum(masks, axis=2, out=counts[..., 1:])
        columns = np.arange(w)
        right, left = np.minimum(columns + reach + 1, w), np.maximum(columns - reach, 0)
        near = counts[..., right] > counts[..., left]
        target, source = slice(max(0, dy), h + min(0, dy)), slice(max(0, -dy), h + min(0, -dy))
        grown[:, target] |= near[:, source]
    return grown


def _from_middle(h: int, w: int) -> np.ndarray:
    """Four times the squared distance of each pixel from the image's centre, as integers, so that ties are exact."""
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
