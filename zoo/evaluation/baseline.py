"""A baseline that a network has to beat: logistic regression on small greyscale images.

It can only use coarse cues such as patient position, support devices and brightness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from zoo.core.errors import EvaluationError

#: Height and width the images are shrunk to, in pixels.
SIZE = 32

#: Inverse strength of the L2 penalty: a strong penalty, suited to 1,024 standardised pixels and some hundred images or
#: more. It is fixed, so that the baseline is the same in every run.
C = 3e-3


@dataclass(frozen=True, eq=False)
class PixelBaseline:
    """A fitted baseline: one linear model for each finding.

    Attributes:
        mean: (1024,) mean of each pixel over the training images.
        scale: (1024,) standard deviation of each pixel (1 where the pixel never varies).
        weights: (1024, k) coefficients of the standardised pixels.
        bias: (k,) intercepts.

    >>> baseline = PixelBaseline(np.zeros(1024), np.ones(1024), np.full((1024, 1), 1 / 1024), np.array([-100.0]))
    >>> baseline.logits(np.full((1, 64, 64, 1), 120, np.uint8)).tolist()  # the mean pixel, 120, minus 100
    [[20.0]]
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Computes float32 logits (n, k) of uint8 images (n, h, w, 1 or 3) of any size."""
        return ((shrink(images) - self.mean) / self.scale @ self.weights + self.bias).astype(np.float32)


def fit_pixel_baseline(images: np.ndarray, labels: np.ndarray) -> PixelBaseline:
    """Fits the baseline on the training part.

    A finding whose known labels are all of one class gets a constant logit: the log-odds of its smoothed prevalence.
    This function needs scikit-learn.

    Args:
        images: uint8 (n, h, w, 1 or 3), all of one size.
        labels: (n, k) of 1, 0 and NaN (unknown: the image is left out for that finding).

    Raises:
        ValueError: Images and labels differ in number, or images are not uint8 (n, h, w, c).
        ImportError: scikit-learn is not installed.
    """
    from sklearn.linear_model import LogisticRegression  # an extra: only whoever fits a baseline needs it

    if len(images) != len(labels):
        raise EvaluationError(f"got {len(images)} images and {len(labels)} rows of labels")
    pixels = shrink(images)
    mean, scale = pixels.mean(axis=0), pixels.std(axis=0)
    scale[scale < 1e-6] = 1.0
    features = (pixels - mean) / scale
    weights, bias = np.zeros((features.shape[1], labels.shape[1])), np.zeros(labels.shape[1])
    for j, column in enumerate(labels.T):
        known = ~np.isnan(column)
        truth = column[known].astype(np.int64)
        if len(np.unique(truth)) < 2:
            bias[j] = np.log((truth.sum() + 0.5) / (len(truth) - truth.sum() + 0.5))
            continue
        model = LogisticRegression(C=C, max_iter=500).fit(features[known], truth)
        weights[:, j], bias[j] = model.coef_[0], model.intercept_[0]
    return PixelBaseline(mean, scale, weights, bias)


def shrink(images: np.ndarray) -> np.ndarray:
    """Shrinks uint8 images (n, h, w, 1 or 3) to 32 x 32 grey pixels, each the average over its area.

    Returns:
        float64 (n, 1024) in 0..255.

    Raises:
        ValueError: Images of another shape or dtype.

    >>> shrink(np.full((2, 64, 64, 1), 7, np.uint8)).shape
    (2, 1024)
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        raise EvaluationError(f"images must be uint8 (n, h, w, 1 or 3), got {images.dtype} {images.shape}")
    grey = [Image.fromarray(image.squeeze(-1) if image.shape[2] == 1 else image).convert("L") for image in images]
    small = [np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) for image in grey]
    return np.stack(small).reshape(len(small), -1)
