"""One member of an ensemble: a backbone and a head."""

from __future__ import annotations

from typing import Any

import keras

from zoo.config.specs import MemberSpec
from zoo.models import freezing
from zoo.models.backbones import Backbone
from zoo.models.freezing import Trainable
from zoo.models.heads import build_head
from zoo.models.residuals import silence_branches
from zoo.models.weights.pretrained import load_pretrained


@keras.saving.register_keras_serializable(package="zoo")
class Classifier(keras.Model):
    """Maps pixels 0..255 (batch, height, width, channels) to float32 logits (batch, findings).

    Args:
        backbone: Maps pixels to a feature map.
        head: Maps the feature map to logits; any layer that does.
        name: Model name; by default that of the backbone.

    Attributes:
        backbone: The backbone, a sub-model.
        head: The head, a layer.

    Example:
        >>> from zoo.models.heads import GAPHead
        >>> Classifier(Backbone("tiny", image_size=32), GAPHead(14)).output_shape
        (None, 14)
    """

    def __init__(self, backbone: Backbone, head: keras.layers.Layer, name: str | None = None) -> None:
        image = keras.Input(backbone.input_shape[1:], dtype="float32", name="image")
        super().__init__(inputs=image, outputs=head(backbone(image)), name=name or backbone.name)
        self.backbone = backbone
        self.head = head

    @classmethod
    def from_spec(
        cls,
        spec: MemberSpec,
        image_size: int | None,
        findings: int,
        start: bool = False,
        channels: int = 1,
    ) -> Classifier:
        """Builds a member from its specification.

        Args:
            spec: Backbone, head, dropout, batch-norm momentum, stochastic depth and name.
            image_size: Height and width in pixels, or None for any.
            findings: Number of logits.
            start: Load the starting weights `spec.weights` ("imagenet" or a file), or begin as `spec.zero_residuals`
                says, as training does.
            channels: 1 (greyscale) or 3 (RGB).

        Raises:
            UnknownNameError: No such backbone or head.
            WeightsError: The starting weights are missing or belong to another backbone.
            UsageError: `zero_residuals` of a backbone without residual blocks.
        """
        backbone = Backbone(
            spec.backbone,
            image_size,
            channels,
            spec.batch_norm_momentum,
            pixels=spec.pixels,
            drop_path=spec.drop_path,
        )
        if start and spec.weights is not None:
            load_pretrained(backbone, spec.weights)
        if start and spec.zero_residuals:
            silence_branches(backbone.network)
        return cls(backbone, build_head(spec.head, findings, spec.dropout), spec.name)

    def freeze_backbone(self) -> Trainable:
        """Freezes the backbone and its batch-norm statistics, so that only the head trains. Compile afterwards."""
        self.trainable = True
        return freezing.freeze(self.backbone)

    def unfreeze_all(self, batch_norm: bool = True) -> Trainable:
        """Makes all layers trainable, batch norms only if `batch_norm`. Compile afterwards."""
        self.trainable = True
        return freezing.unfreeze_all(self.backbone, batch_norm)

    def unfreeze_top(self, n: int, batch_norm: bool = False) -> Trainable:
        """Makes the head and the last `n` layers of the backbone trainable; see `zoo.models.freezing.unfreeze_top`."""
        self.trainable = True
        return freezing.unfreeze_top(self.backbone, n, batch_norm)

    def weight_parts(self) -> dict[str, keras.layers.Layer]:
        """The parts that hold weights, by name, for `named_weights`."""
        return {"backbone": self.backbone, "head": self.head}

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal model, without weights."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Classifier:
        """Builds a model from its configuration; `custom_objects` as in Keras."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("backbone", "head")
        }
        return cls(**parts, name=config["name"])
