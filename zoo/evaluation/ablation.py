"""The table of an ablation: what each ingredient of a recipe was worth, over seeds and patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.counting import counted
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result.numbers import finite
from zoo.evaluation.scores import Scores
from zoo.evaluation.seeds import SeedDifference, auc_difference
from zoo.evaluation.statistics.ratios import mean_over_findings


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        name: "all", or the ingredient that was taken out.
        auc: Mean over seeds of the mean AUC over findings; None if no seed is done, or no finding has both a positive
            and a negative label in the test part.
        seeds: Number of seeds that are done.
        minutes: Mean minutes of training, for a variant that shares its training those of all of it; None if no seed
            is done.
        gain: What the ingredient adds: mean AUC with it minus without it, on the seeds that both have; None for "all",
            and until both have a seed.
    """

    name: str
    auc: float | None
    seeds: int
    minutes: float | None
    gain: SeedDifference | None = None


@dataclass(frozen=True)
class Table:
    """The comparison.

    Attributes:
        rows: "all" first, then one row for each ingredient.
        planned: Number of seeds that were planned.
        patients: Number of patients in the test part.
        level: Confidence level of each interval.
        notes: Sentences on the cells.
    """

    rows: tuple[Row, ...]
    planned: int
    patients: int
    level: float = 0.95
    notes: tuple[str, ...] = ()


def table(
    variants: Sequence[str],
    planned: int,
    done: Mapping[str, Mapping[int, Scores]],
    minutes: Mapping[str, Sequence[float]],
) -> Table | None:
    """Makes the table of the cells that are done.

    Args:
        variants: Names of all variants, the one with all ingredients first.
        planned: Number of seeds that were planned.
        done: Variant -> seed -> scores on the test part, all on the same rows.
        minutes: Variant -> minutes of training of each of its cells.

    Returns:
        The table; None if no cell of the first variant is done.

    >>> labels = np.array([[1], [0]] * 20)
    >>> good = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> chance = Scores(np.zeros((40, 1)), labels, ("Edema",), "test")
    >>> cells = {"all": {0: good, 1: good}, "EMA": {0: chance, 1: chance}}
    >>> found = table(["all", "EMA"], 2, cells, {"all": [1.0], "EMA": [1.0]})
    >>> [(row.name, row.auc) for row in found.rows], found.rows[1].gain.value
    ([('all', 1.0), ('EMA', 0.5)], 0.5)
    """
    everything = done.get(variants[0], {})
    if not everything:
        return None
    rows = []
    for name in variants:
        own = done.get(name, {})
        aucs = [float(mean_over_findings(roc_auc(s.labels, s.logits))[0]) for s in own.values()]
        both = [seed for seed in everything if seed in own] if name != variants[0] else []
        gain = auc_difference([everything[seed] for seed in both], [own[seed] for seed in both]) if both else None
        spent = minutes.get(name, ())
        rows.append(Row(name, _mean(aucs), len(own), _mean(spent), gain))
    patients = int(next(iter(everything.values())).clusters.max()) + 1
    return Table(tuple(rows), planned, patients)


def _mean(values: Sequence[float]) -> float | None:
    return finite(float(np.mean(values))) if values else None


def markdown(found: Table, images: str) -> str:
    """The table as Markdown, with what it says and what it does not.

    Args:
        found: The comparison.
        images: How many images the test part has, in words.
    """
    first, *others = found.rows
    lines = [
        f"Mean AUC over findings on {images} of {counted(found.patients, 'patient')} of the test part. "
        f"All ingredients, mean of {counted(first.seeds, 'seed')}: {_number(first.auc)}.",
        "",
        "| taken out | seeds | mean AUC without it | what it adds, with 95% interval | minutes of one training |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    for row in sorted(others, key=_order):
        auc = _number(row.auc) if row.seeds else ""
        minutes = "" if row.minutes is None else f"{row.minutes:.1f}"
        lines.append(f"| {row.name} | {row.seeds} | {auc} | {_gain(row.gain)} | {minutes} |")
    lines += ["", *_notes(found, others)]
    return "\n".join(lines) + "\n"


def _order(row: Row) -> float:
    return np.inf if row.gain is None or row.gain.value is None else -row.gain.value


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _gain(gain: SeedDifference | None) -> str:
    if gain is None:
        return "not done"
    if gain.value is None:
        return "undefined"
    if not any(gain.each):
        return "nothing: it changes no AUC here"
    if gain.low is None:
        return f"{gain.value:+.4f} (too few seeds for an interval)"
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _notes(found: Table, others: Sequence[Row]) -> list[str]:
    gains = [(row.name, row.gain) for row in others if row.gain and row.gain.low is not None and any(row.gain.each)]
    told = [(name, gain.value or 0) for name, gain in gains if gain.excludes_zero]
    helps, harms = ([name for name, gain in told if gain > 0], [name for name, gain in told if gain < 0])
    words = [
        f"The data show a gain by: {', '.join(helps)}." if helps else "The data show a gain by no ingredient.",
        f"They show a loss by: {', '.join(harms)}." if harms else "",
        f"The others could be either. {counted(len(gains), 'interval')} at 95%: if no ingredient did anything, "
        f"{len(gains) * (1 - found.level):.1f} of them would be expected to leave out 0."
        if gains
        else "",
        "Each interval covers the patients of this test part and the seeds of training, paired by both; it says "
        "nothing of other data, image sizes or lengths of training. Minutes are of all members, mean over seeds.",
    ]
    if any(row.seeds < found.planned for row in found.rows):
        missing = sum(found.planned - row.seeds for row in found.rows)
        words.append(f"Not complete: {missing} of {found.planned * len(found.rows)} cells are missing.")
    return [" ".join(word for word in (*words, *found.notes) if word)]
