"""A number of a result, with its confidence interval and the number of labels behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Protocol

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_COUNT
from zoo.core.errors import UnknownNameError

#: Number of labels, images or findings.
Count = Annotated[int, Keywords(minimum=0, maximum=MAX_COUNT)]

#: The measures of an operating point.
AT_A_POINT = ("f1", "sensitivity", "specificity", "ppv", "npv", "accuracy")

#: Operating point of a model without a decision: threshold 0.5 for every finding.
HALF = "half"


class Measure(NamedTuple):
    """A measure, such as the AUC, or F1 at an operating point.

    Attributes:
        name: Name, such as "auc", "brier" or "f1".
        point: Operating point; "" for a measure that needs no threshold.

    >>> Measure("f1", "max_f1")
    Measure(name='f1', point='max_f1')
    >>> str(Measure("f1", "max_f1")), Measure.parse("auc") == Measure("auc")
    ('f1@max_f1', True)
    """

    name: str
    point: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.point}" if self.point else self.name

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Parses the name of a measure in a file, such as "f1@max_f1"."""
        name, _, point = text.partition("@")
        return cls(name, point)


class _Interval(Protocol):
    """Attributes that `Estimate.from_interval` reads: floats, NaN if undefined."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def positives(self) -> int: ...


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval and sample size.

    Attributes:
        value: The number; None if undefined.
        low: Lower limit of the interval; None if there is none.
        high: Upper limit of the interval; None if there is none.
        n: Number of known labels.
        positives: Number of positive labels.

    >>> auc = Estimate(0.81, 0.74, 0.88, n=120, positives=31)
    >>> auc.includes(0.5), auc.excludes(0.5)
    (False, True)
    >>> alone = Estimate(1.0, None, None, n=3, positives=1)
    >>> alone.has_interval, alone.includes(0.5), alone.excludes(0.5)
    (False, False, False)
    """

    value: float | None
    low: float | None
    high: float | None
    n: Count
    positives: Count

    #: What a file may hold in place of this object; set below.
    OR: ClassVar[type | None] = None

    @classmethod
    def from_interval(cls, interval: _Interval) -> Estimate:
        """Makes an estimate from floats; NaN becomes None."""
        return Estimate(
            finite(interval.value),
            finite(interval.low),
            finite(interval.high),
            int(interval.n),
            int(interval.positives),
        )

    def includes(self, value: float) -> bool:
        """Whether there is an interval, and it includes `value`."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def excludes(self, value: float) -> bool:
        """Whether there is an interval, and it does not include `value`."""
        return self.has_interval and not self.includes(value)

    @property
    def may_be_zero(self) -> bool:
        """Whether the interval begins at 0, so that it is told as "at most" its upper limit.

        >>> Estimate(0.012, 0.0, 0.031, n=120, positives=31).may_be_zero  # a calibration error
        True
        """
        return self.low == 0 and self.high is not None

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval; without one nothing can be told of the difference from another value."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Mean(Estimate):
    """An average over findings.

    Attributes:
        findings: Number of findings that have the measure and are averaged.
        of: Number of all findings.
    """

    findings: Count
    of: Annotated[int, Keywords(minimum=1)]

    @classmethod
    def over(cls, estimate: Estimate, findings: int, of: int) -> Mean:
        """Makes an average over `findings` of `of` findings from an estimate."""
        return Mean(estimate.value, estimate.low, estimate.high, estimate.n, estimate.positives, findings, of)


Estimate.OR = Mean


@dataclass(frozen=True)
class Estimates:
    """Numbers of one finding, or their averages over findings, by measure.

    Attributes:
        by_measure: Measure -> its number, in the order of the file.

    >>> row = Estimates({Measure("auc"): Estimate(0.8, 0.7, 0.9, 90, 20)})
    >>> row.auc.value, row.find("f1", "half")
    (0.8, None)
    """

    by_measure: Mapping[Measure, Estimate]

    #: What files hold in place of an object with the field above.
    WRITTEN_AS: ClassVar = Mapping[Measure, Estimate]

    def find(self, name: str, point: str = "") -> Estimate | None:
        """Returns the number of a measure, or None if it was not measured."""
        return self.by_measure.get(Measure(name, point))

    def get(self, name: str, point: str = "") -> Estimate:
        """Returns the number of a measure.

        Raises:
            UnknownNameError: It was not measured.
        """
        found = self.find(name, point)
        if found is None:
            raise UnknownNameError("measure", str(Measure(name, point)), map(str, self.by_measure))
        return found

    @property
    def auc(self) -> Estimate:
        """The area under the ROC curve."""
        return self.get("auc")

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.by_measure)


#: Methods of intervals: percentiles of resamples, as in older files, or the one that suits each measure
#: (docs/concepts/intervals.md).
PERCENTILES, BY_MEASURE = "bootstrap over patients", "by measure, clustered by patient"


@dataclass(frozen=True)
class Resampling:
    """Method and settings of the confidence intervals.

    Attributes:
        method: Description of the method.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        level: Confidence level.
    """

    method: str = BY_MEASURE
    resamples: Count = 2000
    seed: int = 0
    level: Annotated[float, Keywords(exclusiveMinimum=0, exclusiveMaximum=1)] = 0.95


def finite(value: float) -> float | None:
    """Returns a float, or None for NaN and infinity.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None
