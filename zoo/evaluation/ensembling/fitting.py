"""Fits the weights of an ensemble's members on the validation part, for all findings together or for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from zoo.config.weighting import Word
from zoo.core.counting import counted
from zoo.core.errors import EvaluationError
from zoo.evaluation.calibration.fitting import FOLDS
from zoo.evaluation.decision import Origin
from zoo.evaluation.ensembling import shrinkage
from zoo.evaluation.ensembling.shrinkage import Fittable
from zoo.evaluation.result.members import NOT_FITTED
from zoo.evaluation.scores import Scores

#: Decimals of fitted weights; that of a member of 32 stays above 0.
_DECIMALS = 6


@dataclass(frozen=True)
class FittedWeights:
    """Weights of the members, and how they were found.

    Attributes:
        weighting: As in `EnsembleSpec.weighting`: one number for each member, or one row (one number for each finding)
            for each member; "uniform" if nothing could be fitted. The numbers of a finding sum to 1, up to rounding.
        shrinkage: Share of the uniform weights in them.
        shrinkage_by_finding: Share of the weights of all findings in those of each finding, of which 1 leaves one
            number for each member; None if none were fitted by finding.
        origin: The data they were fitted on; its notes say what was chosen and why.

    >>> FittedWeights((0.9, 0.1), 0.02, None, Origin("fitted", "validation")).weighting
    (0.9, 0.1)
    """

    weighting: Literal["uniform"] | tuple[float | tuple[float, ...], ...]
    shrinkage: float
    shrinkage_by_finding: float | None
    origin: Origin


def fit_weights(
    members: Mapping[str, Scores],
    method: Word = "fitted",
    *,
    trained: Sequence[bool] = (),
    date: str | None = None,
    seed: int = 0,
) -> FittedWeights:
    """Fits the weights of the mean of the members' logits on the validation part.

    The weights have the smallest mean log loss over the known labels of all findings, together with one temperature
    (`simplex.fit`): the ensemble is calibrated afterwards, so weights need not make up for logits that are too large or
    too small. They are then shrunk towards the uniform weights by a share that cross-validation chooses
    (`shrinkage.choose`). Weights by finding are shrunk in the same way towards the weights of all findings, by one
    share for all; a finding with fewer than `calibration.fitting.MIN_CLASS` positives or negatives takes the weights
    of all findings.

    Args:
        members: Name -> scores of each member on the same rows of the validation part.
        method: "fitted" for one weight for each member, "fitted_per_finding" for one for each finding as well.
        trained: Whether each finding was trained; the others are left out of the fit. () for all.
        date: ISO date stored with the weights; today by default.
        seed: Seed of the random folds.

    Raises:
        SplitError: The scores are not of the validation part.
        EvaluationError: No members, members on different rows, scores of unknown scale, or another method.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((400, 1)) < 0.4
    >>> good, noise = 2 * (rng.normal(size=(400, 1)) + 2 * labels) - 2, 2 * rng.normal(size=(400, 1))
    >>> scores = {n: Scores(z, labels, ("Edema",), "validation") for n, z in {"good": good, "noise": noise}.items()}
    >>> [round(weight, 1) for weight in fit_weights(scores).weighting]
    [0.9, 0.1]
    """
    if method not in ("fitted", "fitted_per_finding"):
        raise EvaluationError(f"weights are 'fitted' or 'fitted_per_finding', got {method!r}")
    first = _checked(members)
    data = Fittable.of(list(members.values()), trained)
    n, positives = (tuple(int(c) for c in counts) for counts in first.counts)
    origin = Origin(
        method, first.split, first.split_hash, n, positives, date=date or datetime.now(UTC).date().isoformat()
    )
    if few := _too_few(data):
        return FittedWeights("uniform", 1.0, None, _with_notes(origin, [NOT_FITTED + few]))
    chosen = shrinkage.choose(data, shrinkage.common, shrinkage.uniform, seed)
    notes = [chosen.note("the uniform weights")]

    def common(inner: Fittable) -> np.ndarray:
        return shrinkage.shrunk(shrinkage.common(inner), shrinkage.uniform(inner), chosen.share)

    if method == "fitted":
        return FittedWeights(_numbers(common(data)[0]), chosen.share, None, _with_notes(origin, notes))
    few_of = [j for j, enough in enumerate(data.enough) if not enough]
    notes += [f"{first.findings[j]}: {positives[j]} positives of {n[j]}, takes those of all findings" for j in few_of]
    by_finding = shrinkage.choose(data, lambda inner: shrinkage.own(inner, common(inner)), common, seed)
    notes.insert(1, by_finding.note("those of all findings"))
    if by_finding.share == 1:
        return FittedWeights(_numbers(common(data)[0]), chosen.share, 1.0, _with_notes(origin, notes))
    found = shrinkage.shrunk(shrinkage.own(data, common(data)), common(data), by_finding.share)
    rows = tuple(_numbers(row) for row in found.T)
    return FittedWeights(rows, chosen.share, by_finding.share, _with_notes(origin, notes))


def mean_logits(members: Sequence[Scores], shares: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The weighted mean of the members' logits, float64 (rows, findings).

    Args:
        members: Scores on the same rows.
        shares: (members, findings) shares of which those of a finding sum to 1, as `EnsembleSpec.shares`.

    >>> one = Scores(np.array([[1.0]]), np.array([[1]]), ("Edema",), "test")
    >>> two = Scores(np.array([[3.0]]), np.array([[1]]), ("Edema",), "test")
    >>> mean_logits([one, two], [[0.25], [0.75]]).tolist()
    [[2.5]]
    """
    return np.einsum("mnk,mk->nk", np.stack([m.logits for m in members]), np.asarray(shares, np.float64))


def _checked(members: Mapping[str, Scores]) -> Scores:
    if not members:
        raise EvaluationError("weights are fitted for one member or more, got none")
    (name, first), *others = members.items()
    first.check_fittable("weights of members")
    for other, scores in others:
        scores.check_fittable("weights of members")
        if scores.findings != first.findings or not np.array_equal(scores.labels, first.labels, equal_nan=True):
            raise EvaluationError(f"members {name!r} and {other!r} must have the same rows, labels and findings")
    return first


def _too_few(data: Fittable) -> str:
    """Why nothing can be fitted; "" if it can."""
    if data.z.shape[2] == 1:
        return "one member"
    if not len(data.y):
        return "no finding has both classes in the validation part"
    patients = int(data.clusters.max()) + 1
    labelled = counted(patients, "patient with a label", "patients with labels")
    return f"{labelled} for a cross-validation in {FOLDS} folds" if patients < FOLDS else ""


def _numbers(weights: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(weight), _DECIMALS) for weight in weights)


def _with_notes(origin: Origin, notes: Sequence[str]) -> Origin:
    return replace(origin, notes=tuple(notes))
