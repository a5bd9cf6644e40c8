"""Labels that look wrong, by confident learning, from predictions of models that did not see the images in training.

The method is that of Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels",
Journal of Artificial Intelligence Research 70 (2021), arXiv:1911.00068, with two classes. Each finding is a problem of
its own, so images with an unknown label of one finding count for the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.core.errors import EvaluationError


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What confident learning finds for one finding.

    Attributes:
        thresholds: (2,) mean probability of the class among the images labelled so: negative, positive.
        joint: (2, 2) estimated number of images by label (row) and true class (column); a row sums to its labels.
        rows: (m,) positions of the labels that look wrong, the most suspicious first.
        margins: (m,) probability of the other class minus that of the labelled class (the normalised margin, with its
            sign changed), above 0 and falling.
        known: Number of images with a label.
        absent: The reason why nothing could be estimated, or "".
    """

    thresholds: np.ndarray
    joint: np.ndarray
    rows: np.ndarray
    margins: np.ndarray
    known: int
    absent: str = ""

    @property
    def estimated(self) -> float:
        """Estimated number of wrong labels."""
        return float(self.joint[0, 1] + self.joint[1, 0])


def find_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> LabelErrors:
    """Finds labels of one finding that look wrong.

    The threshold of a class is the mean probability of it among the images labelled so. An image counts confidently in
    the class whose threshold its probability reaches (of two, the more probable). The counts by label and confident
    class, scaled so that each label keeps its number of images, are the confident joint. Of each label as many images
    are returned as the joint estimates to be wrong: those with the greatest normalised margin ("prune by noise rate"),
    as far as the other class is the more probable one. With two classes this order is also that of self-confidence,
    the probability of the labelled class. Labels below that limit are left out since few of them are wrong: with 5 % of
    the labels of 1,500 phantoms flipped, precision rises from 39 to 55 % and recall falls from 84 to 83 % for
    Cardiomegaly (AUC 0.91); from 8 to 21 % and from 58 to 52 % for Edema (AUC 0.60)
    (`tests/benchmarks/bench_label_errors.py`).

    The estimate is too high if the model is weak, since hard images look wrong too. With 5 % of 4,000 simulated labels
    flipped (219, one in five positive) it is 246 for a model of AUC 0.998, 289 for 0.983 and 489 for 0.92; of the
    labels returned 84 %, 65 % and 38 % are flipped, of the first hundred 100 %, 98 % and 77 %.

    Args:
        labels: (n,) 1, 0, or NaN for unknown labels, which are left out.
        probabilities: (n,) probability of the finding from models that were not trained on the image; NaN is left out.

    Raises:
        EvaluationError: The shapes differ, a label is neither 1, 0 nor NaN, or a probability is outside 0..1.

    Example:
        >>> found = find_label_errors(np.array([1, 1, 1, 0, 0, 0, np.nan]), np.array([.9, .8, .1, .2, .1, .9, .5]))
        >>> found.rows.tolist(), found.joint.tolist(), found.estimated
        ([5, 2], [[2.0, 1.0], [1.0, 2.0]], 2.0)
    """
    labels, chances = np.asarray(labels, float), np.asarray(probabilities, float)
    _check(labels, chances)
    known = np.flatnonzero(~np.isnan(labels) & ~np.isnan(chances))
    given = labels[known].astype(int)
    by_class = np.stack([1 - chances[known], chances[known]], axis=1)
    for label, word in enumerate(("negative", "positive")):
        if not (given == label).any():
            none = np.zeros(0, np.int64)
            absent = f"no {word} label among {len(known):,} known labels"
            return LabelErrors(np.full(2, np.nan), np.zeros((2, 2)), none, none.astype(float), len(known), absent)
    thresholds = np.array([by_class[given == label, label].mean() for label in (0, 1)])
    joint = _joint(given, by_class, thresholds)
    each = np.arange(len(given))
    margins = by_class[each, 1 - given] - by_class[each, given]
    taken = [_most(np.flatnonzero(given == label), margins, joint[label, 1 - label]) for label in (0, 1)]
    rows = np.concatenate(taken)
    # A label that the more probable class agrees with is not named, however improbable it is among its own.
    rows = rows[margins[rows] > 0]
    rows = rows[np.argsort(-margins[rows], kind="stable")]
    return LabelErrors(thresholds, joint, known[rows], margins[rows], len(known))


def _check(labels: np.ndarray, chances: np.ndarray) -> None:
    if labels.ndim != 1 or labels.shape != chances.shape:
        raise EvaluationError(
            f"one label and one probability per image are needed, got {labels.shape}, {chances.shape}"
        )
    odd = labels[~np.isin(labels, (0, 1)) & ~np.isnan(labels)]
    if len(odd):
        raise EvaluationError(f"labels must be 1, 0 or NaN (unknown), got {odd[0]:g}")
    outside = chances[(chances < 0) | (chances > 1)]
    if len(outside):
        raise EvaluationError(f"probabilities must be in 0..1, got {outside[0]:g}")


def _joint(given: np.ndarray, by_class: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The confident joint, scaled to the numbers of labels (equation 3 of the paper, times n)."""
    reached = by_class >= thresholds
    confident = np.where(reached, by_class, -1.0).argmax(axis=1)
    counts = np.zeros((2, 2))
    counted = reached.any(axis=1)
    np.add.at(counts, (given[counted], confident[counted]), 1)
    # A label without a confident image of its own class would be wrong throughout, whatever the model.
    counts[(0, 1), (0, 1)] = np.maximum(counts[(0, 1), (0, 1)], 1)
    return counts / counts.sum(axis=1, keepdims=True) * np.bincount(given, minlength=2)[:, None]


def _most(rows: np.ndarray, margins: np.ndarray, number: float) -> np.ndarray:
    return rows[np.argsort(-margins[rows], kind="stable")][: int(np.floor(number + 0.5))]
