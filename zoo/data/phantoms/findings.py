"""Draws the findings on a phantom; each function returns a mask of the pixels that show its finding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.data.phantoms.chest import Chest

Draw = Callable[[Chest, float], np.ndarray]


def draw_finding(chest: Chest, finding: str, contrast: float) -> np.ndarray:
    """Draws one finding on a chest and returns its mask.

    "Lung Opacity" is drawn as a haze. If other opacities are present, the caller takes the union of their masks
    instead. "No Finding" cannot be drawn.

    Args:
        chest: The drawing, which is changed.
        finding: Any of `FINDINGS` but "No Finding".
        contrast: Factor on the finding's density; 1.0 by default in `draw_phantom`.

    Returns:
        bool (height, width).
    """
    return _DRAW[finding](chest, contrast)


def _fill(chest: Chest, opacity: np.ndarray) -> np.ndarray:
    """Replaces air by fluid or cells; returns a mask of the pixels that lost more than a fifth of their air."""
    chest.air = chest.air * (1.0 - np.clip(opacity, 0.0, 0.95))
    return opacity > 0.2


def _side(chest: Chest) -> int:
    return int(chest.rng.integers(2))


def _outwards(side: int) -> int:
    return -1 if side == 0 else 1


def _blob(chest: Chest, centre: tuple[float, float], radius: float, ragged: float) -> np.ndarray:
    """A patch with a soft, irregular edge, 0 to 1."""
    stretch = chest.rng.uniform(0.75, 1.3)
    away = np.hypot((chest.x - centre[0]) * stretch, (chest.y - centre[1]) / stretch) / radius
    return np.clip((1.0 + ragged * chest.smooth_noise(0.12) - away) * 2.5, 0.0, 1.0)


def _heart(chest: Chest, contrast: float) -> np.ndarray:
    return chest.heart > 0.5  # the chest was drawn with an enlarged heart


def _mediastinum(chest: Chest, contrast: float) -> np.ndarray:
    return (chest.mediastinum > 0.3) & (chest.y < chest.base - 0.3)  # the chest was drawn with a wide one


def _consolidation(chest: Chest, contrast: float) -> np.ndarray:
    """Draws a dense patch with an air bronchogram."""
    x, y = chest.point_in(chest.air > 0.85)
    radius = chest.rng.uniform(0.22, 0.32)
    patch = _blob(chest, (x, y), radius, 0.15)
    bronchi, start = [], chest.rng.uniform(0, 6.28)
    for k in range(5):
        angle = start + k * 1.25 + chest.rng.normal(0, 0.2)
        knee = (x + 0.5 * radius * np.cos(angle), y + 0.5 * radius * np.sin(angle))
        bronchi.append([(x, y), knee, (knee[0] + radius * np.cos(angle + 0.4), knee[1] + radius * np.sin(angle + 0.4))])
    inside = patch * np.maximum(*chest.lungs)
    where = _fill(chest, 0.9 * contrast * inside)
    chest.extra -= 0.25 * contrast * chest.lines(bronchi, 0.045) * inside
    return where


def _pneumonia(chest: Chest, contrast: float) -> np.ndarray:
    """Draws many small fluffy spots that merge in one region of a lung."""
    centre = chest.point_in(chest.air > 0.85)
    region = _blob(chest, centre, chest.rng.uniform(0.32, 0.45), 0.1)
    spots = np.clip(1.6 * chest.smooth_noise(0.085), -1.0, 1.0)
    where = _fill(chest, contrast * region * (0.4 + 0.55 * spots) * np.maximum(*chest.lungs))
    return where | ((region > 0.5) & (chest.air > 0.3))


def _edema(chest: Chest, contrast: float) -> np.ndarray:
    """Draws perihilar fluid on both sides, thickened septa, and Kerley B lines at the chest wall."""
    side = np.abs(chest.x)
    centre = chest.rng.uniform(0.18, 0.26)
    reach = np.exp(-(((side - centre) / 0.26) ** 2) - ((chest.y - 0.02) / 0.42) ** 2)
    net = np.abs(chest.smooth_noise(0.11))
    net = np.clip(1.0 - net / 0.45, 0.0, 1.0) - 0.3
    where = _fill(chest, 0.22 * contrast * reach)
    chest.texture = chest.texture + 0.36 * contrast * np.sqrt(reach) * net
    kerley = []
    for s in (-1, 1):
        for k in range(6):
            y = chest.base - 0.16 - 0.06 * k
            edge = 0.6 * chest.habitus.width
            kerley.append([(s * (edge - 0.12), y), (s * edge, y + 0.01)])
    chest.texture = chest.texture + chest.lines(kerley, 0.016, 0.2 * contrast)
    return where | ((reach > 0.4) & (chest.air > 0.3))


def _effusion(chest: Chest, contrast: float) -> np.ndarray:
    """Draws fluid at the base of one or both lungs, with a meniscus that rises towards the chest wall."""
    where = np.zeros(chest.shape, bool)
    sides = (0, 1) if chest.rng.random() < 0.35 else (_side(chest),)
    for side in sides:
        level = chest.base - chest.rng.uniform(0.06, 0.3)
        rise = chest.rng.uniform(0.15, 0.3) * np.clip(chest.x * _outwards(side) / 0.6, 0, 1.3) ** 4
        if chest.lateral:
            rise = 0.3 * np.clip(chest.x / 0.5 + 0.2, 0, 1.2) ** 3
        fluid = np.clip((chest.y - level + rise) / 0.03, 0.0, 1.0) * chest.lungs[side]
        where |= _fill(chest, 0.9 * min(contrast, 1.0) * fluid)
    return where


def _pneumothorax(chest: Chest, contrast: float) -> np.ndarray:
    """Draws air without vessels between the chest wall and the collapsed lung, and the lung's edge as a thin line."""
    side = _side(chest)
    depth = chest.rng.uniform(0.14, 0.28) * np.clip(0.9 - chest.y, 0.4, 1.4)
    if chest.lateral:
        edge = (chest.y - chest.top) - depth
    else:
        apex = np.clip(1.0 - (chest.y - chest.top) / 0.3, 0.0, 1.0)
        edge = chest.outer - np.abs(chest.x) - depth - 0.25 * apex
    wave = edge + 0.015 * chest.smooth_noise(0.3)
    free = np.clip(-wave / 0.02, 0.0, 1.0) * chest.lungs[side]
    chest.texture = chest.texture * (1.0 - free) - 0.14 * contrast * free
    chest.extra += 0.22 * contrast * np.exp(-((wave / 0.016) ** 2)) * chest.lungs[side]
    return free > 0.5


