"""The members of an ensemble in a result: their weights, what each adds, and what other weights would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from zoo.config.json_schema import Keywords
from zoo.evaluation.decision import Origin
from zoo.evaluation.result.numbers import Estimate
from zoo.labels.parts import FITTABLE

_Share = Annotated[float, Keywords(minimum=0, maximum=1)]

#: Names of choices of weights that are not a member's name.
UNIFORM, FITTED, BY_FINDING, GREEDY, GIVEN = "uniform", "fitted", "fitted_per_finding", "greedy", "given"

#: Begins the note of weights that could not be fitted.
NOT_FITTED = "uniform, without a fit: "


@dataclass(frozen=True)
class WeightFit:
    """How the weights in use were fitted.

    Attributes:
        shrinkage: Share of the uniform weights in them.
        shrinkage_by_finding: Share of the weights of all findings in those of each finding; None for one weight for
            each member.
        origin: Method, data, and notes on the choice; the first one begins with `NOT_FITTED` if they are the uniform
            weights because there was too little to fit others on.
    """

    shrinkage: _Share
    shrinkage_by_finding: Annotated[float | None, Keywords(minimum=0, maximum=1)]
    origin: Origin

    @property
    def not_fitted(self) -> str:
        """Why the weights are uniform without a fit; "" if they were fitted."""
        first = next(iter(self.origin.notes), "")
        return first.removeprefix(NOT_FITTED) if first.startswith(NOT_FITTED) else ""


@dataclass(frozen=True)
class MemberValue:
    """One member of the ensemble.

    Log losses are of the part that weights are fitted on (`Members.fitted_on`), in nats, means over its known labels,
    each at the temperature that fits best.

    Attributes:
        weight: Its share in the mean, averaged over findings.
        greedy: Its share by greedy selection.
        log_loss: Log loss of the member alone.
        without_log_loss: Log loss without the member minus log loss with it: positive if the member helps. The weights
            of the others are made to sum to 1.
        without_auc: Mean AUC of the ensemble minus that without the member, on the evaluated part.
    """

    weight: _Share
    greedy: _Share
    log_loss: float
    without_log_loss: Estimate
    without_auc: Estimate


@dataclass(frozen=True)
class WeightChoice:
    """What one choice of weights gives on the evaluated part.

    Attributes:
        auc: Mean AUC over findings.
        log_loss: Mean log loss in nats over the known labels, at the temperature that fits `Members.fitted_on` best.
        auc_difference: Mean AUC of the weights in use minus this one, paired; None for those in use.
        log_loss_difference: Log loss of the weights in use minus this one, paired; None for those in use.
    """

    auc: Estimate
    log_loss: Estimate
    auc_difference: Estimate | None = None
    log_loss_difference: Estimate | None = None


@dataclass(frozen=True)
class Members:
    """The members of an ensemble, and what other weights than those in use would give.

    Attributes:
        used: Choice of weights in use: "uniform", "fitted", "fitted_per_finding", or "given" for numbers of a recipe.
        best: Member with the smallest log loss on the part that weights are fitted on.
        members: Member -> its weight, and what it adds.
        choices: "uniform", "fitted", "fitted_per_finding", "greedy", "given", or the best member's name -> what it
            gives.
        fit: How the weights in use were fitted; None if the recipe did not ask for it.
        fitted_on: Part that weights and temperatures are fitted on: "validation" or "out-of-fold".
    """

    used: str
    best: str
    members: Mapping[str, MemberValue]
    choices: Mapping[str, WeightChoice]
    fit: WeightFit | None = field(default=None)
    fitted_on: Annotated[str, Keywords(enum=list(FITTABLE))] = "validation"
