"""Several classifiers of the same image, as one functional Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.config.weighting import Weights, by_finding, numbers
from zoo.core.errors import UnknownNameError, UsageError
from zoo.models.classifier import Classifier
from zoo.models.freezing import Trainable


@keras.saving.register_keras_serializable(package="zoo")
class Ensemble(keras.Model):
    """Maps pixels 0..255 (batch, height, width, channels) to the mean of the float32 logits of its members.

    The output has shape (batch, findings).

    Args:
        members: One or more classifiers with different names, the same input shape and the same findings.
        weights: One number >= 0 for each member, or one row of them (for each finding) for each member, or None for
            the plain mean; only their ratios matter.
        name: Model name.

    Attributes:
        members: The classifiers, a tuple.

    Raises:
        ValueError: No members, equal names, or different shapes.

    Example:
        >>> from zoo.models.backbones import Backbone
        >>> from zoo.models.heads import GAPHead
        >>> members = [Classifier(Backbone("tiny", 32), GAPHead(14), name) for name in ("first", "second")]
        >>> Ensemble(members).output_shape
        (None, 14)
    """

    def __init__(self, members: Sequence[Classifier], weights: Weights | None = None, name: str = "ensemble") -> None:
        _check(members, weights, name)
        image = keras.Input(members[0].input_shape[1:], dtype="float32", name="image")
        mean = WeightedMean(weights if weights else [1.0] * len(members), name="logits")
        super().__init__(inputs=image, outputs=mean([member(image) for member in members]), name=name)
        self.members = tuple(members)

    @classmethod
    def from_spec(cls, spec: EnsembleSpec, start: bool = False, channels: int = 1) -> Ensemble:
        """Builds an ensemble from its specification; `start` and the errors as in `Classifier.from_spec`."""
        members = [
            Classifier.from_spec(member, spec.image_size, len(spec.findings), start, channels)
            for member in spec.members
        ]
        return cls(members, numbers(spec.weighting) or None, spec.name)

    def member(self, name: str) -> Classifier:
        """Returns the member called `name`; raises `UnknownNameError` with the closest names if there is none."""
        for member in self.members:
            if member.name == name:
                return member
        raise UnknownNameError("member", name, [m.name for m in self.members])

    def with_weights(self, weights: Weights | None) -> Ensemble:
        """Returns an ensemble of the same members, which both then share, with other weights of the mean."""
        return Ensemble(self.members, weights, self.name)

    def freeze_backbone(self) -> dict[str, Trainable]:
        """`Classifier.freeze_backbone` of each member, by name."""
        return {m.name: m.freeze_backbone() for m in self._unlocked()}

    def unfreeze_all(self, batch_norm: bool = True) -> dict[str, Trainable]:
        """`Classifier.unfreeze_all` of each member, by name."""
        return {m.name: m.unfreeze_all(batch_norm) for m in self._unlocked()}

    def unfreeze_top(self, n: int, batch_norm: bool = False) -> dict[str, Trainable]:
        """`Classifier.unfreeze_top` of each member, by name: the top `n` layers of each backbone."""
        return {m.name: m.unfreeze_top(n, batch_norm) for m in self._unlocked()}

    def weight_parts(self) -> dict[str, keras.layers.Layer]:
        """The parts that hold weights, by name, for `named_weights`."""
        return {member.name: member for member in self.members}

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal model, without weights."""
        return {
            "members": [keras.saving.serialize_keras_object(member) for member in self.members],
            "weights": self.get_layer("logits").get_config()["weighting"],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Ensemble:
        """Builds a model from its configuration; `custom_objects` as in Keras."""
        members = [
            keras.saving.deserialize_keras_object(member, custom_objects=custom_objects) for member in config["members"]
        ]
        return cls(members, config["weights"], config["name"])

    def _unlocked(self) -> tuple[Classifier, ...]:
        """The members, after making the surrounding model trainable."""
        self.trainable = True
        return self.members


@keras.saving.register_keras_serializable(package="zoo")
class WeightedMean(keras.layers.Layer):
    """Weighted mean of inputs of the same shape, in float32.

    Args:
        weighting: One number >= 0 for each input, not all 0, or one row of numbers (for each value of the last axis)
            for each input; only their ratios matter. The mean of values whose weights are all 0 is 0.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def __init__(self, weighting: Weights, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        numbers = [w for weight in weighting for w in (weight if isinstance(weight, Sequence) else [weight])]
        if not numbers or min(numbers) < 0 or sum(numbers) <= 0:
            raise UsageError(f"weights of a mean must be numbers >= 0, not all 0, got {list(weighting)}")
        self.weighting = tuple(tuple(map(float, w)) if isinstance(w, Sequence) else float(w) for w in weighting)

    def call(self, inputs: Sequence[Any]) -> Any:
        """The mean, with the shape of one input."""
        if len(inputs) != len(self.weighting):
            raise UsageError(f"{len(self.weighting)} weights for {len(inputs)} inputs")
        return sum(x * share for x, share in zip(inputs, self._shares(), strict=True))

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape of one input."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        weighting = [list(w) if isinstance(w, tuple) else w for w in self.weighting]
        return {**super().get_config(), "weighting": weighting}

    def _shares(self) -> list[Any]:
        """What each input is multiplied with: a number, or a float32 row."""
        rows = [w for w in self.weighting if isinstance(w, tuple)]
        if not rows:
            return [share for (share,) in by_finding(self.weighting, len(self.weighting), 1)]
        return [np.asarray(row, np.float32) for row in by_finding(rows, len(rows), len(rows[0]))]


def _check(members: Sequence[Classifier], weights: Weights | None, name: str) -> None:
    names = [member.name for member in members]
    if not names or len({*names}) != len(names):
        raise UsageError(f"ensemble {name!r} needs one or more members with different names, got {names}")
    if weights and len(weights) != len(names):
        raise UsageError(f"ensemble {name!r}: {len(weights)} weights for {len(names)} members")
    for what in ("input_shape", "output_shape"):
        shapes = {member.name: getattr(member, what) for member in members}
        if len({*shapes.values()}) > 1:
            raise UsageError(f"ensemble {name!r}: members differ in {what}: {shapes}")
