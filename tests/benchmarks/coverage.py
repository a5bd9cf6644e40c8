"""How often the intervals of an evaluation hold the true value, on simulated patients with two images each.

    python tests/benchmarks/coverage.py --cells cells.jsonl --out tests/benchmarks/results-coverage.md

Each cell of the table is one population: how many patients have a positive image, how well the model ranks, whether the
images of a patient resemble each other, and whether scores are tied. Positive patients have one or two positive images.
Two models are drawn for two findings of the same patients. Cells are stored as they finish, and a later run goes on
from there. The true values are those of one sample of 60,000 patients.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np

from zoo.evaluation.measures import Measures, Values
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.delong import auc_spread, difference_spread
from zoo.evaluation.statistics.spreads import combined
from zoo.evaluation.uncertainty import differences_of, mean_interval, spreads_of

RESAMPLES, LEVEL, PATIENTS = 128, 0.95, 60_000
ALONE = (
    "auc", "average_precision", "f1@at", "sensitivity@at", "specificity@at", "ppv@at", "brier", "log_loss", "ece",
)  # fmt: skip
MEANS = ("auc", "average_precision", "f1@at", "sensitivity@at", "brier", "log_loss", "ece")
SHARED = ("auc", "average_precision")


@dataclass(frozen=True)
class Cell:
    """A population: mean numbers of patients with and without positives, AUC, form of scores, likeness of images."""

    positives: int
    negatives: int
    auc: float
    form: str = "normal"
    alike: float = 0.6
    resampled: bool = True


def cells() -> Iterator[Cell]:
    """All cells, those with a bootstrap first."""
    for (p, q), auc in (((30, 170), 0.9), ((8, 200), 0.75), ((30, 170), 0.97), ((8, 200), 0.97)):
        yield Cell(p, q, auc)
    sizes, forms = ((8, 400), (30, 150)), ("tied", "unequal", "exponential")
    for form, (p, q), auc in product(forms, sizes, (0.9, 0.97)):
        yield Cell(p, q, auc, form, resampled=False)
    for (p, q), auc in product(((6, 100), (8, 400), (30, 150), (150, 500)), (0.65, 0.9, 0.97, 0.99)):
        yield Cell(p, q, auc, resampled=False)
    for (p, q), auc in product(sizes, (0.75, 0.97)):
        yield Cell(p, q, auc, alike=0.0, resampled=False)


def draw(cell: Cell, rng: np.random.Generator, times: float = 1.0) -> tuple[Scores, Scores]:
    """Two models' scores of two findings, of `times` as many patients as the cell has."""
    p, q = round(cell.positives * times), round(cell.negatives * times)
    patients = np.repeat(np.arange(p + q), 2)
    shared = _errors(p + q, cell.alike, rng)
    labels, own, other = np.zeros((3, 2 * (p + q), 2))
    for j in range(2):
        sick = np.flatnonzero(rng.random(p + q) < p / (p + q))
        labels[2 * sick, j] = 1
        labels[2 * sick[rng.random(len(sick)) < 0.8] + 1, j] = 1
        errors = (shared + _errors(p + q, cell.alike, rng)) / np.sqrt(2)
        worse = (2 * errors + _errors(p + q, cell.alike, rng)) / np.sqrt(5)
        own[:, j], other[:, j] = (_scores(labels[:, j], e, cell) for e in (errors, worse))
    return tuple(Scores(x, labels, ("a", "b"), "test", patients=patients) for x in (own, other))  # type: ignore[return-value]


def _errors(patients: int, alike: float, rng: np.random.Generator) -> np.ndarray:
    own = np.repeat(rng.standard_normal(patients), 2)
    return np.sqrt(alike) * own + np.sqrt(1 - alike) * rng.standard_normal(2 * patients)


