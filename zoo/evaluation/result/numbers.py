"""A number of a result: its value, its interval, and how many labels it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from zoo.core.errors import UnknownNameError

#: The operating point of a model without a decision: every finding at 0.5.
HALF = "half"


class Measure(NamedTuple):
    """What was measured, such as the AUC, or F1 at an operating point.

    Attributes:
        name: Such as "auc", "brier" or "f1".
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
        """The measure that a file calls `text`."""
        name, _, point = text.partition("@")
        return cls(name, point)


class _Interval(Protocol):
    """What `Estimate.from_interval` reads: floats, NaN where undefined."""

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
    """A number with its confidence interval and what it rests on.

    Attributes:
        value: The number; None where it is undefined.
        low: Lower limit of the interval; None where there is none.
        high: Upper limit.
        n: Known labels.
        positives: Positives among them.

    >>> auc = Estimate(0.81, 0.74, 0.88, n=120, positives=31)
    >>> auc.includes(0.5), Estimate(None, None, None, 40, 0).includes(0.5)
    (False, True)
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    positives: int

    @classmethod
    def from_interval(cls, interval: _Interval) -> Estimate:
        """From floats, whose NaN becomes None."""
        return Estimate(
            finite(interval.value),
            finite(interval.low),
            finite(interval.high),
            int(interval.n),
            int(interval.positives),
        )

    def includes(self, value: float) -> bool:
        """Whether the interval includes `value`; True without an interval, which excludes nothing."""
        return self.low is None or self.high is None or self.low <= value <= self.high


@dataclass(frozen=True)
class Mean(Estimate):
    """An average over findings.

    Attributes:
        findings: How many findings have the measure, and so enter the average.
        of: How many findings there are.
    """

    findings: int
    of: int

    @classmethod
    def over(cls, estimate: Estimate, findings: int, of: int) -> Mean:
        """An estimate that is an average over `findings` of `of` findings."""
        return Mean(estimate.value, estimate.low, estimate.high, estimate.n, estimate.positives, findings, of)


@dataclass(frozen=True)
class Estimates:
    """The numbers of one finding, or their averages over findings, by what was measured.

    Attributes:
        by_measure: In the order of the file.

    >>> row = Estimates({Measure("auc"): Estimate(0.8, 0.7, 0.9, 90, 20)})
    >>> row.auc.value, row.find("f1", "half")
    (0.8, None)
    """

    by_measure: Mapping[Measure, Estimate]

    def find(self, name: str, point: str = "") -> Estimate | None:
        """The number, or None where it was not measured."""
        return self.by_measure.get(Measure(name, point))

    def get(self, name: str, point: str = "") -> Estimate:
        """The number.

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


@dataclass(frozen=True)
class Resampling:
    """How the intervals were found.

    Attributes:
        method: In words.
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the resamples.
        level: Confidence level.
    """

    method: str = "bootstrap over patients"
    resamples: int = 2000
    seed: int = 0
    level: float = 0.95


def finite(value: float) -> float | None:
    """A float, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None
