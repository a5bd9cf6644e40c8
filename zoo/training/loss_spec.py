"""The loss of a recipe, as a frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from zoo.core.errors import RecipeError


@dataclass(frozen=True)
class LossSpec:
    """The loss, and how it weights the findings.

    Attributes:
        name: Registered name, such as "weighted_bce".
        weight_range: Limits to which each finding's negatives / positives are clipped; None for no weights.
        form: Whether weights apply to "both_terms" or "positive_only".
        smoothing: Label smoothing, in [0, 1).
        options: Further arguments of the loss, such as {"gamma": 2.0}.
    """

    name: str = "weighted_bce"
    weight_range: tuple[float, ...] | None = (0.5, 3.0)
    form: Literal["both_terms", "positive_only"] = "both_terms"
    smoothing: float = 0.0
    options: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.weight_range
        if limits is not None and (len(limits) != 2 or not 0 < limits[0] <= limits[1]):
            raise RecipeError(f"loss: weight_range must be two numbers, 0 < low <= high, or None, got {limits}")
        if not 0 <= self.smoothing < 1:
            raise RecipeError(f"loss: smoothing must be in [0, 1), got {self.smoothing}")
