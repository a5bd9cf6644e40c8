"""The most confident errors of a model, with heatmaps."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from zoo.evaluation.result.checks import ErrorFacts

#: Longest side of a picture in the report, in pixels.
_SIDE = 512


@dataclass(frozen=True, eq=False)
class Mistake:
    """A confident error: one image, one finding.

    Attributes:
        image: Name of the image.
        finding: Name of the finding.
        label: The true label, 1 or 0.
        probability: The model's probability.
        picture: The image, uint8 (h, w).
        overlay: The image with a heatmap over it, uint8 (h, w, 3), or None.

    >>> Mistake("1.png", "Edema", 0, 0.97, np.zeros((8, 8), np.uint8)).facts.probability
    0.97
    """

    image: str
    finding: str
    label: int
    probability: float
    picture: np.ndarray
    overlay: np.ndarray | None = None

    @property
    def facts(self) -> ErrorFacts:
        """The error without its images, as the result stores it."""
        return ErrorFacts(self.image, self.finding, int(self.label), float(self.probability))


def data_uri(picture: np.ndarray, side: int = _SIDE) -> str:
    """Encodes an image, uint8 (h, w) or (h, w, 3), as a JPEG for an `<img>`; its longest side is at most `side` pixels.

    >>> data_uri(np.zeros((8, 8), np.uint8))[:23]
    'data:image/jpeg;base64,'
    """
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
