"""How a table is to be split, and whether it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from zoo.core.errors import SplitError
from zoo.core.seeds import check_seed
from zoo.labels.parts import PARTS


@dataclass(frozen=True)
class SplitSpec:
    """How to split a table.

    Attributes:
        by: "patient" keeps all images of a patient in one part. "image" does not and causes data leakage; it is there
            to reproduce the original solution.
        fractions: Shares of training, validation and test images, or () for the defaults: 0.7, 0.1 and 0.2 by patient;
            0.8, 0.1 and 0.1 by image (the original's training part, and its validation part halved).
        seed: Seed of the random assignment.

    Raises:
        SplitError: `by` is neither "patient" nor "image", or the fractions are not above 0 with sum 1.

    Example:
        >>> SplitSpec(by="image").shares
        (0.8, 0.1, 0.1)
    """

    by: Literal["patient", "image"] = "patient"
    fractions: tuple[float, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.by not in ("patient", "image"):
            raise SplitError(f"split by 'patient' or 'image', got {self.by!r}")
        shares = self.shares
        if len(shares) != len(PARTS) or not min(shares) > 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            raise SplitError(f"fractions must be shares of {', '.join(PARTS)} above 0, with sum 1, got {shares}")

    @property
    def shares(self) -> tuple[float, ...]:
        """The fractions in effect: the given ones, or the defaults of `by`."""
        return self.fractions or {"patient": (0.7, 0.1, 0.2), "image": (0.8, 0.1, 0.1)}[self.by]


def check_patients(table: pd.DataFrame, spec: SplitSpec) -> None:
    """Raises if a table cannot be split as wanted because it names no patient; costs nothing, so it is asked early.

    Raises:
        SplitError: A split by patient, and no row names one; the message says what to do.
    """
    if spec.by == "patient" and table["Patient_ID"].isna().all():
        raise SplitError(
            f"a split by patient needs Patient_ID: none of {len(table)} rows has one; add it, name its column "
            "(--patient-column NAME), or split by image, so that images of one person may be in several parts "
            "(--set split.by=image; by='image' in Python; --split-by image for zoo data)"
        )
