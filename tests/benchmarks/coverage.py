"""How often the intervals of an evaluation hold the true value, on simulated patients.

    python tests/benchmarks/coverage.py

Writes `results-coverage.md`. Cells are kept in `coverage-cells.jsonl` as they finish, and the next run goes on from
there; each takes about a minute of one core.

Readers' margins and differences over seeds are drawn on their own (`coverage_more.py`).

A cell is a number of patients with a positive image, an AUC and a kind of data. Two models score two findings of the
same patients; the second model ranks worse, and its errors resemble the first one's. Their mean is an ensemble. The
logits are those of two normal distributions, calibrated but for a temperature of 1 / 1.2; positives are called at the
prevalence. All numbers of a cell come from the same draws, and their intervals from the functions that `zoo evaluate`
calls.

AUCs are true by their formula, the other numbers by a sample of 40,000 positive patients. Gaps between two random
halves of the patients are 0.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
from coverage_kinds import KINDS, Kind, errors, labels
from coverage_more import margins, seeds, true_margins, true_seeds

from zoo.evaluation.ensembling.fitting import mean_logits
from zoo.evaluation.measures import measures
from zoo.evaluation.result.numbers import AT_A_POINT
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.delong import auc_spread
from zoo.evaluation.statistics.miscalibration import error_spread
from zoo.evaluation.statistics.proportions import share_spread
from zoo.evaluation.statistics.spreads import Spread, combined
from zoo.evaluation.uncertainty import (
    freedom_of,
    mean_spread,
    share_sums,
    uncertainty_of,
    uncertainty_of_difference,
)

ALONE = ("auc", "average_precision", "brier", "log_loss", "ece")
LEVEL, POSITIVES, FINDINGS = 0.95, 40_000, ("a", "b")
LESS = {"other": ("auc", "average_precision", "log_loss"), "mean": ("auc", "log_loss")}
EQUAL = np.ones(2)


SIZES, AUCS = (10, 15, 30, 60, 200), (0.75, 0.9, 0.97)

#: Second model: how far its classes are apart, as a share of the first one's.
APART = 0.85


@dataclass(frozen=True)
class Cell:
    """A mean number of patients with a positive image, an AUC, and a kind of data."""

    positives: int
    auc: float
    kind: str


def cells() -> Iterator[Cell]:
    """All cells, the smallest first."""
    for size in SIZES:
        for kind in KINDS:
            yield from (Cell(size, auc, kind) for auc in AUCS)


def draw(auc: float, kind: Kind, patients: int, rng: np.random.Generator) -> dict[str, Scores]:
    """The two models' scores and those of their mean, of two findings."""
    n, identifiers = patients * kind.images, np.repeat(np.arange(patients), kind.images)
    shared, truth, own, other = errors(patients, kind, rng), *np.zeros((3, n, 2))
    prior = float(np.log(kind.prevalence / (1 - kind.prevalence)))
    for j in range(2):
        truth[:, j] = labels(patients, kind, rng)
        better = (shared + errors(patients, kind, rng)) / np.sqrt(2)
        worse = (2 * better + errors(patients, kind, rng)) / np.sqrt(5)
        for logits, e, apart in ((own, better, 1.0), (other, worse, APART)):
            d = np.sqrt(2) * NormalDist().inv_cdf(auc) * apart
            scores = d * truth[:, j] + e
            scores = np.round(2 * scores) / 2 if kind.rounded else scores
            logits[:, j] = 1.2 * (d * scores - d * d / 2 + prior)
    found = {
        name: Scores(z, truth, FINDINGS, "test", patients=identifiers) for name, z in (("own", own), ("other", other))
    }
    mean = mean_logits(list(found.values()), np.full((2, 2), 0.5))
    return found | {"mean": Scores(mean, truth, FINDINGS, "test", patients=identifiers)}


def numbers(drawn: dict[str, Scores], kind: Kind) -> dict[str, float]:
    """Every number of a sample."""
    values = {name: measures(scores, scores.probabilities, _points(kind)) for name, scores in drawn.items()}
    own = values["own"]
    found = {m: float(own["finding", m][0]) for over, m in own if over == "finding"}
    found |= {f"mean {m}": float(own["macro", m]) for over, m in own if over == "finding"}
    for other, compared in LESS.items():
        for m in compared:
            less = own["finding", m] - values[other]["finding", m]
            found |= {f"less {other} {m}": float(less[0]), f"mean less {other} {m}": float(less.mean())}
    y, p = drawn["own"].labels[:, 0], drawn["own"].probabilities[:, 0]
    return found | {"calibration_in_the_large": float(np.mean(y - p))} | dict.fromkeys(GAPS, 0.0)


GAPS = ("gap auc", "gap sensitivity", "gap ece", "mean gap auc")

