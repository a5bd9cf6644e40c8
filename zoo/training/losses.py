"""Multi-label losses on logits that mask unknown labels and weight the findings; equal on every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from zoo.core.errors import TableError, UnknownNameError, UsageError
from zoo.core.warn import warn_user
from zoo.training import mirrored

Form = Literal["both_terms", "positive_only"]


class FindingLoss(keras.losses.Loss):
    """Base class of the losses: checks, masks, weights and averages. A subclass defines the loss of one label.

    The value is the mean over the known labels of a batch; NaN labels are counted neither in the sum nor in the
    denominator. A batch without known labels has loss 0 and gradient 0.

    Labels are (batch, findings) of 1, 0 and NaN; predictions are logits of the same shape. All arithmetic is float32.

    Args:
        label_weights: One weight per finding, or None for weights of 1; see the function `label_weights`.
        form: "both_terms" weights the positives and negatives of a finding, "positive_only" its positives alone.
        smoothing: Label smoothing s: 1 becomes 1 - s / 2 and 0 becomes s / 2 (Szegedy et al. 2016, two classes).
        name: Name of the loss.

    Example:
        >>> class SquaredError(FindingLoss):  # (1 - p)^2 of a positive, p^2 of a negative
        ...     def terms(self, logits):
        ...         p = ops.sigmoid(logits)
        ...         return (1 - p) ** 2, p**2
        >>> float(SquaredError()(np.array([[1.0, np.nan]], "float32"), np.array([[0.0, 5.0]], "float32")))
        0.25
    """

    def __init__(
        self,
        label_weights: Sequence[float] | None = None,
        form: Form = "both_terms",
        smoothing: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        if form not in ("both_terms", "positive_only"):
            raise UsageError(f"form must be 'both_terms' or 'positive_only', got {form!r}")
        if not 0.0 <= smoothing < 1.0:
            raise UsageError(f"smoothing must be in [0, 1), got {smoothing}")
        self.label_weights = None if label_weights is None else tuple(float(w) for w in label_weights)
        if self.label_weights and not all(np.isfinite(w) and w >= 0 for w in self.label_weights):
            raise UsageError(f"label_weights must be finite numbers >= 0, got {self.label_weights}")
        self.form: Form = form
        self.smoothing = float(smoothing)

    def terms(self, logits: Any) -> tuple[Any, Any]:
        """Returns the loss of each logit if the finding is present, and if it is absent, each in the logits' shape.

        Subclasses override this pure function.
        """
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the mean loss over the known labels, a float32 scalar.

        Raises:
            ValueError: The shapes differ, or `sample_weight` is given.
        """
        if sample_weight is not None:
            # fit(class_weight=) arrives here too: Keras turns it into sample weights by each row's argmax.
            raise UsageError(
                f"{type(self).__name__} takes no sample_weight or class_weight: Keras reads class_weight by the argmax "
                "of each row, which means nothing for several findings; give label_weights to the loss"
            )
        return super().__call__(y_true, y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, float32 (batch,), scaled so that its mean is the mean over known labels."""
        self._check(y_true, y_pred)
        known = ops.logical_not(ops.isnan(y_true))
        # NaN is replaced before the arithmetic, since 0 * NaN is NaN in the value and in the gradient.
        labels = ops.where(known, y_true, 0.0)
        labels = labels * (1.0 - self.smoothing) + 0.5 * self.smoothing
        present, absent = self.terms(y_pred)
        weights = 1.0 if self.label_weights is None else ops.convert_to_tensor(self.label_weights, "float32")
        absent_weights = weights if self.form == "both_terms" else 1.0
        costs = labels * weights * present + (1.0 - labels) * absent_weights * absent
        # Of the whole batch: its parts on several devices have different numbers of known labels.
        images = mirrored.total(ops.cast(ops.shape(y_pred)[0], "float32"))
        labelled = mirrored.total(ops.sum(ops.cast(known, "float32")))
        return ops.sum(ops.where(known, costs, 0.0), axis=-1) * (images / ops.maximum(labelled, 1.0))

    def _check(self, y_true: Any, y_pred: Any) -> None:
        if len(y_pred.shape) != 2 or len(y_true.shape) != 2 or y_true.shape[-1] != y_pred.shape[-1]:
            raise UsageError(
                f"labels and logits must both be (batch, findings), got {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
            )
        if self.label_weights is not None and len(self.label_weights) != y_pred.shape[-1]:
            raise UsageError(f"{len(self.label_weights)} label_weights for {y_pred.shape[-1]} findings")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, as Keras' serialization needs them."""
        weights = None if self.label_weights is None else list(self.label_weights)
        return {"label_weights": weights, "form": self.form, "smoothing": self.smoothing, "name": self.name}


@keras.saving.register_keras_serializable("zoo")
class WeightedBCE(FindingLoss):
    """Binary cross-entropy on logits with a weight for each finding; the arguments are those of `FindingLoss`.

    Example:
        >>> labels = np.array([[1.0, np.nan], [0.0, 1.0]], "float32")  # NaN: unknown, not counted
        >>> round(float(WeightedBCE()(labels, np.zeros((2, 2), "float32"))), 4)  # log 2 at a logit of 0
        0.6931
    """

    def terms(self, logits: Any) -> tuple[Any, Any]:
        """Returns -log p and -log(1 - p), from the logits, so that they stay finite where p rounds to 0 or 1."""
        return ops.softplus(-logits), ops.softplus(logits)


@keras.saving.register_keras_serializable("zoo")
class FocalLoss(FindingLoss):
    """Focal loss: cross-entropy times (1 - p of the true class) ** gamma (Lin et al. 2017, arXiv:1708.02002).

    Args:
        gamma: Focusing parameter: how strongly easy labels are down-weighted; 0 gives cross-entropy.
        alpha: Weight of present findings; absent ones get 1 - alpha. None weights neither.
        **options: Arguments of `FindingLoss`.

    Example:
        >>> labels, logits = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
        >>> round(float(FocalLoss(gamma=2.0, alpha=None)(labels, logits)), 4)  # log(2) / 4
        0.1733
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25, **options: Any) -> None:
        super().__init__(**options)
        if gamma < 0 or (alpha is not None and not 0 < alpha < 1):
            raise UsageError(f"gamma must be >= 0 and alpha in (0, 1) or None, got {gamma} and {alpha}")
        self.gamma, self.alpha = float(gamma), alpha

    def terms(self, logits: Any) -> tuple[Any, Any]:
        """Returns both terms; powers of p and 1 - p are exponentials of log-sigmoids, so no gradient divides by 0."""
        minus_log_p, minus_log_not_p = ops.softplus(-logits), ops.softplus(logits)
        present = ops.exp(-self.gamma * minus_log_not_p) * minus_log_p
        absent = ops.exp(-self.gamma * minus_log_p) * minus_log_not_p
        if self.alpha is None:
            return present, absent
        return self.alpha * present, (1.0 - self.alpha) * absent

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, as Keras' serialization needs them."""
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable("zoo")
class AsymmetricLoss(FindingLoss):
    """Asymmetric loss: down-weights easy absent findings more, and ignores them below a margin (Ridnik et al. 2021).

    present: (1 - p) ** gamma_positive * -log p;   absent: q ** gamma_negative * -log(1 - q), q = max(p - margin, 0).

    Args:
        gamma_positive: Focusing parameter of present findings.
        gamma_negative: Focusing parameter of absent findings: 0, or at least 1 (between them the gradient is infinite
            at q = 0).
        margin: Probability below which an absent finding has no loss.
        **options: Arguments of `FindingLoss`.

    Example:
        >>> labels, logits = np.zeros((1, 1), "float32"), np.full((1, 1), -4.0, "float32")  # p = 0.018
        >>> float(AsymmetricLoss(margin=0.05)(labels, logits))
        0.0
    """

    def __init__(
        self, gamma_positive: float = 0.0, gamma_negative: float = 4.0, margin: float = 0.05, **options: Any
    ) -> None:
        super().__init__(**options)
        if gamma_positive < 0 or (gamma_negative != 0 and gamma_negative < 1) or not 0 <= margin < 1:
            raise UsageError(
                "gamma_positive must be >= 0, gamma_negative 0 or >= 1, margin in [0, 1), "
                f"got {gamma_positive}, {gamma_negative} and {margin}"
            )
        self.gamma_positive, self.gamma_negative = float(gamma_positive), float(gamma_negative)
        self.margin = float(margin)

    def terms(self, logits: Any) -> tuple[Any, Any]:
        """Returns both terms; without a margin, -log(1 - p) is computed from the logit, since 1 - p may round to 0."""
        minus_log_not_p = ops.softplus(logits)
        present = ops.exp(-self.gamma_positive * minus_log_not_p) * ops.softplus(-logits)
        q = ops.maximum(ops.sigmoid(logits) - self.margin, 0.0)
        absent = -ops.log(1.0 - q) if self.margin else minus_log_not_p
        if self.gamma_negative:
            absent = ops.power(q, self.gamma_negative) * absent
        return present, absent

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, as Keras' serialization needs them."""
        own = {
            "gamma_positive": self.gamma_positive,
            "gamma_negative": self.gamma_negative,
            "margin": self.margin,
        }
        return {**super().get_config(), **own}


#: Name in a recipe -> class, or any function that takes the same keyword arguments.
LOSSES: dict[str, Callable[..., keras.losses.Loss]] = {
    "weighted_bce": WeightedBCE,
    "focal": FocalLoss,
    "asymmetric": AsymmetricLoss,
}


def register_loss(name: str, loss: Callable[..., keras.losses.Loss]) -> None:
    """Registers a loss for use in recipes.

    Args:
        name: Name that recipes give in `LossSpec.name`.
        loss: Called with `label_weights`, `form`, `smoothing` and the recipe's options.

    Raises:
        ValueError: Another loss has this name.

    Example:
        >>> class Halved(WeightedBCE):
        ...     def terms(self, logits):
        ...         return tuple(term / 2 for term in super().terms(logits))
        >>> register_loss("halved_bce", Halved)
        >>> type(build_loss("halved_bce")).__name__
        'Halved'
    """
    if LOSSES.get(name, loss) is not loss:
        raise UsageError(f"loss {name!r} is registered already: {LOSSES[name]!r}")
    LOSSES[name] = loss


def build_loss(name: str, **options: Any) -> keras.losses.Loss:
    """Builds the loss that is registered under `name`.

    Args:
        name: Such as "weighted_bce", "focal" or "asymmetric".
        **options: Arguments of the loss.

    Raises:
        UnknownNameError: No such loss; the message shows the closest names.

    Example:
        >>> build_loss("focal", gamma=1.5).gamma
        1.5
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name](**options)


def label_weights(
    labels: np.ndarray, low: float = 0.5, high: float = 3.0, findings: Sequence[str] | None = None
) -> np.ndarray:
    """Computes the weight of each finding from the training labels: negatives / positives, clipped to [low, high].

    Args:
        labels: (n, k) of 1, 0 and NaN (not counted), of the training part alone.
        low: Smallest weight.
        high: Largest weight.
        findings: k names for the warning.

    Returns:
        float32 (k,). A finding without positives gets 1: it cannot be learned, and a warning names it.

    Raises:
        TableError: No finding has both positives and negatives.

    Example:
        >>> label_weights(np.array([[1, 1], [0, 1], [0, 0], [0, np.nan]])).tolist()
        [3.0, 0.5]
    """
    positives, negatives = np.sum(labels == 1, axis=0), np.sum(labels == 0, axis=0)
    if not np.any((positives > 0) & (negatives > 0)):
        raise TableError(
            f"nothing to learn: no finding has both positives and negatives in {len(labels)} training rows"
        )
    names = [str(i) for i in range(labels.shape[1])] if findings is None else list(findings)
    without = [name for name, count in zip(names, positives, strict=True) if count == 0]
    if without:
        warn_user(f"no positives in training, so not trained: {', '.join(without)}")
    weights = np.clip(negatives / np.maximum(positives, 1), low, high)
    return np.where(positives > 0, weights, 1.0).astype(np.float32)