def _lesion(chest: Chest, contrast: float) -> np.ndarray:
    """Draws two to four round nodules with sharp margins."""
    where = np.zeros(chest.shape, bool)
    for _ in range(chest.rng.integers(2, 5)):
        x, y = chest.point_in(chest.air > 0.85)
        away = np.hypot(chest.x - x, chest.y - y) / chest.rng.uniform(0.08, 0.12)
        chest.extra += 0.42 * contrast * np.clip((1.0 - away) * 3.0, 0.0, 1.0)
        where |= away < 1.0
    return where


def _atelectasis(chest: Chest, contrast: float) -> np.ndarray:
    """Draws two to four plate-like atelectases: thick, nearly horizontal lines in the lower half of a lung."""
    where = np.zeros(chest.shape, bool)
    x, y = chest.point_in(chest.lungs[_side(chest)] * (chest.y > chest.base - 0.5) > 0.8)
    tilt = chest.rng.uniform(-0.35, 0.35)
    for k in range(chest.rng.integers(2, 5)):
        length, dy = chest.rng.uniform(0.18, 0.28), 0.1 * k
        plate = chest.lines([[(x - length, y - dy - tilt * length), (x + length, y - dy + tilt * length)]], 0.042)
        plate *= np.maximum(*chest.lungs)
        chest.extra += 0.36 * contrast * plate
        where |= plate > 0.3
    return where


def _haze(chest: Chest, contrast: float) -> np.ndarray:
    """Draws an unspecific opacity: a large faint patch that hides the vessels."""
    patch = _blob(chest, chest.point_in(chest.air > 0.85), chest.rng.uniform(0.2, 0.3), 0.2)
    return _fill(chest, 0.75 * contrast * patch * np.maximum(*chest.lungs))


