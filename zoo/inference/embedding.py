"""Pooled features of images: what the backbones of a model see, before any head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zoo.core.errors import StateError
from zoo.core.warn import warn_user
from zoo.data.images.limits import DEFAULT, Limits
from zoo.inference import starting
from zoo.inference.stream import Images, Pipeline, Prediction, Streaming
from zoo.runtimes.runtime import KerasRuntime, Runtime

if TYPE_CHECKING:
    import pandas as pd

    from zoo.inference.predictor import Predictor


@dataclass(frozen=True)
class Embedder(Streaming):
    """Computes the pooled features of a model's members, as `logits` of what `stream` yields; made by `embedder`.

    Attributes:
        runtime: Runtime whose "logits" are the features of all members side by side, (n, features).
        sizes: Member -> number of its features, in the order of the columns.
        image_size: Height and width of the input in pixels.
        limits: Limits on each image.
    """

    runtime: Runtime
    sizes: Mapping[str, int]
    image_size: int
    limits: Limits = DEFAULT

    @property
    def features(self) -> int:
        """Number of features of an image, over all members."""
        return sum(self.sizes.values())

    @property
    def columns(self) -> list[str]:
        """Name of each feature: its member and its number there, such as "densenet121_0007"."""
        return [f"{member}_{i:04d}" for member, size in self.sizes.items() for i in range(size)]

    def embed(self, images: Images, *, batch_size: int | None = None, strict: bool = False) -> np.ndarray:
        """Returns float32 (n, features); see `Predictor.embed`."""
        parts, errors = [np.empty((0, self.features), np.float32)], []
        for batch in self.stream(images, batch_size=batch_size, strict=strict):
            parts.append(batch.logits)
            errors += [error for error in batch.errors if error]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            warn_user(f"an image without features, its row is NaN: {errors[0]}{more}")
        return np.concatenate(parts)

    def _pipeline(self) -> Pipeline:
        return Pipeline(self.runtime, self.image_size, self.features, self.limits)

    def table(self, batch: Prediction) -> pd.DataFrame:
        """Converts one batch of `stream` to one row per image: image, each feature, error."""
        import pandas as pd

        features = pd.DataFrame(batch.logits, columns=self.columns)
        features.insert(0, "image", batch.names)
        features["error"] = batch.errors
        return features


def embedder(predictor: Predictor) -> Embedder:
    """Returns what computes the features of a model, on the runtime that it was loaded with.

    On "openvino" and "onnx" a graph of the features is made from the release once and kept in `ZOO_HOME`.

    Raises:
        StateError: A model on such a runtime was not loaded from a release.
        ExportError: Its features differ from those of Keras.
        UsageError: It computes in int8, for which there is no graph of the features.
    """
    runtime = predictor.runtime
    if isinstance(runtime, KerasRuntime):
        from zoo.models import features

        sizes = features.sizes(runtime.model)
        made: Runtime = KerasRuntime(features.features_model(runtime.model))
    elif predictor.origin is None:
        raise StateError(f"{predictor!r} was not loaded from a release: load it with zoo.load to compute its features")
    else:
        made, sizes = starting.start_features(predictor.origin.name, predictor.origin.options)
    return Embedder(made, sizes, predictor.spec.image_size, predictor.limits)
