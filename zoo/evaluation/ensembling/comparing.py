"""Choices of weights compared on the same patients, and what each member adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from zoo.evaluation.ensembling import selection
from zoo.evaluation.ensembling.fitting import mean_logits
from zoo.evaluation.measures import measures
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result.members import GREEDY, MemberValue, WeightChoice
from zoo.evaluation.result.numbers import Estimate
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import Interval
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.evaluation.uncertainty import mean_spread, uncertainty_of, uncertainty_of_difference

#: Confidence level.
LEVEL = 0.95

#: (members, findings) shares that sum to 1.
Shares: TypeAlias = Sequence[Sequence[float]] | np.ndarray


def compare_weights(
    validation: Mapping[str, Scores],
    test: Mapping[str, Scores],
    shares: Mapping[str, Shares],
    used: str,
    alone: tuple[Mapping[str, float], str],
) -> tuple[dict[str, WeightChoice], dict[str, MemberValue]]:
    """Computes what each choice of weights gives on the test part, and what each member adds.

    Differences are paired. Without a member, the weights of the others are made to sum to 1.

    Args:
        validation: Member -> scores on the validation part, from which temperatures come.
        test: Member -> scores on the test part.
        shares: Choice -> its shares.
        used: The choice in use.
        alone: Member -> log loss alone, on the validation part; and the best member.
    """
    parts = list(validation.values()), list(test.values())
    left = {f"without {m}": _without(shares[used], i) for i, m in enumerate(validation)} if len(validation) > 1 else {}
    every: dict[str, Shares] = {**shares, **left}
    held = {choice: mean_logits(parts[0], given) for choice, given in every.items()}
    labels = parts[0][0].labels
    temperatures = {choice: selection.temperature(z, labels) for choice, z in held.items()}
    first = parts[1][0]
    tested = _Compared(first, {c: mean_logits(parts[1], given) for c, given in every.items()}, temperatures)
    fitted = _Compared(parts[0][0], held, temperatures)
    choices = {
        choice: WeightChoice(
            tested.auc(choice),
            tested.loss(choice),
            tested.auc(used, choice) if choice != used else None,
            tested.loss(used, choice) if choice != used else None,
        )
        for choice in shares
    }
    values = {
        member: MemberValue(
            float(np.mean(shares[used][i], dtype=np.float64)),
            float(shares[GREEDY][i][0]),
            alone[0][member],
            fitted.loss(f"without {member}", used),
            tested.auc(used, f"without {member}"),
        )
        for i, member in enumerate(validation)
    }
    return choices, values


def _without(shares: Shares, member: int) -> np.ndarray:
    """Shares without a member; of findings for which it speaks alone, those of the others are equal."""
    rows = np.array(shares, np.float64)
    rows[member] = 0.0
    total = rows.sum(axis=0)
    others = np.arange(len(rows)) != member
    return np.where(total > 0, rows / np.where(total > 0, total, 1), others[:, None] / max(others.sum(), 1))


@dataclass(frozen=True, eq=False)
class _Compared:
    """Mean AUC over findings and log loss over all labels, of each choice on one part."""

    first: Scores
    logits: Mapping[str, np.ndarray]
    temperatures: Mapping[str, float]

    def auc(self, choice: str, minus: str | None = None) -> Estimate:
        """The mean AUC of a choice, or the difference of two."""
        own, keys = self._scores(choice), [("finding", "auc")]
        value = float(mean_over_findings(roc_auc(own.labels, own.logits))[0])
        if minus is None:
            found = uncertainty_of(own, measures(own))
        else:
            other = self._scores(minus)
            value -= float(mean_over_findings(roc_auc(other.labels, other.logits))[0])
            found = uncertainty_of_difference((own, None), (other, None), keys)
        return self._estimate(value, found.mean("auc", np.ones(len(own.findings)), LEVEL))

    def loss(self, choice: str, minus: str | None = None) -> Estimate:
        """The log loss of a choice, or the difference of two."""
        losses = self._losses(choice) - (0.0 if minus is None else self._losses(minus))
        pooled = np.tile(self.first.clusters, losses.shape[1])
        patients = int(self.first.clusters.max()) + 1
        spread = mean_spread(losses.T.reshape(-1), pooled, patients, "log" if minus is None else "plain")
        return self._estimate(spread.value, spread.interval(LEVEL))

    def _scores(self, choice: str) -> Scores:
        return replace(self.first, logits=self.logits[choice], kind="logits")

    def _losses(self, choice: str) -> np.ndarray:
        return selection.losses(self.logits[choice], self.first.labels, self.temperatures[choice])

    def _estimate(self, value: float, limits: tuple[float, float]) -> Estimate:
        n, positives = self.first.counts
        return Estimate.from_interval(Interval(value, *limits, int(n.sum()), int(positives.sum())))
