"""Heads: map a feature map to one float32 logit per finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from zoo.core.errors import UnknownNameError, UsageError, UsageTypeError


class Head(keras.layers.Layer):
    """Base class of the heads: feature map (batch, rows, columns, features) to float32 logits (batch, findings).

    A head computes in float32 even under mixed precision, since sums over a half-precision map and the logits of rare
    findings would lose digits.

    Args:
        findings: Number of logits.
        dropout: Dropout rate in front of the last linear layer, in [0, 1).
        name: Layer name.
        dtype: Number type of the computation and the logits.
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> build_head("gap", findings=3)(np.zeros((2, 7, 7, 64), "float32")).shape == (2, 3)
        True
    """

    def __init__(
        self, findings: int, dropout: float = 0.3, name: str = "head", dtype: Any = "float32", **kwargs: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
        if findings < 1:
            raise UsageError(f"head {name!r}: findings must be 1 or more, got {findings}")
        self.findings, self.rate = findings, dropout

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        return {**super().get_config(), "findings": self.findings, "dropout": self.rate}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """The shape (batch, findings)."""
        return (input_shape[0], self.findings)


@keras.saving.register_keras_serializable(package="zoo")
class GAPHead(Head):
    """Global average pooling, dropout, one linear layer. Takes the arguments of `Head`.

    Example:
        >>> GAPHead(14)(ops.ones((2, 7, 7, 1024))).shape == (2, 14)
        True
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the linear layer for the number of features."""
        self.drop = keras.layers.Dropout(self.rate, dtype=self.dtype_policy)
        self.linear = keras.layers.Dense(self.findings, dtype=self.dtype_policy, name="logits")
        self.linear.build((None, input_shape[-1]))
        super().build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Returns float32 logits (batch, findings)."""
        return self.linear(self.drop(self.pool(features), training=training))

    def pool(self, features: Any) -> Any:
        """Pools (batch, rows, columns, features) to (batch, features)."""
        return ops.mean(features, axis=(1, 2))


