"""Which views of an image are averaged at prediction (test-time augmentation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from zoo.config.json_schema import Keywords
from zoo.core.errors import RecipeError

_Few = Keywords(maxItems=8)


@dataclass(frozen=True)
class TtaSpec:
    """Views of an image besides the image itself; their logits are averaged before calibration.

    Attributes:
        flip_left_right: Whether the mirrored image is a view. Only for networks that were trained on mirrored images.
        scales: Factors of enlargement about the centre, in 0.5..2 and other than 1; below 1 the edge is repeated.
        shifts: Shifts as fractions of the side, in (0, 0.25]; each gives four views: right, left, down and up, in whole
            pixels, with the edge repeated.

    Raises:
        RecipeError: A value is out of range, or there is no view besides the image itself.

    Example:
        >>> TtaSpec(flip_left_right=True, shifts=(0.02,)).count
        6
    """

    flip_left_right: bool = False
    scales: Annotated[tuple[float, ...], _Few] = ()
    shifts: Annotated[tuple[float, ...], _Few] = ()

    def __post_init__(self) -> None:
        if not all(0.5 <= s <= 2 and s != 1 for s in self.scales) or len(self.scales) > 8:
            raise RecipeError(f"tta.scales must be at most 8 numbers in 0.5..2 other than 1, got {self.scales}")
        if not all(0 < s <= 0.25 for s in self.shifts) or len(self.shifts) > 8:
            raise RecipeError(f"tta.shifts must be at most 8 numbers above 0, up to 0.25, got {self.shifts}")
        if self.count == 1:
            raise RecipeError("tta: no view besides the image itself; use None for no test-time augmentation")

    @property
    def count(self) -> int:
        """Number of views with the image itself: how many times as long a prediction takes."""
        return 1 + self.flip_left_right + len(self.scales) + 4 * len(self.shifts)

    def __str__(self) -> str:
        said = ["mirrored"] * self.flip_left_right
        said += [f"scale {s:g}" for s in self.scales] + [f"shift {100 * s:g} % (4 ways)" for s in self.shifts]
        return f"{self.count} views: the image, {', '.join(said)}"
