"""Numbers that `coverage.py` draws apart from its others: margins of readers, and differences over seeds of training.

Readers call what their own reading puts above a threshold; its errors resemble the model's. A reader lies on the curve,
below or above it at a false positive rate of 0.1, or below it at 0.02 (strict) or 0.4 (lenient).

Two ways to train are compared over three seeds on two findings; the second way ranks worse. Each model has errors of
its own, errors that the seeds of its way share, and errors that all models share. With seeds that are apart, each also
separates the classes better or worse than the others of its way.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from coverage_kinds import Kind, errors, labels

from zoo.evaluation.scores import Scores
from zoo.evaluation.seeds import auc_difference
from zoo.evaluation.statistics.margins import margin

_NORMAL = NormalDist()

#: Reader -> how far the classes are apart, as a share of the model's, and false positive rate.
READERS = {"on": (1.0, 0.1), "below": (0.6, 0.1), "above": (1.4, 0.1), "strict": (0.8, 0.02), "lenient": (0.8, 0.4)}

#: Seeds -> variance of the errors of one seed alone, and of how far its classes are apart, as a share (deviation).
SEEDS = {"alike": (0.2, 0.0), "apart": (0.2, 0.15), "noisy": (0.8, 0.0)}

#: How far the classes of the second way are apart, as a share of the first one's.
WAYS = (1.0, 0.85)


def margins(auc: float, kind: Kind, patients: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The limits of each reader's margin in one sample; none without positives."""
    truth, shared, d = labels(patients, kind, rng), errors(patients, kind, rng), _apart(auc)
    if not truth.any():
        return {}
    scores = d * truth + (shared + errors(patients, kind, rng)) / np.sqrt(2)
    scores = np.round(2 * scores) / 2 if kind.rounded else scores
    of, found = np.repeat(np.arange(patients), kind.images), {}
    for reader, (apart, rate) in READERS.items():
        reading = apart * d * truth + (shared + errors(patients, kind, rng)) / np.sqrt(2)
        own = margin(truth, scores, (reading > -_NORMAL.inv_cdf(rate)).astype(float), of)
        found[f"margin {reader}"] = own.low, own.high
    return found


def true_margins(auc: float, kind: Kind) -> dict[str, float]:
    """The true margins; of rounded scores, on the lines between their points."""
    d, found = _apart(auc), {}
    cuts = np.arange(12, -12, -0.5) - 0.25
    false, true = ([1 - _NORMAL.cdf(cut - shift) for cut in cuts] for shift in (0.0, d))
    for reader, (apart, rate) in READERS.items():
        height = float(np.interp(rate, false, true)) if kind.rounded else _NORMAL.cdf(d + _NORMAL.inv_cdf(rate))
        found[f"margin {reader}"] = height - _NORMAL.cdf(apart * d + _NORMAL.inv_cdf(rate))
    return found


def seeds(auc: float, kind: Kind, patients: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The limits of the difference in mean AUC over three seeds, for each kind of seeds in one sample."""
    truth = np.stack([labels(patients, kind, rng) for _ in range(2)], axis=1)
    of, found = np.repeat(np.arange(patients), kind.images), {}

    def drawn() -> np.ndarray:
        return np.stack([errors(patients, kind, rng) for _ in range(2)], axis=1)

    for name, (alone, deviation) in SEEDS.items():
        shared, ways = drawn(), []
        for way in WAYS:
            common = np.sqrt(2 / 3) * shared + np.sqrt(1 / 3) * drawn()
            each = []
            for _ in range(3):
                apart = _apart(auc) * way * (1 + deviation * rng.standard_normal())
                logits = apart * truth + np.sqrt(1 - alone) * common + np.sqrt(alone) * drawn()
                each.append(Scores(logits, truth, ("a", "b"), "test", patients=of))
            ways.append(each)
        less = auc_difference(*ways)
        low, high = (np.nan if end is None else end for end in (less.low, less.high))
        found[f"seeds {name}"] = low, high
    return found


def true_seeds(auc: float, kind: Kind) -> dict[str, float]:
    """The true differences, over all seeds."""
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    found = {}
    for name, (_, deviation) in SEEDS.items():
        first, second = (
            weights @ [_NORMAL.cdf(_apart(auc) * way * (1 + deviation * x) / np.sqrt(2)) for x in points]
            for way in WAYS
        )
        found[f"seeds {name}"] = float((first - second) / weights.sum())
    return found


def _apart(auc: float) -> float:
    return float(np.sqrt(2) * _NORMAL.inv_cdf(auc))
