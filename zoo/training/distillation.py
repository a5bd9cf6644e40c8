"""The loss of a student: the teacher's softened probabilities, mixed with the labels."""

from __future__ import annotations

from typing import Any

import keras

from zoo.core.errors import UsageError
from zoo.training.losses import WeightedBCE


@keras.saving.register_keras_serializable("zoo")
class DistillationLoss(keras.losses.Loss):
    """(1 - alpha) * T^2 * cross-entropy of the softened probabilities + alpha * the loss of the labels.

    Targets are those of `teaching.targets`, (batch, 2 findings); predictions are logits, (batch, findings). Each of
    the two terms is a mean over what is known, so unlabelled images are not counted in the second one.

    Args:
        labels: Loss of the labels.
        temperature: T, with which the targets were softened.
        alpha: Weight of the labels, in [0, 1).
        name: Name of the loss.

    Example:
        >>> import numpy as np
        >>> target = np.array([[0.5, np.nan]], "float32")  # a probability of 0.5, and no label
        >>> round(float(DistillationLoss(temperature=2.0)(target, np.zeros((1, 1), "float32"))), 4)  # 4 log 2
        2.7726
    """

    def __init__(
        self,
        labels: keras.losses.Loss | None = None,
        temperature: float = 2.0,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        self.soft, self.labels = WeightedBCE(), labels or WeightedBCE()
        self.temperature, self.alpha = float(temperature), float(alpha)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, float32 (batch,)."""
        k = y_pred.shape[-1]
        if len(y_true.shape) != 2 or y_true.shape[-1] != 2 * k:
            raise UsageError(f"targets must be (batch, {2 * k}) for {k} findings, got {tuple(y_true.shape)}")
        soft = self.soft.call(y_true[:, :k], y_pred / self.temperature) * self.temperature**2
        if not self.alpha:
            return soft
        return (1.0 - self.alpha) * soft + self.alpha * self.labels.call(y_true[:, k:], y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, as Keras' serialization needs them."""
        labels = keras.saving.serialize_keras_object(self.labels)
        return {"labels": labels, "temperature": self.temperature, "alpha": self.alpha, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DistillationLoss:
        """Makes the loss from `get_config`."""
        return cls(**{**config, "labels": keras.saving.deserialize_keras_object(config["labels"])})
