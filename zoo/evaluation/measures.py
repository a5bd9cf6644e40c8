"""All metrics of one model at once, and again for each resample of the patients: prepared once, then only summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zoo.evaluation import metrics
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import draw
from zoo.evaluation.statistics.ranking import rank
from zoo.evaluation.statistics.reliability import BINS, bins_of, squared_error

#: What an operating point is described by.
AT_A_POINT = ("f1", "sensitivity", "specificity", "ppv", "npv", "accuracy")

#: (over what, metric) -> values: "finding" (..., k), or "macro", "micro" and "weighted" (...), after an axis of
#: resamples if there is one.
Values = dict[tuple[str, str], np.ndarray]

_RANKING, _PROPER = ("auc", "average_precision"), ("brier", "log_loss")


class Measures:
    """One model's predictions, ready to be measured under patient weights.

    Per finding and pooled over all labels ("micro", for logits only, since other scores of two findings cannot be
    compared); "macro" is the mean over findings, "weighted" that weighted by their positives, NaN left out of both.

    Args:
        scores: What is measured.
        decision: Its calibration, or None.
        points: Operating point -> threshold of each finding.
        ranking: False leaves AUC and average precision out.
    """

    def __init__(
        self,
        scores: Scores,
        decision: Decision | None,
        points: Mapping[str, Sequence[float | None]],
        *,
        ranking: bool = True,
    ) -> None:
        self._clusters = scores.clusters
        labels, logits = scores.labels, scores.kind == "logits"
        p = scores.calibrated(decision) if logits else scores.logits
        pairs = [*zip(labels.T, scores.logits.T, strict=True)]
        # The last one is all labels pooled.
        pooled = [(labels.T.reshape(-1), p.T.reshape(-1))] if logits else []
        self._ranked = [rank(y, s) for y, s in pairs + pooled] if ranking else []
        binned = [*zip(labels.T, p.T, strict=True), *pooled] if logits else []
        self._squares = np.array([squared_error(y, q) for y, q in binned])
        # float32: their products with thousands of weights are most of the work, and serve for intervals alone.
        self._bins = np.concatenate(
            [_by_bin(y, q, self._clusters) for y, q in binned] or [np.empty((0, 0))], axis=1, dtype=np.float32
        )
        # Everything else is a ratio of sums, each a column here: (clusters, columns), k columns a name.
        columns = {"positives": labels == 1, "negatives": labels == 0}
        if logits:
            columns |= {"brier": np.nan_to_num((p - labels) ** 2), "log_loss": np.nan_to_num(_log_loss(labels, p))}
        self._undecided = {}
        for name, thresholds in points.items() if logits else ():
            limits = np.array([np.nan if t is None else t for t in thresholds])
            called = metrics.at_least(p, limits)
            columns |= {f"tp@{name}": called & (labels == 1), f"fp@{name}": called & (labels == 0)}
            self._undecided[name] = np.isnan(limits)
        self._names = tuple(columns)
        self._sums = _by_cluster(np.concatenate([*columns.values()], axis=1), self._clusters)

    def values(self) -> Values:
        """Every metric of the films as they are: "finding" (k,), the others ()."""
        found = self._under(np.ones((1, len(self._sums))))
        return {key: values[0] for key, values in self._finish(found | self._calibration(self._squares[None])).items()}

    def resampled(self, resamples: int, seed: int) -> Values:
        """The same under resamples of the patients, as `intervals.bootstrap` draws them, on a first axis.

        Resampling alone adds to the square of a calibration error; so much is taken off again.
        """
        parts, squares = [], []
        for weights in draw(len(self._sums), resamples, seed):
            parts.append(self._under(weights))
            squares += [_squares(weights, self._bins)] if self._bins.size else []
        samples = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        if squares:
            found = np.concatenate(squares)
            added = metrics.mean_over_findings(found.T)[0] - self._squares
            samples |= self._calibration(found - np.nan_to_num(added))
        return self._finish(samples)

    def _under(self, weights: np.ndarray) -> Values:
        """What is measured by finding and pooled, under (r, clusters) weights, but for the calibration error."""
        sums = dict(zip(self._names, np.split(weights @ self._sums, len(self._names), axis=1), strict=True))
        positives, negatives = sums["positives"], sums["negatives"]
        found: Values = {("finding", "positives"): positives}
        if self._ranked:
            # `take` lays each resample's weights side by side, as counting them needs; `[:, clusters]` would not.
            rows, k = np.take(weights, self._clusters, axis=1), positives.shape[1]
            areas = np.array([one.areas(rows) for one in self._ranked])  # (k or k + 1, metric, r)
            for i, metric in enumerate(_RANKING):
                found["finding", metric] = areas[:k, i].T
                if len(areas) > k:
                    found["micro", metric] = areas[k, i]
        for metric in [metric for metric in _PROPER if metric in sums]:
            known = positives + negatives
            found["finding", metric] = _ratio(sums[metric], known)
            found["micro", metric] = _ratio(sums[metric].sum(axis=1), known.sum(axis=1))
        for name, undecided in self._undecided.items():
            tp, fp = sums[f"tp@{name}"], sums[f"fp@{name}"]
            cells = [np.where(undecided, np.nan, cell) for cell in (tp, fp, positives - tp, negatives - fp)]
            counts, pooled = metrics.Confusion(*cells), metrics.Confusion(*(np.nansum(cell, axis=1) for cell in cells))
            for metric in AT_A_POINT:
                found["finding", f"{metric}@{name}"] = getattr(counts, metric)
                found["micro", f"{metric}@{name}"] = getattr(pooled, metric)
        return found

    def _calibration(self, squares: np.ndarray) -> Values:
        """Calibration errors from their squares (r, k + 1), the last one pooled; nothing where there are none."""
        if not squares.size:
            return {}
        errors = np.sqrt(np.maximum(squares, 0.0))
        return {("finding", "ece"): errors[:, :-1], ("micro", "ece"): errors[:, -1]}

    def _finish(self, found: Values) -> Values:
        """Adds the averages over findings."""
        positives = found.pop(("finding", "positives"))
        for over, metric in [key for key in found if key[0] == "finding"]:
            values = found[over, metric]
            support = np.where(np.isnan(values), 0.0, positives)
            found["macro", metric] = metrics.mean_over_findings(values)[0]
            found["weighted", metric] = _ratio(np.nansum(support * values, axis=-1), support.sum(axis=-1))
        return found


def _by_bin(labels: np.ndarray, p: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """(clusters, 3 * bins): known labels, positives and sum of the probabilities of one finding in each bin.

    The bins stay those of the plain rows. Labels may be those of several findings, one after the other.
    """
    known = ~np.isnan(labels)
    count = int(clusters.max()) + 1
    if not known.any():
        return np.zeros((count, 3 * BINS))
    of = np.tile(clusters, len(labels) // len(clusters))[known] * BINS + bins_of(p[known])
    sums = [np.bincount(of, v, count * BINS).reshape(count, BINS) for v in (known[known], labels[known], p[known])]
    return np.concatenate(sums, axis=1)


def _squares(weights: np.ndarray, by_bin: np.ndarray) -> np.ndarray:
    """(r, m) squared calibration errors of m findings, as `reliability.squared_error` defines them.

    Args:
        weights: (r, clusters).
        by_bin: (clusters, m * 3 * bins), `_by_bin` of one finding after the other.

    Returns:
        float64 (r, m); NaN without both classes.
    """
    sums = (weights.astype(np.float32) @ by_bin).astype(np.float64).reshape(len(weights), -1, 3, BINS)
    n, positives, predicted = np.moveaxis(sums, 2, 0)
    n_or_1 = np.maximum(n, 1)
    observed = positives / n_or_1
    chance = observed * (1 - observed) / np.maximum(n - 1, 1)
    total, found = n.sum(axis=2), positives.sum(axis=2)
    square = np.sum(n * ((predicted / n_or_1 - observed) ** 2 - chance), axis=2)
    return np.where((found > 0) & (found < total), square / np.maximum(total, 1), np.nan)


def _log_loss(labels: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of each label, as `metrics.log_loss` takes it; NaN where it is unknown."""
    eps = np.finfo(np.float64).eps
    p = np.clip(p, eps, 1 - eps)
    return -np.where(labels == 1, np.log(p), np.log1p(-p)) + 0 * labels


def _by_cluster(columns: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums of the columns (n, m) over the rows of each cluster: float64 (clusters, m)."""
    order = np.argsort(clusters, kind="stable")
    first = np.searchsorted(clusters[order], np.arange(int(clusters.max()) + 1))
    return np.add.reduceat(columns[order], first, axis=0, dtype=np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
