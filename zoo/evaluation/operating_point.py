"""A threshold for each finding, what it reached, and what it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_COUNT, MAX_FINDINGS
from zoo.core.errors import ReleaseError
from zoo.labels.parts import part_of

_Each = Keywords(maxItems=MAX_FINDINGS)
_Counts = Annotated[tuple[Annotated[int, Keywords(minimum=0, maximum=MAX_COUNT)], ...], _Each]
_Share = Annotated[float | None, Keywords(minimum=0, maximum=1)]
_Figures = Annotated[tuple[Annotated[float | None, Keywords(minimum=-1, maximum=1)], ...], _Each]


@dataclass(frozen=True)
class Origin:
    """What fitted numbers were fitted on, and how.

    Attributes:
        recipe: How they were fitted, such as "max_f1" or "sensitivity_at_least".
        split: The part of the data they were fitted on; "none" if they were not fitted.
        split_hash: Hash of the split's manifest.
        n: Number of known labels of each finding.
        positives: Number of positive labels of each finding.
        target: The value that the recipe was asked to reach, or None.
        date: ISO date of the fit.
        notes: Remarks on the fit, one sentence each.

    >>> Origin("max_f1", "tune").split  # the name of the validation part in older files
    'validation'
    """

    recipe: str
    split: str = "none"
    split_hash: str = ""
    n: _Counts = ()
    positives: _Counts = ()
    target: _Share = None
    date: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Older files say "tune" for the validation part.
        object.__setattr__(self, "split", part_of(self.split) or self.split)


@dataclass(frozen=True)
class Reached:
    """One measure of an operating point's thresholds: one entry for each finding, None where it is undefined.

    Attributes:
        value: The measure.
        low: Lower limit of its 95 % interval, clustered by patient.
        high: Upper limit.
        n: Number of images in the denominator: the positives (sensitivity), the negatives (specificity), the images
            called positive (ppv), or all known labels (f1, youden).

    >>> Reached((0.9,), (0.8,), (0.95,), (60,)).value
    (0.9,)
    """

    value: _Figures
    low: _Figures
    high: _Figures
    n: _Counts


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for each finding, on calibrated probabilities.

    Attributes:
        thresholds: A probability at or above the threshold is a positive call; None where none could be fitted.
        origin: What the thresholds were fitted on, and how.
        achieved: The value of the recipe's own measure at each threshold, on the part it was fitted on.
        reached: "sensitivity", "specificity", "ppv" and the recipe's own measure ("f1" or "youden") on that part, with
            intervals. These values are optimistic, since the thresholds were chosen on the same images; the test part
            gives unbiased ones.
        prevalence: Prevalence of each finding for which PPV and F1 hold: that of the part, or the target prevalence. ()
            if it was not recorded.

    >>> OperatingPoint((0.3, None), Origin("max_f1", "validation")).thresholds
    (0.3, None)
    """

    thresholds: Annotated[tuple[_Share, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)]
    origin: Origin
    achieved: _Figures = ()
    reached: dict[str, Reached] = field(default_factory=dict)
    prevalence: Annotated[tuple[_Share, ...], _Each] = ()

    def check(self, name: str, findings: Sequence[str]) -> None:
        """Raises `ReleaseError` unless this point, which is called `name`, fits a model with these findings."""
        k = len(findings)
        if len(self.thresholds) != k:
            raise ReleaseError(
                f"decision: operating point {name!r} must have {k} thresholds, got {len(self.thresholds)}"
            )
        facts = [self.prevalence, *(v for r in self.reached.values() for v in (r.value, r.low, r.high, r.n))]
        if any(len(values) not in (0, k) for values in facts):
            raise ReleaseError(f"decision: operating point {name!r} must have {k} entries in all it reached")
        for measure, found in self.reached.items():
            lowest = min((v for v in (*found.value, *found.low, *found.high) if v is not None), default=0.0)
            if lowest < 0 and measure != "youden":  # the only one that may be negative
                raise ReleaseError(f"decision: {measure!r} reached at {name!r} must be in 0..1, got {lowest}")
        for finding, threshold in zip(findings, self.thresholds, strict=True):
            # A NaN fails both comparisons.
            if threshold is not None and not 0.0 <= threshold <= 1.0:
                raise ReleaseError(
                    f"decision: threshold of {finding!r} at {name!r} must be in 0..1 or null, got {threshold}"
                )