@keras.saving.register_keras_serializable(package="zoo")
class GeMHead(GAPHead):
    """Generalised-mean pooling, (mean of x^p)^(1/p) with a trained p, dropout, one linear layer.

    p = 1 is the mean, a large p approaches the maximum (Radenovic, Tolias and Chum 2018, "Fine-tuning CNN Image
    Retrieval with No Human Annotation", arXiv:1711.02512). Features below 1e-6 are raised to 1e-6. Arguments as for
    `Head`.

    Example:
        >>> GeMHead(14)(ops.ones((2, 7, 7, 1024))).shape == (2, 14)
        True
    """

    #: p starts at the value of the paper and is kept where x^p is finite in float32 for any realistic feature.
    start, lowest, highest = 3.0, 1.0, 8.0

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates p and the linear layer."""
        self.p = self.add_weight(name="p", shape=(), initializer=keras.initializers.Constant(self.start))
        super().build(input_shape)

    def pool(self, features: Any) -> Any:
        """Pools (batch, rows, columns, features) to (batch, features)."""
        p = ops.clip(self.p, self.lowest, self.highest)
        # maximum(features, 1e-6) written differently: LiteRT cannot run that one behind a ReLU.
        powers = ops.power(-ops.minimum(-features, -1e-6), p)
        return ops.power(ops.mean(powers, axis=(1, 2)), 1.0 / p)


@keras.saving.register_keras_serializable(package="zoo")
class AttentionHead(Head):
    """Class-specific residual attention: each finding attends to its own locations (Zhu and Wu 2021, arXiv:2108.02456).

    With s the score of a finding at each location, its logit is
    `mean(s) + residual * sum(softmax(temperature * s) * s)`, summed over the temperatures (each with its own scores),
    plus a bias.

    Args:
        findings: Number of logits.
        dropout: Dropout rate in front of the scores; drops the same features at all locations.
        temperatures: One per branch: a higher one attends to fewer locations; None is the limit, the maximum.
        residual: Weight of the attended score relative to the mean score (lambda in the paper).
        **kwargs: Passed to `Head`.

    Example:
        >>> AttentionHead(14, temperatures=(1.0, None))(ops.ones((2, 7, 7, 1024))).shape == (2, 14)
        True
    """

    def __init__(
        self,
        findings: int,
        dropout: float = 0.3,
        temperatures: Sequence[float | None] = (1.0,),
        residual: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(findings, dropout, **kwargs)
        if not temperatures or any(t is not None and t <= 0 for t in temperatures):
            raise UsageError(f"head {self.name!r}: temperatures must be numbers > 0 or None, got {temperatures}")
        self.temperatures, self.residual = tuple(temperatures), residual

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the layer of the scores and the bias."""
        self.drop = keras.layers.Dropout(self.rate, noise_shape=(None, 1, 1, None), dtype=self.dtype_policy)
        self.scores = keras.layers.Dense(
            self.findings * len(self.temperatures), use_bias=False, dtype=self.dtype_policy, name="scores"
        )
        self.scores.build(input_shape)
        self.bias = self.add_weight(name="bias", shape=(self.findings,), initializer="zeros")
        super().build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Returns float32 logits (batch, findings)."""
        scores = self.scores(self.drop(features, training=training))
        logits = self.bias
        for branch, temperature in zip(
            ops.split(scores, len(self.temperatures), axis=-1), self.temperatures, strict=True
        ):
            # Not "+": the operator of a variable refuses symbolic tensors, as in an export.
            logits = ops.add(logits, ops.mean(branch, axis=(1, 2))) + self.residual * _attend(branch, temperature)
        return logits

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        return {**super().get_config(), "temperatures": list(self.temperatures), "residual": self.residual}


@keras.saving.register_keras_serializable(package="zoo")
class NormHead(GAPHead):
    """Global average pooling, a layer norm of the pooled features, dropout, one linear layer.

    For backbones that leave their last norm to the head ("convnexttiny_unnormed", "vit_base_16_unnormed"). Arguments as
    for `Head`.

    Example:
        >>> NormHead(14)(ops.ones((2, 7, 7, 768))).shape == (2, 14)
        True
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the norm and the linear layer."""
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name="norm")
        self.norm.build((None, input_shape[-1]))
        super().build(input_shape)

    def pool(self, features: Any) -> Any:
        """Pools (batch, rows, columns, features) to normalised (batch, features)."""
        return self.norm(super().pool(features))


#: Name -> class or function called as `(findings, dropout)`; `register_head` adds to it.
HEADS: dict[str, Callable[..., keras.layers.Layer]] = {
    "gap": GAPHead,
    "gem": GeMHead,
    "attention": AttentionHead,
    "norm": NormHead,
}


def build_head(name: str, findings: int, dropout: float = 0.3) -> keras.layers.Layer:
    """Builds a head by its registered name.

    Raises:
        UnknownNameError: No such head; names the closest ones.

    Example:
        >>> build_head("gem", 14).findings
        14
    """
    require(name)
    return HEADS[name](findings, dropout)


def require(name: str) -> None:
    """Raises an `UnknownNameError` unless there is such a head.

    Example:
        >>> require("gap")
    """
    if name not in HEADS:
        raise UnknownNameError("head", name, HEADS, "zoo.register_head adds one.")


def register_head(name: str, builder: Callable[..., keras.layers.Layer], *, replace: bool = False) -> None:
    """Registers a head under a name that classifiers, recipes and releases understand.

    Args:
        name: Name to register.
        builder: `builder(findings, dropout)` returns a layer that maps a feature map to float32 logits (batch,
            findings).
        replace: Replace a registered head of this name.

    Raises:
        ValueError: The name is taken.
        TypeError: The builder is not callable.

    Example:
        >>> register_head("gem-heavy-dropout", lambda findings, dropout: GeMHead(findings, dropout=0.6))
        >>> build_head("gem-heavy-dropout", 3).rate
        0.6
    """
    if not callable(builder):
        raise UsageTypeError(f"head {name!r}: builder must be a class or function, got {builder!r}")
    if name in HEADS and not replace:
        raise UsageError(f"head {name!r} is registered already: pass replace=True or take another name")
    HEADS[name] = builder


def _attend(scores: Any, temperature: float | None) -> Any:
    """Scores (batch, rows, columns, findings) summed with weights from their own softmax over the locations."""
    if temperature is None:
        return ops.max(scores, axis=(1, 2))
    # The Keras softmax over two axes fails in a TensorFlow graph of unknown batch size.
    scaled = temperature * scores
    weights = ops.exp(scaled - ops.max(scaled, axis=(1, 2), keepdims=True))
    return ops.sum(weights * scores, axis=(1, 2)) / ops.sum(weights, axis=(1, 2))
