"""What a student learns from a teacher: its softened probabilities, beside the labels where there are some.

Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv:1503.02531), for a sigmoid
of each finding in place of one softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.core.errors import RecipeError, UsageError
from zoo.evaluation.calibration.fits import sigmoid


@dataclass(frozen=True)
class TeachingSpec:
    """The teacher of a run, and how its student learns from it.

    The loss is (1 - alpha) * T^2 * cross-entropy(sigmoid(teacher / T), sigmoid(student / T)) + alpha * the recipe's
    loss of the labels; the factor T^2 keeps the size of the gradient. An image without labels has the first term alone,
    a finding that the teacher was not trained on has neither.

    Attributes:
        teacher: Name of the teacher, without its folder.
        manifest_sha256: sha256 of the manifest of its release, which identifies the teacher.
        temperature: T, by which both logits are divided, in [0.1, 100]; below, T^2 leaves no gradient in float32.
        alpha: Weight of the labels, in [0, 1).

    Raises:
        RecipeError: A number is out of range.

    Example:
        >>> TeachingSpec("xrayslam-demo", "1f" * 32).temperature
        2.0
    """

    teacher: str
    manifest_sha256: str
    temperature: float = 2.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.temperature <= 100:
            raise RecipeError(f"teaching: temperature must be 0.1 to 100, got {self.temperature}")
        if not 0 <= self.alpha < 1:
            raise RecipeError(f"teaching: alpha must be in [0, 1), got {self.alpha}")


def targets(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """Puts the teacher's softened probabilities and the labels side by side.

    Args:
        logits: (n, k) of the teacher; NaN in the columns that it was not trained on.
        labels: (n, k) of 1, 0 and NaN.
        temperature: By which the logits are divided.

    Returns:
        float32 (n, 2 k): k probabilities, then k labels, both NaN where the teacher has no logit.

    Raises:
        UsageError: The shapes differ.

    Example:
        >>> targets(np.array([[0.0, np.nan]]), np.array([[1.0, 1.0]]), 2.0).tolist()
        [[0.5, nan, 1.0, nan]]
    """
    if np.shape(logits) != np.shape(labels):
        raise UsageError(f"the teacher's logits are {np.shape(logits)}, the labels {np.shape(labels)}")
    softened = sigmoid(np.asarray(logits, np.float64) / temperature)
    known = np.where(np.isnan(softened), np.nan, labels)
    return np.concatenate([softened, known], axis=1).astype(np.float32)