def _scores(truth: np.ndarray, errors: np.ndarray, cell: Cell) -> np.ndarray:
    """Logits: of normal scores calibrated but for a temperature of 1 / 1.2."""
    z = NormalDist().inv_cdf(cell.auc)
    prior = float(np.log(cell.positives / cell.negatives))
    if cell.form == "exponential":  # positives with a mean that is larger by a factor
        share = np.array([NormalDist().cdf(e) for e in errors]) if len(errors) < 5000 else _normal_cdf(errors)
        return np.log(-np.log1p(-np.clip(share, 1e-12, 1 - 1e-12)) * np.where(truth == 1, cell.auc / (1 - cell.auc), 1))
    if cell.form == "unequal":
        return np.where(truth == 1, np.sqrt(3.25) * z + 1.5 * errors, errors)
    d = np.sqrt(2) * z
    scores = d * truth + errors
    if cell.form == "tied":
        scores = np.round(2 * scores) / 2
    return 1.2 * (d * scores - d * d / 2 + prior)


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    grid = np.linspace(-7, 7, 20_001)
    return np.interp(x, grid, [NormalDist().cdf(value) for value in grid])


def measured(
    cell: Cell, pair: tuple[Scores, Scores], resamples: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Every number of a draw, and the limits of its interval (unless there are no resamples)."""
    first, other = pair
    limit = 1 / (1 + np.exp(-np.log(cell.positives / cell.negatives)))
    points = {"at": [float(limit)] * 2}
    values: list[Values] = []
    samples: list[Values] = []
    for scores in pair:
        made = Measures(scores, None, points)
        values.append(made.values())
        samples.append(made.resampled(resamples, 0) if resamples else {})
    finding, less = values[0], {("finding", m): values[0]["finding", m] - values[1]["finding", m] for m in SHARED}
    numbers = {m: float(finding["finding", m][0]) for m in ALONE}
    numbers |= {f"mean {m}": float(finding["macro", m]) for m in MEANS}
    numbers |= {f"difference {m}": float(less["finding", m][0]) for m in SHARED}
    numbers |= {f"mean difference {m}": float(np.nanmean(less["finding", m])) for m in SHARED}
    if not resamples:
        return numbers, {}
    spreads = spreads_of(first, values[0], samples[0], first.probabilities, points)
    less_samples = {key: samples[0][key] - samples[1][key] for key in less}
    gaps = differences_of(first, other, less, less_samples)
    equal = np.ones(2)
    limits = {m: spreads["finding", m][0].interval(LEVEL) for m in ALONE}
    for m in MEANS:
        limits[f"mean {m}"] = mean_interval(spreads["finding", m], samples[0]["finding", m], equal, LEVEL)
    for m in SHARED:
        limits[f"difference {m}"] = gaps["finding", m][0].interval(LEVEL)
        limits[f"mean difference {m}"] = mean_interval(gaps["finding", m], less_samples["finding", m], equal, LEVEL)
    return numbers, {name: list(ends) for name, ends in limits.items()}


def areas(pair: tuple[Scores, Scores]) -> dict[str, list[float]]:
    """The intervals that need no bootstrap: AUC, difference of two models, and gap between halves of the patients."""
    first, other = pair
    y, a, b, clusters = first.labels[:, 0], first.logits[:, 0], other.logits[:, 0], first.clusters
    limits = {
        "auc": auc_spread(y, a, clusters).interval(LEVEL),
        "difference auc": difference_spread(y, a, b, clusters).interval(LEVEL),
    }
    halves = [auc_spread(y[own], a[own], clusters[own]) for own in (clusters % 2 == 0, clusters % 2 == 1)]
    enough = all(half.enough for half in halves)
    limits["gap auc"] = combined(halves, np.array([1.0, -1.0]), np.eye(2), LEVEL) if enough else (np.nan, np.nan)
    return {name: list(ends) for name, ends in limits.items()}


def run(cell: Cell, draws: int) -> dict[str, list[float]]:
    """Number -> share of the intervals that hold the true value, share of the draws with an interval, median width."""
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    truth, _ = measured(cell, draw(cell, rng, PATIENTS / (cell.positives + cell.negatives)), 0)
    truth["gap auc"] = 0.0
    if cell.form in ("normal", "unequal", "exponential"):
        truth["auc"] = cell.auc
    found: dict[str, list[list[float]]] = {}
    for _ in range(draws):
        pair = draw(cell, rng)
        for name, ends in (measured(cell, pair, RESAMPLES)[1] if cell.resampled else areas(pair)).items():
            found.setdefault(name, []).append(ends)
    result = {}
    for name, drawn in found.items():
        low, high = np.array(drawn).T
        shown = ~np.isnan(low)
        held = (low <= truth[name]) & (truth[name] <= high)
        width = float(np.median((high - low)[shown])) if shown.any() else float("nan")
        result[name] = [float(held[shown].mean()) if shown.any() else float("nan"), float(shown.mean()), width]
    return result


def table(done: list[tuple[Cell, dict[str, list[float]]]], draws: int) -> str:
    """The coverage of every number in every cell, in per cent."""
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    lines = [
        "# Coverage of the intervals",
        "",
        f"Per cent of the 95 % intervals that hold the true value; {draws:,} draws a cell, so that two standard errors "
        f"of the simulation are {2 * error:.1f} %. Cells outside 93 to 97 % by more than that are **bold**. "
        "In parentheses: per cent of the draws with an interval, where not all have one.",
        "Made by `python tests/benchmarks/coverage.py`, which says how the patients are drawn.",
    ]
    for resampled in (True, False):
        own = [(cell, result) for cell, result in done if cell.resampled == resampled]
        if not own:
            continue
        names = list(own[0][1])
        heads = [f"{c.positives} of {c.positives + c.negatives}, {c.auc}, {c.form}, {c.alike}" for c, _ in own]
        if resampled:  # numbers down, cells across
            lines += [
                "",
                "## Every number",
                "",
                "Columns: patients with positives of all, AUC, form, likeness of images.",
                "",
            ]
            lines += [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(own)]
            lines += [f"| {n} | {' | '.join(_cell(result[n], error) for _, result in own)} |" for n in names]
        else:
            lines += ["", "## AUC, paired difference, and gap between two groups", ""]
            lines += [f"| patients, AUC, form, likeness | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
            lines += [
                f"| {head} | {' | '.join(_cell(result[n], error) for n in names)} |"
                for head, (_, result) in zip(heads, own, strict=True)
            ]
    return "\n".join(lines) + "\n"


def _cell(result: list[float], error: float) -> str:
    held, shown, _ = result
    if not shown:
        return "too few"
    text = f"{100 * held:.1f}"
    text = text if 93 - 2 * error <= 100 * held <= 97 + 2 * error else f"**{text}**"
    return text if shown == 1 else f"{text} ({100 * shown:.0f})"


def main() -> None:
    """Runs the cells that are missing, and writes the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True, help="file that holds the finished cells")
    parser.add_argument("--out", type=Path, required=True, help="the table")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--share", default="0/1", help="which cells: 1/2 is every second one, beginning with the second"
    )
    parser.add_argument("--only", choices=("bootstrap", "areas"), help="only the cells with, or without, a bootstrap")
    options = parser.parse_args()
    which, of = map(int, options.share.split("/"))
    stored = {}
    if options.cells.exists():
        stored = {row["key"]: row["result"] for row in map(json.loads, options.cells.read_text().splitlines())}
    wanted = [cell for cell in cells() if options.only is None or cell.resampled == (options.only == "bootstrap")]
    for cell in wanted[which::of]:
        key = json.dumps([asdict(cell), options.draws])
        if key in stored:
            continue
        stored[key] = run(cell, options.draws)
        with options.cells.open("a") as file:
            file.write(json.dumps({"key": key, "result": stored[key]}) + "\n")  # one line: several runs may share it
        print(cell, {name: round(100 * value[0], 1) for name, value in stored[key].items()}, flush=True)
    done = [(cell, stored[key]) for cell in cells() if (key := json.dumps([asdict(cell), options.draws])) in stored]
    options.out.write_text(table(done, options.draws), encoding="utf-8")


if __name__ == "__main__":
    main()