#: Positive images of a finding that `subgroups` asks for in a group.
FEWEST_IN_A_GROUP = 10


def limits(drawn: dict[str, Scores], kind: Kind) -> dict[str, tuple[float, float]]:
    """The limits of the interval of every number of a sample; NaN where there is none."""
    own = drawn["own"]
    sides = {name: (scores, scores.probabilities) for name, scores in drawn.items()}
    points = _points(kind)
    values = {("finding", m): np.zeros(2) for m in (*ALONE, *(f"{m}@at" for m in AT_A_POINT))}  # defined: both classes
    uncertainty = uncertainty_of(own, values, sides["own"][1], points)
    found = {}
    for _, m in values:
        found[m] = uncertainty.spreads["finding", m][0].interval(LEVEL)
        found[f"mean {m}"] = uncertainty.mean(m, EQUAL, LEVEL)
    for other, compared in LESS.items():
        keys = [("finding", m) for m in compared]
        less = uncertainty_of_difference(sides["own"], sides[other], keys)
        for over, m in keys:
            found[f"less {other} {m}"] = less.spreads[over, m][0].interval(LEVEL)
            found[f"mean less {other} {m}"] = less.mean(m, EQUAL, LEVEL)
    return found | _of_groups(own, sides["own"][1], kind)


def _of_groups(scores: Scores, p: np.ndarray, kind: Kind) -> dict[str, tuple[float, float]]:
    """The intervals of calibration in the large, and of gaps between two halves of the patients, as in `subgroups`."""
    y, clusters = scores.labels, scores.clusters
    excess = mean_spread((y - p)[:, 0], clusters, int(freedom_of(y[:, 0], clusters)) + 1)
    found = {"calibration_in_the_large": excess.interval(LEVEL)}
    parts: dict[str, list[Spread]] = {measure: [] for measure in ("auc", "sensitivity", "ece")}
    smallest = []
    for half in (0, 1):
        own = clusters % 2 == half
        smallest.append(y[own].sum(axis=0).min())
        sums = share_sums(y[own], p[own], clusters[own], [kind.prevalence] * 2)["sensitivity"]
        parts["sensitivity"] += [share_spread(*both) for both in zip(sums[0].T, sums[1].T, strict=True)]
        for j in range(2):
            parts["auc"].append(auc_spread(y[own, j], scores.logits[own, j], clusters[own]))
        parts["ece"].append(error_spread(y[own, 0], p[own, 0], clusters[own]))
    if min(smallest) < FEWEST_IN_A_GROUP:
        return found | dict.fromkeys(GAPS, (np.nan, np.nan))
    less = np.array([1.0, -1.0])
    for measure, spreads in parts.items():
        both = spreads[:: len(spreads) // 2]
        found[f"gap {measure}"] = combined(both, less, np.eye(2), LEVEL)
    found["mean gap auc"] = combined(parts["auc"], np.array([0.5, 0.5, -0.5, -0.5]), np.eye(4), LEVEL)
    return found


def _points(kind: Kind) -> dict[str, list[float | None]]:
    return {"at": [kind.prevalence] * 2}


@lru_cache(maxsize=1)
def truth(auc: float, kind: Kind) -> dict[str, float]:
    """The true value of every number."""
    rng = np.random.default_rng(1)
    found = numbers(draw(auc, kind, round(POSITIVES / kind.prevalence), rng), kind)
    if not kind.rounded:
        found |= {"auc": auc, "mean auc": auc}
    return found


def evaluated(auc: float, kind: Kind, patients: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The limits of what `zoo evaluate` tells of one sample; none without a positive of each finding."""
    drawn = draw(auc, kind, patients, rng)
    return limits(drawn, kind) if (drawn["own"].labels == 1).any(axis=0).all() else {}


#: What is simulated: the limits in one sample, the true values, and in which cells.
WHAT: dict[str, tuple[Callable[..., dict[str, tuple[float, float]]], Callable[[float, Kind], dict[str, float]]]] = {
    "evaluation": (evaluated, truth),
    "readers": (margins, true_margins),
    "seeds": (seeds, true_seeds),
}


def keys() -> Iterator[tuple[str, Cell]]:
    """All that is simulated: readers and seeds in some of the cells."""
    for what, sizes in {"evaluation": SIZES, "readers": (10, 60), "seeds": (10, 60)}.items():
        for cell in cells():
            few = what == "evaluation" or (cell.auc != 0.9 and (what == "readers" or KINDS[cell.kind].images > 1))
            if cell.positives in sizes and few:
                yield what, cell


def run(what: str, cell: Cell, draws: int) -> dict[str, list[float]]:
    """Number -> share of the intervals that hold the true value, share of the draws with an interval, median width."""
    kind, rng = KINDS[cell.kind], np.random.default_rng(zlib.crc32(repr(cell).encode()))
    sample, true = WHAT[what][0], WHAT[what][1](cell.auc, kind)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(draws):
        for name, ends in sample(cell.auc, kind, round(cell.positives / kind.prevalence), rng).items():
            found.setdefault(name, []).append(ends)
    result = {}
    for name in sorted(found):
        low, high = np.array(found[name]).T
        shown = ~np.isnan(low)
        held = (low - 1e-6 <= true[name]) & (true[name] <= high + 1e-6)
        width = float(np.median((high - low)[shown])) if shown.any() else float("nan")
        coverage = float(held[shown].mean()) if shown.any() else float("nan")
        result[name] = [coverage, float(shown.sum()) / draws, width]
    return result


def table(stored: dict[str, dict[str, list[float]]], draws: int) -> str:
    """The coverage of every number in every cell, in per cent."""
    done: dict[Cell, dict[str, list[float]]] = {}
    finished = [(cell, key) for what, cell in keys() if (key := _key(what, cell, draws)) in stored]
    for cell, key in finished:
        done.setdefault(cell, {}).update(stored[key])
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    every = [value for result in done.values() for value in result.values() if value[1] > FEW]
    outside = sum(_outside(value, draws) for value in every)
    lines = [
        "# Coverage of the intervals",
        "",
        f"{len(finished)} of {sum(1 for _ in keys())} cells are done. Per cent of the 95 % intervals that hold the "
        f"true value; {draws:,} draws a cell, so that two standard errors of the simulation are {2 * error:.1f} %. "
        f"Figures outside 93 to 97 % by more than that are **bold**: {outside:,} of {len(every):,}. In parentheses: "
        f"per cent of the draws with an interval, where not all have one; with less than {FEW:.0%}, 'too few'.",
        "",
        "Columns: patients with a positive image, and AUC. 'mean': over two findings. 'less other': of two models. "
        "'less mean': a model less the mean of both. 'gap': between two halves of the patients, of groups with 10 "
        "positive images or more. 'at': at a threshold. 'margin': of a reader, 'seeds': a "
        "difference over three seeds of training, both in some of the cells.",
        "",
        "Made by `python tests/benchmarks/coverage.py`, which says how the patients are drawn.",
    ]
    for kind in KINDS:
        own = {cell: result for cell, result in done.items() if cell.kind == kind}
        if not own:
            continue
        heads = [f"{cell.positives}, {cell.auc}" for cell in own]
        lines += ["", f"## {kind}", "", f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(own)]
        for name in sorted({name for result in own.values() for name in result}, key=_order):
            lines.append(f"| {name} | {' | '.join(_text(result.get(name), draws) for result in own.values())} |")
    return "\n".join(lines) + "\n"


#: Share of the draws with an interval below which a cell says that there are too few patients.
FEW = 0.1


def _outside(value: list[float], draws: int) -> bool:
    error = np.sqrt(LEVEL * (1 - LEVEL) / (draws * value[1]))
    return not 0.93 - 2 * error <= value[0] <= 0.97 + 2 * error


def _order(name: str) -> tuple[int, str]:
    return next(i for i, word in enumerate(("mean less", "mean gap", "mean", "less", "gap", "")) if word in name), name


def _text(value: list[float] | None, draws: int) -> str:
    if value is None:
        return ""
    held, shown, _ = value
    if shown < FEW:
        return "too few"
    text = f"**{100 * held:.1f}**" if _outside(value, draws) else f"{100 * held:.1f}"
    return text if shown > 0.995 else f"{text} ({100 * shown:.0f})"


def main() -> None:
    """Runs the cells that are missing, and writes the table after each."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, default=here / "coverage-cells.jsonl", help="the finished cells")
    parser.add_argument("--out", type=Path, default=here / "results-coverage.md", help="the table")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--share", default="0/1", help="which cells: 1/2 is every second one, beginning with the second"
    )
    options = parser.parse_args()
    which, of = map(int, options.share.split("/"))
    stored = {}
    if options.cells.exists():
        stored = {row["key"]: row["result"] for row in map(json.loads, options.cells.read_text().splitlines())}
    for what, cell in list(keys())[which::of]:
        key = _key(what, cell, options.draws)
        if key in stored:
            continue
        found = run(what, cell, options.draws)
        stored[key] = {name: [round(float(x), 4) for x in value] for name, value in found.items()}
        with options.cells.open("a") as file:
            file.write(json.dumps({"key": key, "result": stored[key]}) + "\n")  # one line: several runs may share it
        print(what, cell, {name: round(100 * value[0], 1) for name, value in stored[key].items()}, flush=True)
        options.out.write_text(table(stored, options.draws), encoding="utf-8")


def _key(what: str, cell: Cell, draws: int) -> str:
    return json.dumps([asdict(cell), draws, *([] if what == "evaluation" else [what])])


if __name__ == "__main__":
    main()
