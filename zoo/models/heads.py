"""From a feature map to one float32 logit a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from zoo.core.errors import UnknownNameError, UsageError, UsageTypeError


class Head(keras.layers.Layer):
    """What all heads share: feature map (batch, rows, columns, features) to float32 logits (batch, findings).

    A head computes in float32 also under mixed precision, where sums over a half-precision map and logits of rare
    findings would lose digits.

    Args:
        findings: Number of logits.
        dropout: Rate in front of the last linear map, in [0, 1).
        name: Of the layer.
        dtype: Of the computation and the logits.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(
        self, findings: int, dropout: float = 0.3, name: str = "head", dtype: Any = "float32", **kwargs: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
        if findings < 1:
            raise UsageError(f"head {name!r}: findings must be 1 or more, got {findings}")
        self.findings, self.rate = findings, dropout

    def get_config(self) -> dict[str, Any]:
        """What `from_config` builds an equal layer from."""
        return {**super().get_config(), "findings": self.findings, "dropout": self.rate}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """(batch, findings)."""
        return (input_shape[0], self.findings)


@keras.saving.register_keras_serializable(package="zoo")
class GAPHead(Head):
    """Mean over the map, dropout, one linear map. Arguments as `Head`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the linear map for the number of features."""
        self.drop = keras.layers.Dropout(self.rate, dtype=self.dtype_policy)
        self.linear = keras.layers.Dense(self.findings, dtype=self.dtype_policy, name="logits")
        self.linear.build((None, input_shape[-1]))
        super().build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Float32 logits (batch, findings)."""
        return self.linear(self.drop(self.pool(features), training=training))

    def pool(self, features: Any) -> Any:
        """(batch, rows, columns, features) -> (batch, features)."""
        return ops.mean(features, axis=(1, 2))


@keras.saving.register_keras_serializable(package="zoo")
class GeMHead(GAPHead):
    """Generalised mean (mean of x^p)^(1/p) with a trained p, dropout, one linear map.

    p = 1 is the mean, a large p nears the maximum (Radenovic, Tolias and Chum 2018, "Fine-tuning CNN Image Retrieval
    with No Human Annotation", arXiv:1711.02512). Features below 1e-6 count as 1e-6. Arguments as `Head`.
    """

    #: p starts where the paper does, and stays where x^p is finite in float32 for any sane feature.
    start, lowest, highest = 3.0, 1.0, 8.0

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes p and the linear map."""
        self.p = self.add_weight(name="p", shape=(), initializer=keras.initializers.Constant(self.start))
        super().build(input_shape)

    def pool(self, features: Any) -> Any:
        """(batch, rows, columns, features) -> (batch, features)."""
        p = ops.clip(self.p, self.lowest, self.highest)
        # maximum(features, 1e-6) in other words: LiteRT cannot run that one behind a ReLU.
        powers = ops.power(-ops.minimum(-features, -1e-6), p)
        return ops.power(ops.mean(powers, axis=(1, 2)), 1.0 / p)


@keras.saving.register_keras_serializable(package="zoo")
class AttentionHead(Head):
    """Class-specific residual attention: every finding looks at its own places (Zhu and Wu 2021, arXiv:2108.02456).

    With s the score of a finding at each place, its logit is `mean(s) + residual * sum(softmax(temperature * s) * s)`,
    summed over one such pair (with scores of its own) per temperature, plus a bias.

    Args:
        findings: Number of logits.
        dropout: Rate in front of the scores, the same features at all places.
        temperatures: One a branch: higher looks at fewer places; None is the limit, the maximum.
        residual: Weight of the attended score beside the mean one (lambda in the paper).
        **kwargs: Of `Head`.
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
        """Makes the score maps and the bias."""
        self.drop = keras.layers.Dropout(self.rate, noise_shape=(None, 1, 1, None), dtype=self.dtype_policy)
        self.scores = keras.layers.Dense(
            self.findings * len(self.temperatures), use_bias=False, dtype=self.dtype_policy, name="scores"
        )
        self.scores.build(input_shape)
        self.bias = self.add_weight(name="bias", shape=(self.findings,), initializer="zeros")
        super().build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Float32 logits (batch, findings)."""
        scores = self.scores(self.drop(features, training=training))
        logits = self.bias
        for branch, temperature in zip(
            ops.split(scores, len(self.temperatures), axis=-1), self.temperatures, strict=True
        ):
            # Not "+": a variable's own refuses what has no values yet, as in an export.
            logits = ops.add(logits, ops.mean(branch, axis=(1, 2))) + self.residual * _attend(branch, temperature)
        return logits

    def get_config(self) -> dict[str, Any]:
        """What `from_config` builds an equal layer from."""
        return {**super().get_config(), "temperatures": list(self.temperatures), "residual": self.residual}


#: Name -> class or function called as `(findings, dropout)`; `register_head` adds to it.
HEADS: dict[str, Callable[..., keras.layers.Layer]] = {"gap": GAPHead, "gem": GeMHead, "attention": AttentionHead}


def build_head(name: str, findings: int, dropout: float = 0.3) -> keras.layers.Layer:
    """A new head by its registered name; `UnknownNameError` with the closest names when there is none."""
    if name not in HEADS:
        raise UnknownNameError("head", name, HEADS, "zoo.register_head adds one.")
    return HEADS[name](findings, dropout)


def register_head(name: str, builder: Callable[..., keras.layers.Layer], *, replace: bool = False) -> None:
    """Makes a head known by name to classifiers, recipes and releases.

    Args:
        name: What a recipe calls it.
        builder: `builder(findings, dropout)` gives a layer from a feature map to float32 logits (batch, findings).
        replace: Take the place of a registered one.

    Raises:
        ValueError: The name is taken.
        TypeError: The builder cannot be called.
    """
    if not callable(builder):
        raise UsageTypeError(f"head {name!r}: builder must be a class or function, got {builder!r}")
    if name in HEADS and not replace:
        raise UsageError(f"head {name!r} is registered already: pass replace=True or take another name")
    HEADS[name] = builder


def _attend(scores: Any, temperature: float | None) -> Any:
    """Scores (batch, rows, columns, findings) weighed by their own softmax over the places."""
    if temperature is None:
        return ops.max(scores, axis=(1, 2))
    # Keras' own softmax over two axes fails in a TensorFlow graph whose batch size is not known.
    scaled = temperature * scores
    weights = ops.exp(scaled - ops.max(scaled, axis=(1, 2), keepdims=True))
    return ops.sum(weights * scores, axis=(1, 2)) / ops.sum(weights, axis=(1, 2))
