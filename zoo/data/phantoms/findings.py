"""The 14 findings as they are drawn on a phantom, each with the mask of where it lies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.data.phantoms.film import Film

Draw = Callable[[Film, float], np.ndarray]


def draw_finding(film: Film, finding: str, contrast: float) -> np.ndarray:
    """Draws one finding on `film` and returns where, bool (height, width).

    `contrast` scales densities: 1.0 is the phantoms' own. "Lung Opacity" draws haze of its own; where it only names
    another finding's shadow, the caller unites the masks instead. "No Finding" has nothing to draw.
    """
    return _DRAW[finding](film, contrast)


def _fill(film: Film, opacity: np.ndarray) -> np.ndarray:
    """Fills air with fluid or cells; returns where at least a fifth of it went."""
    film.air = film.air * (1.0 - np.clip(opacity, 0.0, 0.95))
    return opacity > 0.2


def _side(film: Film) -> int:
    return int(film.rng.integers(2))


def _outwards(side: int) -> int:
    return -1 if side == 0 else 1


def _blob(film: Film, centre: tuple[float, float], radius: float, ragged: float) -> np.ndarray:
    """A patch with a soft, irregular edge, 0 to 1."""
    stretch = film.rng.uniform(0.75, 1.3)
    away = np.hypot((film.x - centre[0]) * stretch, (film.y - centre[1]) / stretch) / radius
    return np.clip((1.0 + ragged * film.smooth_noise(0.12) - away) * 2.5, 0.0, 1.0)


def _heart(film: Film, contrast: float) -> np.ndarray:
    return film.heart > 0.5  # the film was made with a wide heart


def _mediastinum(film: Film, contrast: float) -> np.ndarray:
    return (film.mediastinum > 0.3) & (film.y < film.base - 0.3)  # the film was made with a wide one


def _consolidation(film: Film, contrast: float) -> np.ndarray:
    """A dense patch with air-filled bronchi branching through it."""
    x, y = film.point_in(film.air > 0.85)
    radius = film.rng.uniform(0.22, 0.32)
    patch = _blob(film, (x, y), radius, 0.15)
    bronchi, start = [], film.rng.uniform(0, 6.28)
    for k in range(5):
        angle = start + k * 1.25 + film.rng.normal(0, 0.2)
        knee = (x + 0.5 * radius * np.cos(angle), y + 0.5 * radius * np.sin(angle))
        bronchi.append([(x, y), knee, (knee[0] + radius * np.cos(angle + 0.4), knee[1] + radius * np.sin(angle + 0.4))])
    inside = patch * np.maximum(*film.lungs)
    where = _fill(film, 0.9 * contrast * inside)
    film.extra -= 0.25 * contrast * film.lines(bronchi, 0.045) * inside
    return where


def _pneumonia(film: Film, contrast: float) -> np.ndarray:
    """Many small fluffy spots that run together in one part of a lung."""
    centre = film.point_in(film.air > 0.85)
    region = _blob(film, centre, film.rng.uniform(0.32, 0.45), 0.1)
    spots = np.clip(1.6 * film.smooth_noise(0.085), -1.0, 1.0)
    where = _fill(film, contrast * region * (0.4 + 0.55 * spots) * np.maximum(*film.lungs))
    return where | ((region > 0.5) & (film.air > 0.3))


def _edema(film: Film, contrast: float) -> np.ndarray:
    """Fluid around both hila, and a net of thickened septa with short lines at the edges (Kerley)."""
    side = np.abs(film.x)
    centre = film.rng.uniform(0.18, 0.26)
    reach = np.exp(-(((side - centre) / 0.26) ** 2) - ((film.y - 0.02) / 0.42) ** 2)
    net = np.abs(film.smooth_noise(0.11))
    net = np.clip(1.0 - net / 0.45, 0.0, 1.0) - 0.3
    where = _fill(film, 0.22 * contrast * reach)
    film.texture = film.texture + 0.36 * contrast * np.sqrt(reach) * net
    kerley = []
    for s in (-1, 1):
        for k in range(6):
            y = film.base - 0.16 - 0.06 * k
            edge = 0.6 * film.habitus.width
            kerley.append([(s * (edge - 0.12), y), (s * edge, y + 0.01)])
    film.texture = film.texture + film.lines(kerley, 0.016, 0.2 * contrast)
    return where | ((reach > 0.4) & (film.air > 0.3))


def _effusion(film: Film, contrast: float) -> np.ndarray:
    """Fluid in the base of one lung or both, its surface rising towards the chest wall (meniscus)."""
    where = np.zeros(film.shape, bool)
    sides = (0, 1) if film.rng.random() < 0.35 else (_side(film),)
    for side in sides:
        level = film.base - film.rng.uniform(0.06, 0.3)
        rise = film.rng.uniform(0.15, 0.3) * np.clip(film.x * _outwards(side) / 0.6, 0, 1.3) ** 4
        if film.lateral:
            rise = 0.3 * np.clip(film.x / 0.5 + 0.2, 0, 1.2) ** 3
        fluid = np.clip((film.y - level + rise) / 0.03, 0.0, 1.0) * film.lungs[side]
        where |= _fill(film, 0.9 * min(contrast, 1.0) * fluid)
    return where


def _pneumothorax(film: Film, contrast: float) -> np.ndarray:
    """Air without vessels between the chest wall and the collapsed lung, whose edge is a thin white line."""
    side = _side(film)
    depth = film.rng.uniform(0.14, 0.28) * np.clip(0.9 - film.y, 0.4, 1.4)
    if film.lateral:
        edge = (film.y - film.top) - depth
    else:
        apex = np.clip(1.0 - (film.y - film.top) / 0.3, 0.0, 1.0)
        edge = film.outer - np.abs(film.x) - depth - 0.25 * apex
    wave = edge + 0.015 * film.smooth_noise(0.3)
    free = np.clip(-wave / 0.02, 0.0, 1.0) * film.lungs[side]
    film.texture = film.texture * (1.0 - free) - 0.14 * contrast * free
    film.extra += 0.22 * contrast * np.exp(-((wave / 0.016) ** 2)) * film.lungs[side]
    return free > 0.5


def _lesion(film: Film, contrast: float) -> np.ndarray:
    """Two to four round nodules with a sharp edge."""
    where = np.zeros(film.shape, bool)
    for _ in range(film.rng.integers(2, 5)):
        x, y = film.point_in(film.air > 0.85)
        away = np.hypot(film.x - x, film.y - y) / film.rng.uniform(0.08, 0.12)
        film.extra += 0.42 * contrast * np.clip((1.0 - away) * 3.0, 0.0, 1.0)
        where |= away < 1.0
    return where


def _atelectasis(film: Film, contrast: float) -> np.ndarray:
    """Two to four plates of collapsed lung: thick, nearly level lines in the lower half of a lung."""
    where = np.zeros(film.shape, bool)
    x, y = film.point_in(film.lungs[_side(film)] * (film.y > film.base - 0.5) > 0.8)
    tilt = film.rng.uniform(-0.35, 0.35)
    for k in range(film.rng.integers(2, 5)):
        length, dy = film.rng.uniform(0.18, 0.28), 0.1 * k
        plate = film.lines([[(x - length, y - dy - tilt * length), (x + length, y - dy + tilt * length)]], 0.042)
        plate *= np.maximum(*film.lungs)
        film.extra += 0.36 * contrast * plate
        where |= plate > 0.3
    return where


def _haze(film: Film, contrast: float) -> np.ndarray:
    """An opacity without a name: a large faint patch that hides the vessels."""
    patch = _blob(film, film.point_in(film.air > 0.85), film.rng.uniform(0.2, 0.3), 0.2)
    return _fill(film, 0.75 * contrast * patch * np.maximum(*film.lungs))


def _fracture(film: Film, contrast: float) -> np.ndarray:
    """Breaks of three to five ribs, one above the other: a dark gap, the ends apart, callus on both."""
    side, where = _outwards(_side(film)), np.zeros(film.shape, bool)
    x, y = side * film.rng.uniform(0.33, 0.52), film.rng.uniform(-0.4, 0.15)
    step = film.habitus.spacing
    for k in range(film.rng.integers(3, 6)):
        cx, cy = x + film.rng.normal(0, 0.015), y + k * step
        gap = film.lines([[(cx, cy - 0.04), (cx, cy + 0.04)]], 0.03)
        ends = [[(cx - 0.11, cy - 0.035), (cx - 0.02, cy - 0.025)], [(cx + 0.02, cy + 0.03), (cx + 0.11, cy + 0.045)]]
        film.extra += contrast * (film.lines(ends, 0.045, 0.4) - 0.22 * gap)
        where |= np.hypot(film.x - cx, film.y - cy) < 0.1
    return where


def _devices(film: Film, contrast: float) -> np.ndarray:
    """One to three of: a pacemaker, a tube in the trachea, a central line, electrodes with their wires."""
    kinds = film.rng.permutation(4)[: film.rng.integers(1, 4)]
    layer = np.zeros(film.shape, np.float32)
    for kind in kinds:
        layer = np.maximum(layer, _DEVICES[kind](film))
    film.extra += 0.55 * contrast * layer
    return layer > 0.3


def _pacemaker(film: Film) -> np.ndarray:
    side, rng = _outwards(_side(film)), film.rng
    x, y = side * rng.uniform(0.36, 0.5), rng.uniform(-0.5, -0.3)
    box = np.maximum(np.abs(film.x - x) / 0.075, np.abs(film.y - y) / 0.06) < 1.0
    lead = [(x, y), (side * 0.2, y - 0.12), (0.03, -0.3), (0.02, 0.0), (rng.uniform(0.0, 0.2), film.base - 0.15)]
    return np.maximum(film.lines([lead], 0.012), box.astype(np.float32))


def _tube(film: Film) -> np.ndarray:
    x, rng = film.rng.normal(0.0, 0.015), film.rng
    return film.lines([[(x, -1.1), (x + rng.normal(0, 0.02), rng.uniform(-0.35, -0.15))]], 0.03, 0.8)


def _central_line(film: Film) -> np.ndarray:
    side, rng = _outwards(_side(film)), film.rng
    end = rng.uniform(-0.15, 0.1)
    return film.lines(
        [[(side * 0.75, rng.uniform(-0.75, -0.4)), (side * 0.35, -0.55), (side * 0.08, -0.42), (-0.05, end)]], 0.018
    )


def _electrodes(film: Film) -> np.ndarray:
    rng, layer = film.rng, np.zeros(film.shape, np.float32)
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.55, 0.4)
        bend = (x + rng.normal(0, 0.2), y + rng.uniform(0.15, 0.4))
        layer = np.maximum(layer, film.lines([[(x, y), bend, (rng.uniform(-0.7, 0.7), 1.1)]], 0.015))
        layer = np.maximum(layer, (np.hypot(film.x - x, film.y - y) < 0.035).astype(np.float32))
    return layer


def _pleura(film: Film, contrast: float) -> np.ndarray:
    """Thick, knobbly pleura along the chest wall with calcified plaques."""
    side = _side(film)
    sign, low = _outwards(side), film.rng.uniform(-0.5, -0.2)
    stretch = np.clip((film.y - low) / 0.06, 0, 1) * np.clip((low + film.rng.uniform(0.5, 0.8) - film.y) / 0.06, 0, 1)
    depth = film.outer - sign * film.x
    band = np.clip((0.07 + 0.025 * film.smooth_noise(0.09) - np.abs(depth - 0.04)) / 0.02, 0.0, 1.0) * stretch
    plaques = np.clip(2.0 * film.smooth_noise(0.06), 0.0, 1.0) * band
    film.extra += contrast * (0.2 * band + 0.32 * plaques) * (sign * film.x > 0)
    return (band > 0.5) & (sign * film.x > 0)


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