def _fracture(chest: Chest, contrast: float) -> np.ndarray:
    """Draws fractures of three to five neighbouring ribs: a dark gap between displaced ends with callus."""
    side, where = _outwards(_side(chest)), np.zeros(chest.shape, bool)
    x, y = side * chest.rng.uniform(0.33, 0.52), chest.rng.uniform(-0.4, 0.15)
    step = chest.habitus.spacing
    for k in range(chest.rng.integers(3, 6)):
        cx, cy = x + chest.rng.normal(0, 0.015), y + k * step
        gap = chest.lines([[(cx, cy - 0.04), (cx, cy + 0.04)]], 0.03)
        ends = [[(cx - 0.11, cy - 0.035), (cx - 0.02, cy - 0.025)], [(cx + 0.02, cy + 0.03), (cx + 0.11, cy + 0.045)]]
        chest.extra += contrast * (chest.lines(ends, 0.045, 0.4) - 0.22 * gap)
        where |= np.hypot(chest.x - cx, chest.y - cy) < 0.1
    return where


def _devices(chest: Chest, contrast: float) -> np.ndarray:
    """Draws one to three devices: a pacemaker, a tracheal tube, a central line, or electrodes with their wires."""
    kinds = chest.rng.permutation(4)[: chest.rng.integers(1, 4)]
    layer = np.zeros(chest.shape, np.float32)
    for kind in kinds:
        layer = np.maximum(layer, _DEVICES[kind](chest))
    chest.extra += 0.55 * contrast * layer
    return layer > 0.3


def _pacemaker(chest: Chest) -> np.ndarray:
    side, rng = _outwards(_side(chest)), chest.rng
    x, y = side * rng.uniform(0.36, 0.5), rng.uniform(-0.5, -0.3)
    box = np.maximum(np.abs(chest.x - x) / 0.075, np.abs(chest.y - y) / 0.06) < 1.0
    lead = [(x, y), (side * 0.2, y - 0.12), (0.03, -0.3), (0.02, 0.0), (rng.uniform(0.0, 0.2), chest.base - 0.15)]
    return np.maximum(chest.lines([lead], 0.012), box.astype(np.float32))


def _tube(chest: Chest) -> np.ndarray:
    x, rng = chest.rng.normal(0.0, 0.015), chest.rng
    return chest.lines([[(x, -1.1), (x + rng.normal(0, 0.02), rng.uniform(-0.35, -0.15))]], 0.03, 0.8)


def _central_line(chest: Chest) -> np.ndarray:
    side, rng = _outwards(_side(chest)), chest.rng
    end = rng.uniform(-0.15, 0.1)
    return chest.lines(
        [[(side * 0.75, rng.uniform(-0.75, -0.4)), (side * 0.35, -0.55), (side * 0.08, -0.42), (-0.05, end)]], 0.018
    )


def _electrodes(chest: Chest) -> np.ndarray:
    rng, layer = chest.rng, np.zeros(chest.shape, np.float32)
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.55, 0.4)
        bend = (x + rng.normal(0, 0.2), y + rng.uniform(0.15, 0.4))
        layer = np.maximum(layer, chest.lines([[(x, y), bend, (rng.uniform(-0.7, 0.7), 1.1)]], 0.015))
        layer = np.maximum(layer, (np.hypot(chest.x - x, chest.y - y) < 0.035).astype(np.float32))
    return layer


def _pleura(chest: Chest, contrast: float) -> np.ndarray:
    """Draws irregular pleural thickening along the chest wall with calcified plaques."""
    side = _side(chest)
    sign, low = _outwards(side), chest.rng.uniform(-0.5, -0.2)
    stretch = np.clip((chest.y - low) / 0.06, 0, 1) * np.clip(
        (low + chest.rng.uniform(0.5, 0.8) - chest.y) / 0.06, 0, 1
    )
    depth = chest.outer - sign * chest.x
    band = np.clip((0.07 + 0.025 * chest.smooth_noise(0.09) - np.abs(depth - 0.04)) / 0.02, 0.0, 1.0) * stretch
    plaques = np.clip(2.0 * chest.smooth_noise(0.06), 0.0, 1.0) * band
    chest.extra += contrast * (0.2 * band + 0.32 * plaques) * (sign * chest.x > 0)
    return (band > 0.5) & (sign * chest.x > 0)


_DEVICES = (_pacemaker, _tube, _central_line, _electrodes)

_DRAW: dict[str, Draw] = {
    "Atelectasis": _atelectasis,
    "Cardiomegaly": _heart,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Enlarged Cardiomediastinum": _mediastinum,
    "Fracture": _fracture,
    "Lung Lesion": _lesion,
    "Lung Opacity": _haze,
    "Pleural Effusion": _effusion,
    "Pleural Other": _pleura,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Support Devices": _devices,
}
