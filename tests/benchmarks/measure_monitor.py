"""How often `zoo monitor` raises a false alarm, and which changes it finds.

    python tests/benchmarks/measure_monitor.py --out tests/benchmarks/results-monitor.md

Scores, calls, verdicts of the quality checks and features of two periods are drawn; between them nothing differs, or
one thing does. Each run draws both periods anew and compares them as the command does. `--runs` is the number of runs
of a row (250: 45 minutes with `--processes 2` on two cores that had other work).
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.evaluation.drift import Drift, compare
from zoo.evaluation.period import MOST, Period, independent
from zoo.evaluation.statistics.proportions import wilson
from zoo.labels.findings import FINDINGS

#: Share of images that are called positive, by finding: from rare to common.
CALLED = np.array([0.01, 0.01, 0.02, 0.02, 0.03, 0.05, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4])

#: Quality checks: share of images.
QUALITY = {"rejected": 0.02, "doubtful": 0.03, "unreadable": 0.002}

#: Of the variance of a score: what the images of a patient share, and what the findings of an image share.
PATIENT, COMMON = 0.5, 0.3

FEATURES = 64

NORMAL = NormalDist().inv_cdf


@dataclass(frozen=True)
class World:
    """What images are drawn from.

    Attributes:
        per_patient: Mean number of images of a patient; it is 1 or more, geometric.
        features: Whether images have features.
        shift: Added to the score of the sixth finding (5 % called), in standard deviations.
        spread: Factor of the standard deviation of all scores.
        rare: Share of images that get a high score of the first finding (1 % called).
        rejected: Share of images that the quality checks reject.
        moved: Added to each feature, in standard deviations.
    """

    per_patient: float = 2.0
    features: bool = False
    shift: float = 0.0
    spread: float = 1.0
    rare: float = 0.0
    rejected: float = QUALITY["rejected"]
    moved: float = 0.0

    def draw(self, patients: int, rng: np.random.Generator, name: str) -> Period:
        """Draws the images of so many patients."""
        count = rng.geometric(1 / self.per_patient, patients)
        whose = np.repeat(np.arange(patients), count)
        n, k = len(whose), len(FINDINGS)

        def normal(columns: int) -> np.ndarray:
            of_patient = rng.normal(size=(patients, columns))[whose]
            return np.sqrt(PATIENT) * of_patient + np.sqrt(1 - PATIENT) * rng.normal(size=(n, columns))

        scores = self.spread * (np.sqrt(COMMON) * normal(1) + np.sqrt(1 - COMMON) * normal(k))
        scores[:, 5] += self.shift
        scores[rng.random(n) < self.rare, 0] += 4
        calls = (scores > THRESHOLDS).astype(float)
        faults = QUALITY | {"rejected": self.rejected}
        shares = {what: (normal(1)[:, 0] > NORMAL(1 - share)).astype(float) for what, share in faults.items()}
        features = {"member": (normal(FEATURES) + self.moved).astype(np.float32)} if self.features else {}
        return Period(name, whose, "patient", FINDINGS, scores, calls, shares, features)


THRESHOLDS = np.array([NORMAL(1 - share) for share in CALLED])


@dataclass(frozen=True)
class Cell:
    """One row of a table: sizes in patients, and the worlds of both sides."""

    what: str
    reference: int
    new: int
    before: World = World()
    after: World = World()
    every_image: bool = False


def one(cell: Cell, seed: int) -> Drift:
    """Draws both sides once and compares them."""
    rng = np.random.default_rng([seed, cell.reference, cell.new])
    sides = [cell.before.draw(cell.reference, rng, "reference"), cell.after.draw(cell.new, rng, "new")]
    if cell.every_image:
        sides = [replace(side, units=np.arange(len(side))) for side in sides]
    drawn = [side.take(independent(side.units, MOST, seed + i)) for i, side in enumerate(sides)]
    return compare(drawn[0], drawn[1], seed=seed)


def rate(count: int, runs: int) -> str:
    """A share of runs in percent, with its Wilson interval of 95 %."""
    low, high = wilson(count / runs, runs)
    return f"{100 * count / runs:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def cells() -> dict[str, list[Cell]]:
    """The tables."""
    one_image, many, features = World(1.0), World(3.0), World(features=True)
    same = [
        Cell("2 images a patient", 300, 50),
        Cell("2 images a patient", 300, 300),
        Cell("2 images a patient", 1000, 50),
        Cell("2 images a patient", 1000, 200),
        Cell("2 images a patient", 1000, 1000),
        Cell("1 image a patient", 1000, 200, one_image, one_image),
        Cell("reference 3 images a patient, new 1", 1000, 200, many, one_image),
        Cell("reference 1 image a patient, new 3", 1000, 200, one_image, many),
        Cell("with features", 300, 100, features, features),
    ]
    other = [
        Cell("2 images a patient", 1000, 200, every_image=True),
        Cell("reference 3 images a patient, new 1", 1000, 200, many, one_image, every_image=True),
    ]
    changes = [
        ("a finding's scores, 0.5 SD", World(shift=0.5)),
        ("a finding's scores, 1 SD", World(shift=1.0)),
        ("a rare finding, called in 1 % to 5 %", World(rare=0.04)),
        ("all scores, 1.25 times as spread", World(spread=1.25)),
        ("rejected images, 2 % to 10 %", World(rejected=0.1)),
    ]
    found = [Cell(what, 1000, new, World(), world) for what, world in changes for new in (50, 200)]
    found += [Cell(what, 1000, 1000, World(), world) for what, world in (changes[0], changes[2])]
    found += [
        Cell("features, 0.2 SD in each of 64", 300, new, features, World(features=True, moved=0.2)) for new in (50, 200)
    ]
    return {"false": same, "every": other, "power": found}


def row(cell: Cell, runs: int) -> str:
    """Runs a cell and returns its row of the table."""
    least = [min(change.p for change in one(cell, seed).changes) for seed in range(runs)]
    at = [rate(sum(p <= alpha for p in least), runs) for alpha in (0.05, 0.01)]
    return f"| {cell.what} | {cell.reference:,} | {cell.new:,} | {at[0]} | {at[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=250)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start, tables = time.perf_counter(), {}
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = {name: [pool.submit(row, cell, options.runs) for cell in rows] for name, rows in cells().items()}
        for name, rows in waiting.items():
            for job in rows:
                print(job.result(), f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            tables[name] = "\n".join(job.result() for job in rows)
    text = TEXT.format(runs=options.runs, **tables)
    if options.out:
        options.out.write_text(text, "utf-8")
    else:
        print(text)


TEXT = """\
# False alarms and power of `zoo monitor`

Made by `measure_monitor.py`: {runs} runs a row, each of newly drawn periods: scores and calls of 14
findings (called in 1 % to 40 % of the images), images that are rejected (2 %), doubtful (3 %) and unreadable (0.2 %),
and in the rows "features" a member of 64 features as well. Half of a score's variance is the patient's, 0.3 of it is
common to all findings. The number of images of a patient is geometric. One image of each patient is drawn, as the
command does. In percent of the runs, with Wilson's 95 % interval.

## Nothing has changed: false alarms

| images | patients, reference | patients, new | alarms at `--alpha 0.05` | at 0.01 |
| --- | ---: | ---: | ---: | ---: |
{false}

The same where patients are not known, so that each image is taken for a patient of its own: the stated rate need not
hold, and the command says so.

| images | patients, reference | patients, new | alarms at `--alpha 0.05` | at 0.01 |
| --- | ---: | ---: | ---: | ---: |
{every}

## Something has changed: alarms

| change | patients, reference | patients, new | alarms at `--alpha 0.05` | at 0.01 |
| --- | ---: | ---: | ---: | ---: |
{power}
"""


if __name__ == "__main__":
    main()
