"""What can be explained: a classifier or an ensemble, one of its findings, by a method that suits it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.config.weighting import by_finding
from zoo.core.errors import UsageError, UsageTypeError
from zoo.evaluation.decision import Decision
from zoo.explain.cam import check_method, gap_kernel
from zoo.models.classifier import Classifier
from zoo.models.ensemble import Ensemble


def members_of(model: Classifier | Ensemble) -> tuple[tuple[Classifier, ...], np.ndarray]:
    """The classifiers, and their shares in the mean of each finding: float32 (members, findings)."""
    if isinstance(model, Ensemble):
        shares = by_finding(model.get_layer("logits").weighting, len(model.members), model.output_shape[-1])
        return model.members, np.asarray(shares, np.float32)
    if isinstance(model, Classifier):
        return (model,), np.ones((1, model.output_shape[-1]), np.float32)
    raise UsageTypeError(f"a Classifier or an Ensemble can be explained, got {type(model).__name__}")


def input_of(model: Classifier | Ensemble) -> tuple[int | None, int]:
    """Image size (None: any) and number of channels of the model's input."""
    members_of(model)
    _, size, _, channels = model.input_shape
    return size, channels


def check(
    members: Sequence[Classifier],
    indices: np.ndarray,
    method: str,
    names: Sequence[str],
    decision: Decision | None,
) -> None:
    """Checks the arguments before the network runs."""
    check_method(method)
    if method == "cam":
        for member in members:
            gap_kernel(member.head, member.name)
    count = members[0].output_shape[-1]
    if names and len(names) != count:
        raise UsageError(f"the model has {count} findings, got {len(names)} names")
    if indices.dtype.kind not in "iu" or ((indices < 0) | (indices >= count)).any():
        raise UsageError(f"a finding is a column in 0..{count - 1}, got {indices.tolist()}")
    for index in indices:
        if decision is not None and not decision.trained[index]:
            raise UsageError(f"{decision.findings[index]!r} was not trained: its logit has nothing to explain")
