"""Have scores, calls, quality or features of images changed? Two periods compared, with one rate of false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import EvaluationError
from zoo.evaluation.statistics import distances, permutation

#: What a row of a period is drawn from: all rows of one patient or one study resemble each other.
Unit = Literal["patient", "study", "image"]

Measure = Literal["KS", "PSI", "h", "MMD"]

#: With fewer independent images on either side nothing is compared.
LEAST = 20

#: At most so many of them are compared on either side, and so many where features are.
MOST, MOST_FEATURES = 20_000, 2_000

#: Random divisions, and how many of them are beyond the limit at least: the fewer, the lower the power.
_DIVISIONS, _TAIL = 499, 20


@dataclass(frozen=True, eq=False)
class Period:
    """Images of one period, a row each.

    Attributes:
        name: What they are called in results.
        units: (n,) which patient, study or image each row is of, as numbers or text.
        unit: What `units` tell apart.
        findings: The k findings.
        scores: float (n, k) probabilities or other scores, NaN where there is none; (n, 0) without findings.
        calls: (n, k) of 1, 0 and NaN (not decided), or None if decisions are not known.
        shares: Facts of images, such as "rejected by the quality checks" -> (n,) of 1, 0 and NaN.
        features: Member -> float (n, f) features, NaN for an image without.
    """

    name: str
    units: np.ndarray
    unit: Unit = "image"
    findings: tuple[str, ...] = ()
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    calls: np.ndarray | None = None
    shares: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.units)

    def take(self, rows: np.ndarray) -> Self:
        """Selects rows by position."""
        return replace(
            self,
            units=self.units[rows],
            scores=self.scores[rows],
            calls=None if self.calls is None else self.calls[rows],
            shares={name: values[rows] for name, values in self.shares.items()},
            features={name: values[rows] for name, values in self.features.items()},
        )


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


def independent(units: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draws one row of each unit at random, of at most `most` units.

    One row, since rows of a patient resemble each other, and sides may differ in how many rows a patient has: then
    neither rows nor whole patients can be exchanged between them.

    Args:
        units: (n,) unit of each row.
        most: Largest number of rows that are drawn.
        seed: Of the draw.

    Returns:
        int64, the positions of the rows, ascending.

    >>> sorted(np.array(["a", "a", "b"])[independent(np.array(["a", "a", "b"]), 9, 0)].tolist())
    ['a', 'b']
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(units))
    _, first = np.unique(units[order], return_index=True)
    # Units are drawn apart from rows, since one with many rows comes first more often.
    return np.sort(order[first[rng.permutation(len(first))[:most]]])


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
        alpha: Rate of false alarms, of all distances together, in 0..1.
        seed: Of the divisions.
        images: Numbers of images of both sides before rows were drawn, for the result.
        units: Numbers of their units.
        notes: Sentences for the result.

    Raises:
        EvaluationError: The periods have no finding, fact or member in common, or one has fewer than `LEAST` rows.

    >>> rng = np.random.default_rng(0)
    >>> old = Period("old", np.arange(300), findings=("Edema",), scores=rng.normal(size=(300, 1)))
    >>> later = Period("later", np.arange(100), findings=("Edema",), scores=rng.normal(1, size=(100, 1)))
    >>> found = compare(old, later)
    >>> [(change.measure, change.p) for change in found.alarms]
    [('KS', 0.002), ('PSI', 0.002)]
    """
    for period in (reference, new):
        if len(period) < LEAST:
            raise EvaluationError(
                f"{period.name}: {counted(len(period), 'independent image')}, and a comparison needs {LEAST} or more: "
                "wait for more images or take a longer period"
            )
    columns = _columns(reference, new)
    if not columns:
        raise EvaluationError(f"{reference.name} and {new.name} have nothing in common that can be compared")
    count = max(_DIVISIONS, int(np.ceil(_TAIL / alpha)) - 1)
    blocks = permutation.divisions(len(reference) + len(new), len(new), count, seed)
    found = np.concatenate([np.concatenate([column.distances(block) for column in columns]) for block in blocks], 1)
    tested = permutation.largest(found, alpha)
    named = [(column, measure) for column in columns for measure in column.measures]
    changes = tuple(
        column.change(measure, float(found[i, 0]), tested, i, len(reference))
        for i, (column, measure) in enumerate(named)
    )
    all_images, all_units = images or (len(reference), len(new)), units or (len(reference), len(new))
    before, after = (
        Side(period.name, total, known, period.unit, len(period))
        for period, total, known in zip((reference, new), all_images, all_units, strict=True)
    )
    return Drift(before, after, alpha, count, seed, changes, tuple(notes))


@dataclass(frozen=True, eq=False)
class _Column:
    """Values of both sides, of which one or two distances are taken; `kernel` is of the rows in `known`."""

    about: Literal["scores", "calls", "quality", "features"]
    name: str
    known: np.ndarray
    values: np.ndarray
    measures: tuple[Measure, ...]

    def distances(self, new: np.ndarray) -> np.ndarray:
        """Returns (measures, b) for divisions (n, b)."""
        if self.about == "scores":
            return np.stack(distances.of_distributions(self.values, new))
        if self.about == "features":
            return distances.of_kernel(self.values, new[self.known])[None]
        return distances.of_shares(self.values, new)[None]

    def change(self, measure: Measure, distance: float, tested: permutation.Adjusted, i: int, n: int) -> Change:
        """The i-th distance as a result; the first `n` rows are the reference's."""
        limit = float(tested.limit[i])
        number = int(self.known[:n].sum()), int(self.known[n:].sum())
        middle: list[float | None] = [None, None]
        if measure in ("KS", "h") and all(number):
            of = np.median if measure == "KS" else np.mean
            middle = [float(of(part[~np.isnan(part)])) for part in (self.values[:n], self.values[n:])]
        return Change(
            self.about, self.name, measure, distance, float(tested.usual[i]),
            limit if np.isfinite(limit) else None, float(tested.p[i]), *number, *middle,
        )  # fmt: skip


def _columns(reference: Period, new: Period) -> list[_Column]:
    """What both sides have."""
    columns = []

    def add(about: Literal["scores", "calls", "quality"], name: str, one: np.ndarray, other: np.ndarray) -> None:
        values = np.concatenate([one, other]).astype(np.float64)
        columns.append(_Column(about, name, ~np.isnan(values), values, ("KS", "PSI") if about == "scores" else ("h",)))

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
            known = np.isfinite(both).all(axis=1)
            kernel = distances.gaussian_kernel(both[known])
            columns.append(_Column("features", member, known, kernel, ("MMD",)))
    return columns
