"""Logits of an ensemble and of each of its members side by side, at the cost of those of the ensemble."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoo.inference.predictor import Predictor
from zoo.inference.stream import Pipeline, Streaming
from zoo.runtimes.averaged import averaged
from zoo.runtimes.runtime import KerasRuntime, Runtime


@dataclass(frozen=True, eq=False)
class ByMember(Streaming):
    """Streams float32 (n, (1 + members) * findings): the ensemble's logits, then those of each member in order.

    Attributes:
        predictor: The model, on Keras: only there the members' logits can be taken from the ensemble's network.
        runtime: Computes all of them, without views.
    """

    predictor: Predictor
    runtime: Runtime

    @classmethod
    def of(cls, predictor: Predictor) -> ByMember:
        """Makes it of a model with several members.

        Raises:
            UsageError: The model runs on another runtime than Keras.
        """
        import keras

        model = predictor.model
        outputs = [model.output, *model.get_layer("logits").input]
        joined = keras.layers.Concatenate(dtype="float32", name="side_by_side")(outputs)
        return cls(predictor, KerasRuntime(keras.Model(model.input, joined)))

    def _pipeline(self) -> Pipeline:
        own, sets = self.predictor._pipeline(), 1 + len(self.predictor.members)
        runtime = averaged(self.runtime, self.predictor.tta)
        return replace(own, runtime=runtime, outputs=sets * own.outputs, trained=tuple(own.trained) * sets)
