"""Have scores, calls, quality or features of images changed? Two periods compared, with one rate of false alarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from zoo.core.counting import counted, listed
from zoo.core.errors import EvaluationError, UsageError
from zoo.evaluation.period import Period, Unit
from zoo.evaluation.statistics import distances, permutation

Measure = Literal["KS", "PSI", "h", "MMD"]

#: With fewer independent images on either side nothing is compared, and nothing of which fewer are known.
LEAST = 20

#: Random divisions, and how many of them are beyond the limit at least: the fewer, the lower the power.
_DIVISIONS, _TAIL = 499, 20

#: Named in a note.
_NAMED = 6


@dataclass(frozen=True)
class Change:
    """One distance between the reference and the new images.

    Attributes:
        about: "scores", "calls", "quality" or "features".
        name: The finding, the fact of the images, or the member.
        measure: "KS" (Kolmogorov-Smirnov distance), "PSI" (population stability index), "h" (Cohen's h of two shares)
            or "MMD" (maximum mean discrepancy).
        distance: Its value.
        usual: Its mean where images are divided at random: what chance alone gives.
        limit: There is an alarm above this value; None if it cannot be reached, since nothing varies.
        p: The p value, adjusted for all distances of the comparison.
        n: Number of compared images of the reference whose value is known.
        n_new: Number of compared new images whose value is known.
        reference: Share of ones in the reference ("h"), or median score ("KS"); None for others.
        new: The same of the new images.
    """

    about: Literal["scores", "calls", "quality", "features"]
    name: str
    measure: Measure
    distance: float
    usual: float
    limit: float | None
    p: float
    n: int
    n_new: int
    reference: float | None = None
    new: float | None = None


@dataclass(frozen=True)
class Side:
    """What is compared of one side.

    Attributes:
        name: What its images are called.
        images: Number of its rows.
        units: Number of its patients, studies or images, as `unit` says.
        unit: What one image was drawn from.
        compared: Number of independent images that are compared.
    """

    name: str
    images: int
    units: int
    unit: Unit
    compared: int


@dataclass(frozen=True)
class Drift:
    """The result of a comparison.

    Attributes:
        reference: The reference side.
        new: The new side.
        alpha: Rate of false alarms, of all distances together.
        divisions: Number of random divisions.
        seed: Seed of the draws and the divisions.
        changes: All distances.
        notes: What was assumed or left out, a sentence each.
    """

    reference: Side
    new: Side
    alpha: float
    divisions: int
    seed: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Change, ...]:
        """The distances that are an alarm, the surest first."""
        return tuple(sorted((c for c in self.changes if c.p <= self.alpha), key=lambda c: c.p))


def compare(
    reference: Period,
    new: Period,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    images: tuple[int, int] | None = None,
    units: tuple[int, int] | None = None,
    notes: Sequence[str] = (),
) -> Drift:
    """Compares two periods whose rows are independent, as `independent` draws them.

    Args:
        reference: Images of the reference.
        new: The new images, with the same findings, facts and members.
        alpha: Rate of false alarms, of all distances together, from 0.001 to 0.5.
        seed: Of the divisions.
        images: Numbers of images of both sides before rows were drawn, for the result.
        units: Numbers of their units.
        notes: Sentences for the result.

    Raises:
        EvaluationError: The periods have no finding, fact or member in common of which both know `LEAST` rows, or one
            has fewer rows.
        UsageError: `alpha` is out of range.

    >>> rng = np.random.default_rng(0)
    >>> old = Period("old", np.arange(300), findings=("Edema",), scores=rng.normal(size=(300, 1)))
    >>> later = Period("later", np.arange(100), findings=("Edema",), scores=rng.normal(1, size=(100, 1)))
    >>> found = compare(old, later)
    >>> [(change.measure, change.p) for change in found.alarms]
    [('KS', 0.002), ('PSI', 0.002)]
    """
    if not 0.001 <= alpha <= 0.5:
        raise UsageError(f"alpha is a rate of false alarms from 0.001 to 0.5, got {alpha!r}")
    for period in (reference, new):
        if len(period) < LEAST:
            raise EvaluationError(
                f"{period.name}: {counted(len(period), 'independent image')}, and a comparison needs {LEAST} or more: "
                "wait for more images or take a longer period"
            )
    both = _columns(reference, new)
    columns = [column for column in both if min(column.counts) >= LEAST]
    if not columns:
        raise EvaluationError(
            f"{reference.name} and {new.name} have nothing in common that can be compared: of {len(both)} findings, "
            f"facts and members none is known for {LEAST} images on both sides"
        )
    count = max(_DIVISIONS, int(np.ceil(_TAIL / alpha)) - 1)
    blocks = permutation.orders(len(reference) + len(new), count, seed)
    found = np.concatenate([np.concatenate([column.distances(block) for column in columns]) for block in blocks], 1)
    tested = permutation.largest(found, alpha)
    named = [(column, measure) for column in columns for measure in column.measures]
    changes = tuple(column.change(measure, float(found[i, 0]), tested, i) for i, (column, measure) in enumerate(named))
    all_images, all_units = images or (len(reference), len(new)), units or (len(reference), len(new))
    before, after = (
        Side(period.name, total, known, period.unit, len(period))
        for period, total, known in zip((reference, new), all_images, all_units, strict=True)
    )
    return Drift(before, after, alpha, count, seed, changes, (*notes, *_left_out(both)))


def _left_out(columns: Sequence[_Column]) -> Iterator[str]:
    """What has too few known values, in a sentence."""
    few = [f"{c.name} ({c.about}, {c.counts[0]:,} and {c.counts[1]:,})" for c in columns if min(c.counts) < LEAST]
    if few:
        yield f"not compared, since fewer than {LEAST} values of a side are known: {listed(few, _NAMED)}"


@dataclass(frozen=True, eq=False)
class _Column:
    """Values of both sides, of which one or two distances are taken.

    Attributes:
        about: See `Change`.
        name: See `Change`.
        values: (n, ...) of both sides, the reference first.
        known: bool (n,).
        first: Number of rows of the reference.
    """

    about: Literal["scores", "calls", "quality", "features"]
    name: str
    values: np.ndarray
    known: np.ndarray
    first: int

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The distances that are taken."""
        if self.about == "scores":
            return "KS", "PSI"
        return ("MMD",) if self.about == "features" else ("h",)

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of known values of both sides."""
        return int(self.known[: self.first].sum()), int(self.known[self.first :].sum())

    @cached_property
    def kernel(self) -> np.ndarray:
        """Similarity of the known rows of features."""
        return distances.gaussian_kernel(self.values[self.known])

    def distances(self, order: np.ndarray) -> np.ndarray:
        """Returns (measures, b) for divisions by orders (n, b): the last known rows are new, as many as are given.

        Were the last rows of all new, fewer of them might be known than in the given division, and chance be larger.
        """
        places, first = order[self.known], self.counts[0]
        new = places >= (first if self.known.all() else np.partition(places, first, axis=0)[first])
        if self.about == "scores":
            return np.stack(distances.of_distributions(self.values[self.known], new))
        if self.about == "features":
            return distances.of_kernel(self.kernel, new)[None]
        return distances.of_shares(self.values[self.known], new)[None]

    def change(self, measure: Measure, distance: float, tested: permutation.Adjusted, i: int) -> Change:
        """The i-th distance as a result."""
        limit = float(tested.limit[i])
        middle: list[float | None] = [None, None]
        if measure in ("KS", "h"):
            of = np.median if measure == "KS" else np.mean
            middle = [float(of(part[~np.isnan(part)])) for part in np.split(self.values, [self.first])]
        return Change(
            self.about, self.name, measure, distance, float(tested.usual[i]),
            limit if np.isfinite(limit) else None, float(tested.p[i]), *self.counts, *middle,
        )  # fmt: skip


def _columns(reference: Period, new: Period) -> list[_Column]:
    """What both sides have."""
    columns = []

    def add(about: Literal["scores", "calls", "quality"], name: str, one: np.ndarray, other: np.ndarray) -> None:
        values = np.concatenate([one, other]).astype(np.float64)
        columns.append(_Column(about, name, values, ~np.isnan(values), len(one)))

    shared = [finding for finding in reference.findings if finding in new.findings]
    for finding in shared:
        i, j = reference.findings.index(finding), new.findings.index(finding)
        add("scores", finding, reference.scores[:, i], new.scores[:, j])
        if reference.calls is not None and new.calls is not None:
            add("calls", finding, reference.calls[:, i], new.calls[:, j])
    for name in reference.shares:
        if name in new.shares:
            add("quality", name, reference.shares[name], new.shares[name])
    for member, values in reference.features.items():
        if member in new.features:
            both = np.concatenate([values, new.features[member]])
            columns.append(_Column("features", member, both, np.isfinite(both).all(axis=1), len(values)))
    return columns
