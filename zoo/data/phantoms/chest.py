"""The chest of a phantom: a patient's anatomy, and its drawing in frontal or lateral view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

#: Width of an image divided by its height.
ASPECT = 13 / 16


@dataclass(frozen=True)
class Habitus:
    """Anatomy that is the same in every image of a patient.

    Lengths are in units of half the image height, densities in units of the full grey range.

    Attributes:
        width: Horizontal scale of the rib cage.
        height: Vertical scale of the lungs.
        heart: Half the width of the heart.
        spacing: Distance between two ribs.
        slope: Slope of the posterior ribs.
        bone: Density of bone; decreases with age.
        fat: Density of soft tissue over the lungs.
        breast: Density of the breast shadows, 0 in men.
        knob: Density of the aortic knob; increases with age.
    """

    width: float
    height: float
    heart: float
    spacing: float
    slope: float
    bone: float
    fat: float
    breast: float
    knob: float

    @classmethod
    def draw(cls, rng: np.random.Generator, sex: str | float, age: float) -> Habitus:
        """Draws a random patient of this sex ("F", "M" or NaN) and age in years (NaN: 60)."""
        years = 60.0 if np.isnan(age) else float(age)
        female = sex == "F" if isinstance(sex, str) else rng.random() < 0.5
        return cls(
            width=rng.normal(0.95 if female else 1.0, 0.05),
            height=rng.normal(0.97 if female else 1.0, 0.06),
            heart=rng.normal(0.235 + 0.0004 * (years - 60.0), 0.018),
            spacing=rng.uniform(0.115, 0.135),
            slope=rng.uniform(0.2, 0.45),
            bone=max(0.05, rng.normal(0.11 - 0.0005 * (years - 50.0), 0.015)),
            fat=rng.uniform(0.0, 0.1),
            breast=rng.uniform(0.04, 0.12) if female else 0.0,
            knob=0.04 + 0.002 * max(0.0, years - 30.0),
        )


class Chest:
    """The drawing of one chest, in layers that findings change before they are combined into an image.

    Patient coordinates have x to the right of the image (the patient's left) and y downwards, both in units of half
    the image height, with the origin in the middle of the chest. All layers are float32 (height, width).

    Attributes:
        x, y: Patient coordinates of each pixel.
        lungs: Air in the right and the left lung, 0 to 1 (the same lung field twice in a lateral view).
        air: Air that findings have left, 0 to 1.
        texture: Vessels, visible where there is air.
        bone, extra: Densities of bones, and of everything that lies over them.
        heart, mediastinum: Their shapes, 0 to 1.
        outer: Distance of the chest wall from the midline at each pixel's height.
        dome: Height of the diaphragm at each pixel's x.
        top, base: Upper and lower end of the lungs, in y.
        lateral: Whether this is a lateral view.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        habitus: Habitus,
        size: int,
        view: str,
        heart_scale: float = 1.0,
        mediastinum_scale: float = 1.0,
    ) -> None:
        self.rng, self.habitus, self.lateral = rng, habitus, view == "Lateral"
        self.shape = (size, round(size * ASPECT))
        self._place(rng)
        magnified = 1.08 if view == "AP" else 1.0
        self.heart_radius = habitus.heart * heart_scale * magnified
        self.mediastinum_radius = rng.uniform(0.085, 0.11) * mediastinum_scale * magnified
        self.base = rng.uniform(0.36, 0.5) * habitus.height
        self.top = -0.7 * habitus.height
        self.extra = np.zeros(self.shape, np.float32)
        side = np.abs(self.x)
        self.body = _soft(0.74 * habitus.width - side) * _soft(self.y + 0.78 - 0.2 * side)
        np.maximum(self.body, _soft(0.2 - side), out=self.body)
        self.lungs = self._lateral_lungs() if self.lateral else self._frontal_lungs()
        self.heart, self.mediastinum = self._centre()
        self.bone = self._bones()
        self.air = np.maximum(*self.lungs)
        self.texture = self._vessels()

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        """Converts patient coordinates to column and row."""
        column, row = self._matrix @ np.array([x, y]) + self._shift
        half = self.shape[0] / 2
        return column * half + self.shape[1] / 2, row * half + half

    def smooth_noise(self, cell: float) -> np.ndarray:
        """Noise of mean 0 and standard deviation about 1, with grains of size `cell` in patient coordinates."""
        rows = max(2, round(2 / cell))
        coarse = self.rng.standard_normal((rows, max(2, round(rows * ASPECT))), dtype=np.float32)
        return 1.4 * np.asarray(Image.fromarray(coarse).resize(self.shape[::-1], Image.Resampling.BICUBIC))

    def lines(self, paths: list[list[tuple[float, float]]], width: float, density: float = 1.0) -> np.ndarray:
        """A layer with polylines; their points and `width` are in patient coordinates."""
        layer = Image.new("L", self.shape[::-1])
        pen, thick = ImageDraw.Draw(layer), max(1, round(width * self.shape[0] / 2))
        for path in paths:
            pen.line([self.pixels(*p) for p in path], fill=255, width=thick, joint="curve")
        return np.asarray(layer, np.float32) * np.float32(density / 255)

    def point_in(self, where: np.ndarray) -> tuple[float, float]:
        """Patient coordinates of a random pixel in the mask `where`; the middle of the chest if it is empty."""
        places = np.flatnonzero(where)
        if not places.size:
            return 0.0, 0.0
        place = int(places[self.rng.integers(places.size)])
        return float(self.x.flat[place]), float(self.y.flat[place])

    def develop(self) -> np.ndarray:
        """Combines the layers into an image with random exposure and noise, uint8 (height, width)."""
        rng = self.rng
        density = 0.5 * self.body + 0.09 * self.habitus.fat - 0.31 * self.air + self.air * self.texture
        density += self.bone + self.extra + 0.02 * self.smooth_noise(0.35)
        density = np.maximum(density, 0.35 * self.extra)
        low, high = rng.uniform(0.0, 0.08), rng.uniform(0.75, 1.0)
        grey = np.clip((density - low) / (high - low), 0.0, 1.0) ** np.float32(rng.uniform(0.75, 1.3))
        grey *= np.float32(rng.uniform(215, 255))
        exposed = Image.fromarray(grey).resize(self.shape[::-1])
        noise = rng.standard_normal(self.shape, dtype=np.float32) * np.float32(rng.uniform(2.0, 6.0))
        return np.clip(np.asarray(exposed) + noise + 0.5, 0, 255).astype(np.uint8)

    def _place(self, rng: np.random.Generator) -> None:
        """Draws the patient's position: a random rotation, shift and magnification."""
        angle, zoom = rng.normal(0.0, 0.05), rng.uniform(1.0, 1.3)
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        self._matrix = np.array([[cos, -sin], [sin, cos]])
        self._shift = np.array([rng.normal(0.0, 0.05), rng.normal(0.12, 0.06)])
        rows, columns = self.shape
        u = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) * np.float32(2 / rows) - np.float32(
            self._shift[0]
        )
        v = (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(2 / rows) - np.float32(1 + self._shift[1])
        inverse = np.linalg.inv(self._matrix).astype(np.float32)
        self.x = inverse[0, 0] * u[None, :] + inverse[0, 1] * v[:, None]
        self.y = inverse[1, 0] * u[None, :] + inverse[1, 1] * v[:, None]

    def _frontal_lungs(self) -> tuple[np.ndarray, np.ndarray]:
        side = np.abs(self.x)
        depth = np.clip((self.y - self.top) / (self.base - self.top), 0.0, 1.0)
        self.outer = 0.62 * self.habitus.width * np.sqrt(1.0 - (1.0 - depth) ** 2.6)
        self.dome = self.base - self.rng.uniform(0.09, 0.14) * (1.0 - ((side - 0.3) / 0.33) ** 2)
        self.dome -= np.where(self.x < 0, 0.03, 0.0).astype(np.float32)  # the liver lifts the right dome
        field = _soft(self.outer - side) * _soft(self.dome - self.y) * _soft(side - 0.06)
        return field * (self.x < 0), field * (self.x >= 0)

    def _lateral_lungs(self) -> tuple[np.ndarray, np.ndarray]:
        depth = np.clip((self.y - self.top) / (self.base - self.top), 0.0, 1.0)
        self.outer = 0.5 * self.habitus.width * np.sqrt(1.0 - (1.0 - depth) ** 2.6)
        self.dome = self.base + 0.3 * (self.x + 0.1) - 0.1 * np.cos(4.0 * self.x)
        field = _soft(self.outer - np.abs(self.x)) * _soft(self.dome - self.y)
        return field, field

    def _centre(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws heart and mediastinum, 0 to 1, and removes their area from the lungs."""
        r = self.heart_radius
        middle = -0.16 if self.lateral else 0.1 + 0.5 * (r - 0.235)
        floor = self.base - 0.22
        turned = (self.x - middle) * 0.94 + (self.y - floor) * 0.34
        heart = _soft(
            r * (1 - np.hypot(turned / r, ((self.y - floor) * 0.94 - (self.x - middle) * 0.2) / (0.25 + 0.35 * r)))
        )
        half = self.mediastinum_radius * (1.0 + 0.25 * np.sin(9.0 * self.y + self.rng.uniform(0, 6)))
        mediastinum = _soft(half - np.abs(self.x - 0.01)) * _soft(self.base - self.y)
        if self.lateral:
            mediastinum *= 0.35
        for field in self.lungs:
            field *= 1.0 - 0.95 * np.maximum(heart, mediastinum)
        self.extra += 0.09 * heart * _soft(self.dome + 0.05 - self.y)
        if not self.lateral:
            knob = np.hypot(self.x - 0.5 * self.mediastinum_radius - 0.04, self.y + 0.3)
            self.extra += np.float32(self.habitus.knob) * _soft(0.08 - knob)
        return heart, mediastinum

    def _bones(self) -> np.ndarray:
        side, bone, build = np.abs(self.x), np.float32(self.habitus.bone), self.habitus
        inside = _soft(self.outer + 0.05 - side) * _soft(self.base + 0.1 - self.y)
        if self.lateral:
            inside *= 0.7
            spine = np.abs(self.x - 0.36 + 0.12 * self.y**2)
            slant = self.y - 0.5 * self.x
        else:
            spine = side
            slant = self.y - build.slope * side + 0.25 * side**2
        phase = np.mod(slant / np.float32(build.spacing) + np.float32(self.rng.random()), 1.0)
        ribs = np.exp(-(((phase - 0.5) / 0.17) ** 2))
        front = np.mod((self.y + 0.7 * side) / np.float32(build.spacing * 1.15), 1.0)
        ribs += 0.35 * np.exp(-(((front - 0.5) / 0.2) ** 2)) * (side > 0.25)
        vertebrae = _soft(0.06 - spine) * (1.0 + 0.3 * np.sin(self.y * (6.28 / 0.12)))
        layer = bone * (0.62 * ribs * inside + 0.9 * vertebrae)
        if self.lateral:
            return layer
        lift = self.rng.uniform(-0.1, 0.05)
        clavicles = [[(s * 0.06, -0.5), (s * 0.3, -0.56 + lift / 2), (s * 0.62, -0.62 + lift)] for s in (-1, 1)]
        return layer + self.lines(clavicles, 0.035, 0.8 * float(bone))

    def _vessels(self) -> np.ndarray:
        """Draws the vessels that branch from the hila, and adds the breast shadows."""
        rng, paths = self.rng, []
        for side in (-1, 1):
            for _ in range(9):
                angle, x, y = rng.uniform(-1.5, 1.5), side * 0.14, -0.03 + rng.normal(0, 0.05)
                path = [(x, y)]
                for _ in range(4):
                    angle += rng.normal(0.0, 0.25)
                    x, y = x + side * 0.1 * np.cos(angle), y + 0.12 * np.sin(angle)
                    path.append((x, y))
                paths.append(path)
        if self.habitus.breast and not self.lateral:
            for side in (-1, 1):
                near = np.hypot((self.x - side * 0.34) / 0.27, (self.y - 0.25) / 0.24)
                self.extra += np.float32(self.habitus.breast) * _soft(0.25 * (1.0 - near))
        hilum = np.exp(-(((np.abs(self.x) - 0.15) / 0.09) ** 2) - ((self.y + 0.02) / 0.14) ** 2)
        return self.lines(paths, 0.012, 0.07) + 0.1 * hilum + 0.012 * self.smooth_noise(0.05)


def _soft(distance: np.ndarray) -> np.ndarray:
    """1 where `distance` is above 0 and 0 elsewhere, with a soft edge of 0.03."""
    return np.clip(distance * np.float32(1 / 0.03) + np.float32(0.5), 0.0, 1.0)
