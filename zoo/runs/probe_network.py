"""The network of `zoo probe`: the backbones of a model with the heads that were fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.inference.predictor import Predictor
from zoo.training.probes.linear import Linear

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


def ensemble_spec(model: Predictor, name: str, findings: tuple[str, ...]) -> EnsembleSpec:
    """Returns the specification of a model with the backbones of another and a linear head on each."""
    start = PurePath(model.name).name
    members = tuple(
        dataclasses.replace(m, head="gap", dropout=0.0, weights=start, alias=m.name)
        for m in model.spec.members
        if m.name in model.members
    )
    return EnsembleSpec(name, members, model.spec.image_size, findings)


def network(model: Predictor, ensemble: EnsembleSpec, heads: Mapping[str, Linear]) -> Ensemble:
    """Builds the backbones of a model with the new heads, in float32; they stay frozen."""
    from zoo.models.classifier import Classifier
    from zoo.models.ensemble import Ensemble
    from zoo.models.heads import build_head
    from zoo.names import sources
    from zoo.release.build import build_model
    from zoo.runtimes.runtime import KerasRuntime

    if isinstance(model.runtime, KerasRuntime):
        base = model.model
    else:
        assert model.origin is not None
        base = build_model(sources.find(model.origin.name, model.members), model.members)
    members = []
    for member in ensemble.members:
        head = build_head("gap", len(ensemble.findings), 0.0)
        classifier = Classifier(base.member(member.name).backbone, head, member.name)
        head.linear.kernel.assign(heads[member.name].kernel.astype(np.float32))
        head.linear.bias.assign(heads[member.name].bias.astype(np.float32))
        members.append(classifier)
    built = Ensemble(members, None, ensemble.name)
    built.trainable = False
    return built


def with_all_findings(linear: Linear, able: Sequence[int], findings: int) -> Linear:
    """Returns the heads of all findings; those that were not fitted are 0."""
    kernel, bias = np.zeros((len(linear.kernel), findings)), np.zeros(findings)
    kernel[:, able], bias[able] = linear.kernel, linear.bias
    return Linear(kernel, bias)
