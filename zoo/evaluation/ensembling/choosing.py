"""The weights of an ensemble as its specification asks for, and what other weights would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.config.weighting import Weights, by_finding, numbers
from zoo.evaluation.ensembling import selection
from zoo.evaluation.ensembling.comparing import compare_weights
from zoo.evaluation.ensembling.fitting import FittedWeights, fit_weights, mean_logits
from zoo.evaluation.result.members import BY_FINDING, FITTED, GIVEN, GREEDY, UNIFORM, Members, WeightFit
from zoo.evaluation.scores import Scores


@dataclass(frozen=True, eq=False)
class Weighed:
    """An ensemble with the weights that its specification asked for.

    Attributes:
        spec: The specification with numbers in place of "fitted".
        validation: Ensemble and members -> scores on the validation part, with these weights.
        test: The same on the test part.
        members: The members' weights and values, and other choices; None for a single member, and if no label of the
            validation part is known.
    """

    spec: EnsembleSpec
    validation: Mapping[str, Scores]
    test: Mapping[str, Scores]
    members: Members | None


def weigh(
    spec: EnsembleSpec,
    validation: Mapping[str, Scores],
    test: Mapping[str, Scores],
    *,
    trained: Sequence[bool] = (),
    bases: Sequence[str] = (),
    seed: int = 0,
) -> Weighed:
    """Fits the weights on the validation part if the specification asks for it, and compares them with others.

    Args:
        spec: The ensemble.
        validation: Ensemble (the first) and members -> scores on the validation part.
        test: The same on the test part, which is evaluated alone.
        trained: Whether each finding was trained. () for all.
        bases: Name under which each member of `spec` stands in `validation` and `test`; members of one name share its
            weight equally, as those trained on different folds do. () for their own names.
        seed: Seed of the folds.

    Raises:
        SplitError: `validation` holds scores of another part.

    >>> from zoo.config.specs import MemberSpec
    >>> labels = np.repeat([[1], [0]], 50, axis=0)
    >>> noise = np.random.default_rng(0).normal(size=(100, 2))
    >>> logits = {"both": noise[:, :1], "a": noise[:, :1] + 2 * labels, "b": noise[:, 1:]}
    >>> parts = [{n: Scores(z, labels, ("Edema",), part) for n, z in logits.items()} for part in ("validation", "test")]
    >>> members = (MemberSpec("tiny", alias="a"), MemberSpec("tiny", alias="b"))
    >>> spec = EnsembleSpec("both", members, findings=("Edema",), weighting="fitted")
    >>> found = weigh(spec, *parts)
    >>> found.spec.weighting[0] > 0.7, found.members.best
    (True, 'a')
    """
    name = next(iter(validation))
    held, tested = ({n: scores for n, scores in part.items() if n != name} for part in (validation, test))
    if len(held) < 2 or not validation[name].counts[0].any():
        return Weighed(_stored(spec, "uniform", ()), validation, test, None)
    fitted = {FITTED: fit_weights(held, "fitted", trained=trained, seed=seed)}
    fitted[BY_FINDING] = fit_weights(held, "fitted_per_finding", trained=trained, seed=seed)
    first = next(iter(held.values()))
    labels, z = first.labels, np.stack([scores.logits for scores in held.values()], axis=2)
    used: str = spec.weighting if isinstance(spec.weighting, str) else GIVEN
    weights: dict[str, Weights] = {UNIFORM: ()}
    # What could not be fitted would be the uniform weights under another name.
    weights |= {n: numbers(found.weighting) for n, found in fitted.items() if n == used or found.weighting != UNIFORM}
    weights[GREEDY] = tuple(selection.greedy(z, labels).tolist())
    alone = {member: selection.loss(scores.logits, labels) for member, scores in held.items()}
    best = min(alone, key=lambda member: alone[member])
    weights[best] = tuple(float(member == best) for member in held)
    names = list(bases) or [member.name for member in spec.members]
    if used == GIVEN:
        weights[GIVEN] = _joined(spec, names, list(held))
    shares = {choice: by_finding(given, len(held), len(spec.findings)) for choice, given in weights.items()}
    if used in fitted:
        spec = _stored(spec, fitted[used].weighting, [(list(held).index(n), names.count(n)) for n in names])
        validation, test = (_with_mean(part, name, shares[used]) for part in (validation, test))
    choices, values = compare_weights(held, tested, shares, used, (alone, best))
    fit = _fit(fitted[used]) if used in fitted else None
    return Weighed(spec, validation, test, Members(used, best, values, choices, fit, first.split))


def _stored(
    spec: EnsembleSpec, weighting: str | tuple[float | tuple[float, ...], ...], places: Sequence[tuple[int, int]]
) -> EnsembleSpec:
    """The specification with numbers; `places` has the weight of each member and how many members share it."""
    if isinstance(weighting, str):
        return spec if not isinstance(spec.weighting, str) else dataclasses.replace(spec, weighting="uniform")
    shared: list[float | tuple[float, ...]] = []
    for place, count in places:
        weight = weighting[place]
        shared.append(tuple(w / count for w in weight) if isinstance(weight, tuple) else weight / count)
    return dataclasses.replace(spec, weighting=tuple(shared))


def _joined(spec: EnsembleSpec, names: Sequence[str], members: Sequence[str]) -> Weights:
    """Given weights, summed over the members that stand under one name."""
    rows = np.array(spec.shares)
    return tuple(tuple(rows[[n == member for n in names]].sum(axis=0).tolist()) for member in members)


def _with_mean(part: Mapping[str, Scores], name: str, shares: Sequence[Sequence[float]]) -> dict[str, Scores]:
    members = [scores for member, scores in part.items() if member != name]
    # The network computes in float32.
    mean = mean_logits(members, shares).astype(np.float32)
    return {**part, name: dataclasses.replace(part[name], logits=mean)}


def _fit(found: FittedWeights) -> WeightFit:
    return WeightFit(found.shrinkage, found.shrinkage_by_finding, found.origin)
