"""Choices of weights compared on the same patients, and what each member adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from zoo.evaluation.ensembling import selection
from zoo.evaluation.ensembling.fitting import mean_logits
from zoo.evaluation.measures import group_columns, measure_group
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result.members import GREEDY, MemberValue, WeightChoice
from zoo.evaluation.result.numbers import Estimate
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.columns import Column
from zoo.evaluation.statistics.intervals import Interval, bootstrap, percentiles
from zoo.evaluation.statistics.ratios import mean_over_findings, ratio

#: (members, findings) shares that sum to 1.
Shares: TypeAlias = Sequence[Sequence[float]] | np.ndarray


def compare_weights(
    validation: Mapping[str, Scores],
    test: Mapping[str, Scores],
    shares: Mapping[str, Shares],
    used: str,
    alone: tuple[Mapping[str, float], str],
    *,
    resamples: int,
    seed: int,
) -> tuple[dict[str, WeightChoice], dict[str, MemberValue]]:
    """Computes what each choice of weights gives on the test part, and what each member adds.

    All choices see the same resamples of patients, so differences are paired. Without a member, the weights of the
    others are made to sum to 1.

    Args:
        validation: Member -> scores on the validation part, from which temperatures come.
        test: Member -> scores on the test part.
        shares: Choice -> its shares.
        used: The choice in use.
        alone: Member -> log loss alone, on the validation part; and the best member.
        resamples: Number of resamples.
        seed: Seed of the resamples.
    """
    parts = list(validation.values()), list(test.values())
    left = {f"without {m}": _without(shares[used], i) for i, m in enumerate(validation)} if len(validation) > 1 else {}
    every: dict[str, Shares] = {**shares, **left}
    held = {choice: mean_logits(parts[0], given) for choice, given in every.items()}
    labels = parts[0][0].labels
    temperatures = {choice: selection.temperature(z, labels) for choice, z in held.items()}
    first = parts[1][0]
    tested = _Sampled.of(
        first, {c: mean_logits(parts[1], given) for c, given in every.items()}, temperatures, resamples, seed
    )
    fitted = _Sampled.of(parts[0][0], held, temperatures, resamples, seed, ranking=False)
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
class _Sampled:
    """Mean AUC and log loss of each choice on one part: values, and samples of the bootstrap over patients."""

    counts: tuple[int, int]
    values: Mapping[tuple[str, str], float]
    samples: Mapping[tuple[str, str], np.ndarray]

    @classmethod
    def of(
        cls,
        first: Scores,
        logits: Mapping[str, np.ndarray],
        temperatures: Mapping[str, float],
        resamples: int,
        seed: int,
        ranking: bool = True,
    ) -> _Sampled:
        k, everybody = len(first.findings), np.arange(len(first.labels))
        columns: dict[str, list[Column | None]] = {}
        values: dict[tuple[str, str], float] = {}
        sums: dict[str, np.ndarray] = {}
        known = (~np.isnan(first.labels)).sum(axis=1).astype(np.float64)
        for choice, z in logits.items():
            losses = selection.losses(z, first.labels, temperatures[choice])
            sums[choice] = np.nansum(losses, axis=1)
            values["loss", choice] = float(ratio(sums[choice].sum(), known.sum()))
            if ranking:
                scores = Scores(z, first.labels, first.findings, first.split)
                columns[choice] = group_columns(scores, None, (None,) * k, everybody)
                values["auc", choice] = float(mean_over_findings(roc_auc(first.labels, z))[0])

        def statistic(weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
            found = {("loss", choice): ratio(own @ weights, known @ weights) for choice, own in sums.items()}
            areas = {c: measure_group(own, weights, 1)[:, 0] for c, own in columns.items()}
            return found | {("auc", choice): mean_over_findings(own)[0] for choice, own in areas.items()}

        n, positives = first.counts
        samples = bootstrap(statistic, first.clusters, resamples=resamples, seed=seed)
        return cls((int(n.sum()), int(positives.sum())), values, samples)

    def auc(self, choice: str, minus: str | None = None) -> Estimate:
        return self._estimate("auc", choice, minus)

    def loss(self, choice: str, minus: str | None = None) -> Estimate:
        return self._estimate("loss", choice, minus)

    def _estimate(self, measure: str, choice: str, minus: str | None) -> Estimate:
        value, samples = self.values[measure, choice], self.samples[measure, choice]
        if minus is not None:
            value, samples = value - self.values[measure, minus], samples - self.samples[measure, minus]
        low, high = (float(limit) for limit in percentiles(samples))
        return Estimate.from_interval(Interval(value, low, high, *self.counts))
