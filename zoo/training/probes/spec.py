"""What determines the heads that `zoo probe` fits, saved in the release's provenance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from zoo.config.specs import override
from zoo.core.errors import RecipeError
from zoo.core.seeds import check_seed
from zoo.data.splits import SplitSpec

#: Predictions out of fold for every image of the table, in the run folder; absent without cross-validation.
OUT_OF_FOLD = "out_of_fold.csv"


@dataclass(frozen=True)
class ProbeSpec:
    """How linear heads are fitted on frozen features.

    Attributes:
        folds: Folds by patient of each cross-validation: the choice of the penalty, the AUC over all images, and the
            learning curve.
        balanced: Whether both classes of a finding get the same total weight. The calibration undoes the shift of the
            probabilities that this brings.
        split: How the table is split into training, validation and test parts.
        seed: Seed of folds, subsets and bootstrap.

    Raises:
        RecipeError: There are fewer than two folds.

    Example:
        >>> ProbeSpec(folds=10).split.by
        'patient'
    """

    folds: int = 5
    balanced: bool = False
    split: SplitSpec = field(default_factory=SplitSpec)
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.folds < 2:
            raise RecipeError(f"folds must be 2 or more, got {self.folds}")


def with_overrides(spec: ProbeSpec, overrides: Iterable[str]) -> ProbeSpec:
    """Returns a copy with some fields changed.

    Args:
        spec: The specification.
        overrides: Changes in the form "path=value".

    Raises:
        RecipeError: No "=", no such field, or a value of the wrong type or range; the message names the field.

    Example:
        >>> with_overrides(ProbeSpec(), ["split.by=image"]).split.shares
        (0.8, 0.1, 0.1)
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"override {text!r}: expected path=value, such as split.by=image")
        spec = override(spec, path.strip(), value.strip())
    return spec
