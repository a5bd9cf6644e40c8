"""Weights of the members of an ensemble: one number for each, or one number for each finding of each.

A recipe may ask for weights to be fitted; what a release stores is "uniform" or numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from zoo.core.errors import RecipeError

#: How the members are weighted, in a word: equally, or by a fit on the validation part (`evaluation.ensembling`).
Word = Literal["uniform", "fitted", "fitted_per_finding"]

#: Names of all choices of weights that reports compare, besides the name of a member.
CHOICES = (*get_args(Word), "greedy", "given")

#: One number for each member, or one row (of findings) for each member; () is the plain mean.
Weights = Sequence[float | Sequence[float]]


def numbers(weighting: Word | Weights) -> Weights:
    """Returns weights as numbers: () for the plain mean, which weights that are not fitted yet also stand for.

    >>> numbers("fitted"), numbers((0.9, 0.1))
    ((), (0.9, 0.1))
    """
    return () if isinstance(weighting, str) else weighting


def tidied(weighting: Any) -> Any:
    """Makes tuples of lists and arrays, and "uniform" of none at all; anything else stays as it is, for `problem`.

    >>> tidied([[1, 0], [0.5, 0.5]]), tidied([])
    (((1, 0), (0.5, 0.5)), 'uniform')
    """
    found = _tuples(weighting)
    return "uniform" if found == () else found


def _tuples(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value  # of NumPy
    return tuple(map(_tuples, plain)) if isinstance(plain, list | tuple) else plain


def check_stored(weighting: Word | Weights) -> None:
    """Refuses, in a release, weights that were never fitted.

    Raises:
        RecipeError: They are "fitted" or "fitted_per_finding", a wish of a recipe.
    """
    if weighting in ("fitted", "fitted_per_finding"):
        raise RecipeError(f"weighting {weighting!r} was never fitted: a release holds 'uniform' or numbers")


def by_finding(weights: Weights, members: int, findings: int) -> tuple[tuple[float, ...], ...]:
    """Returns one row for each member: its share in the mean of each finding, from 0 to 1.

    The shares of a finding sum to 1, or are all 0 if no member speaks for it.

    >>> by_finding((1.0, 3.0), 2, 2)
    ((0.25, 0.25), (0.75, 0.75))
    >>> by_finding(((1.0, 0.0), (1.0, 0.0)), 2, 2)
    ((0.5, 0.0), (0.5, 0.0))
    """
    given = weights if len(weights) else (1.0,) * members
    rows = [tuple(w) if isinstance(w, Sequence) else (w,) * findings for w in given]
    totals = [sum(column) for column in zip(*rows, strict=True)]
    return tuple(tuple(w / total if total else 0.0 for w, total in zip(row, totals, strict=True)) for row in rows)


def problem(weighting: Word | Weights, members: int, findings: Sequence[str], untrained: Sequence[str] = ()) -> str:
    """Says what is wrong with weights, or "" if nothing is.

    Args:
        weighting: A word, or the weights.
        members: Number of members.
        findings: Names of the outputs.
        untrained: Outputs that no data trained, which need no member that speaks for them.

    >>> problem((1.0,), 2, ("Edema",))
    'weighting must be 2 numbers >= 0, not all 0, got (1.0,)'
    """
    if isinstance(weighting, str):
        words = ", ".join(map(repr, get_args(Word)))
        return "" if weighting in get_args(Word) else f"weighting must be {words} or numbers, got {weighting!r}"
    weights = weighting
    if not isinstance(weights, Sequence) or not all(isinstance(w, Sequence | int | float) for w in weights):
        return f"weighting must be a word, {members} numbers, or {members} rows of numbers, got {weights!r}"
    rows = [w for w in weights if isinstance(w, Sequence)]
    if not rows:
        numbers = [float(w) for w in weights if not isinstance(w, Sequence)]
        fits = len(numbers) == members and min(numbers) >= 0 and 0 < sum(numbers) < math.inf
        return "" if fits else f"weighting must be {members} numbers >= 0, not all 0, got {tuple(weights)}"
    if len(rows) != members or len(weights) != members or any(len(row) != len(findings) for row in rows):
        shape = [len(w) if isinstance(w, Sequence) else "a number" for w in weights]
        return f"weighting by finding must be {members} rows of {len(findings)} numbers, got {shape}"
    if not all(0 <= w < math.inf for row in rows for w in row):
        return "weighting must be finite numbers >= 0"
    if not all(sum(column) < math.inf for column in zip(*rows, strict=True)):
        return "weighting must be smaller numbers: the sum of a finding is infinite"
    silent = [f for f, column in zip(findings, zip(*rows, strict=True), strict=True) if not sum(column)]
    if left := [finding for finding in silent if finding not in untrained]:
        return f"weighting is 0 in every member for {', '.join(left)}, which is not among the untrained findings"
    return ""
