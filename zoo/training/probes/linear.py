"""Logistic regressions on frozen features, one for each finding, as the kernel and bias of a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import numpy as np

from zoo.core.errors import MissingExtraError

#: A feature that varies less than this is treated as constant, and gets no weight.
_CONSTANT = 1e-7

#: Directions of the features with a smaller share of the largest variance are left out: they are rounding errors.
_NEGLIGIBLE = 1e-10


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear models on raw features; the standardisation of the features is folded in.

    Attributes:
        kernel: float64 (features, findings).
        bias: float64 (findings,).

    >>> Linear(np.array([[2.0]]), np.array([-1.0])).logits(np.array([[3.0]], np.float32)).tolist()
    [[5.0]]
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns float64 logits (n, findings) of features (n, features)."""
        return np.asarray(features, np.float64) @ self.kernel + self.bias


class Prepared:
    """Features of the training rows, standardised and, with fewer rows than features, rotated to as few columns.

    The rotation changes nothing: the weights of a regression with an L2 penalty are combinations of the rows. It is
    found once and serves all findings and strengths.

    Args:
        features: (n, features), all finite.
    """

    def __init__(self, features: np.ndarray) -> None:
        features = np.asarray(features, np.float64)
        self._mean, scale = features.mean(axis=0), features.std(axis=0)
        varies = scale > _CONSTANT
        self._inverse = np.where(varies, 1.0 / np.where(varies, scale, 1.0), 0.0)
        standard = (features - self._mean) * self._inverse
        self._back: np.ndarray | None = None
        self.columns = standard
        if len(standard) < standard.shape[1]:
            # The eigenvectors of the small matrix of products of rows: several times as fast as an SVD.
            with _one_thread():
                values, vectors = np.linalg.eigh(standard @ standard.T)
            kept = values > _NEGLIGIBLE * max(values[-1], 1e-300)
            sizes = np.sqrt(values[kept])
            self.columns = vectors[:, kept] * sizes
            self._back = standard.T @ (vectors[:, kept] / sizes)

    def fit(self, labels: np.ndarray, strengths: Sequence[float], *, balanced: bool = False) -> list[Linear]:
        """Fits one logistic regression for each finding and strength; needs scikit-learn.

        Args:
            labels: (n, findings) of 1, 0 and NaN; a row with NaN is left out for that finding.
            strengths: Inverse strengths C of the L2 penalty on standardised features, smallest first.
            balanced: Whether both classes get the same total weight.

        Returns:
            One `Linear` for each strength. A finding without both classes gets a constant: the log-odds of its smoothed
            prevalence.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError:
            raise MissingExtraError("a linear head", "scikit-learn", "train") from None

        shape = (len(strengths), self.columns.shape[1], labels.shape[1])
        weights, biases = np.zeros(shape), np.zeros((shape[0], shape[2]))
        for j, column in enumerate(np.asarray(labels).T):
            known = ~np.isnan(column)
            truth, rows = column[known].astype(np.int64), self.columns[known]
            if len(np.unique(truth)) < 2:
                biases[:, j] = np.log((truth.sum() + 0.5) / (len(truth) - truth.sum() + 0.5))
                continue
            weighting = "balanced" if balanced else None
            model = LogisticRegression(max_iter=2000, warm_start=True, class_weight=weighting)
            with _one_thread():
                for i, strength in enumerate(strengths):
                    model.set_params(C=strength).fit(rows, truth)
                    weights[i, :, j], biases[i, j] = model.coef_[0], model.intercept_[0]
        return [self._raw(*fitted) for fitted in zip(weights, biases, strict=True)]

    def _raw(self, weights: np.ndarray, bias: np.ndarray) -> Linear:
        standard = weights if self._back is None else self._back @ weights
        kernel = standard * self._inverse[:, None]
        return Linear(kernel, bias - self._mean @ kernel)


def _one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread: the matrices are small, and a second thread would mostly wait for the first one.

    On a machine with other work the waiting costs several times the work: eigenvectors of 890 rows took 0.18 s of CPU
    time with one thread and 1.53 s with two, and 1.5 s and 10.7 s of time (two processors, six other processes).
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn
        raise MissingExtraError("a linear head", "scikit-learn", "train") from None
    return cast(AbstractContextManager[object], threadpool_limits(1))
