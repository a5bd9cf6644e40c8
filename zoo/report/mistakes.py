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
        finding: Which finding.
        label: 1 or 0.
        probability: What the model gave.
        picture: The image, uint8 (h, w).
        overlay: uint8 (h, w, 3), the image under its heatmap; None where there is none.
    """

    image: str
    finding: str
    label: int
    probability: float
    picture: np.ndarray
    overlay: np.ndarray | None = None

    @property
    def facts(self) -> ErrorFacts:
        """What the result holds of it: without the pictures."""
        return ErrorFacts(self.image, self.finding, int(self.label), float(self.probability))


def data_uri(picture: np.ndarray) -> str:
    """A picture, uint8 (h, w) or (h, w, 3), made no larger than a page needs, as the source of an `<img>`."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
