"""Findings that no data trained: they have no probabilities, no thresholds and no figures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.evaluation.decision import Decision, OperatingPoint


def trained(spec: EnsembleSpec, members: Collection[str], decision: Decision | None) -> tuple[bool, ...]:
    """Whether each finding of an ensemble was trained, if these of its members compute it.

    >>> from zoo.config.specs import MemberSpec
    >>> trained(EnsembleSpec("x", (MemberSpec("tiny"),), 32, ("Edema", "Mass"), untrained=("Mass",)), ["tiny"], None)
    (True, False)
    """
    untrained = spec.only(members).untrained
    known = decision.trained if decision is not None else (True,) * len(spec.findings)
    return tuple(k and name not in untrained for name, k in zip(spec.findings, known, strict=True))


def marked(decision: Decision, untrained: Collection[str]) -> Decision:
    """Returns the decision with these findings marked as not trained, and without thresholds for them.

    >>> marked(Decision(("Edema", "Mass")), ("Mass",)).point().thresholds
    (0.5, None)
    """
    if not untrained:
        return decision
    out = [name in untrained for name in decision.findings]

    def cut(point: OperatingPoint) -> OperatingPoint:
        kept = (None if gone else t for t, gone in zip(point.thresholds, out, strict=True))
        return replace(point, thresholds=tuple(kept))

    points = {name: cut(point) for name, point in decision.operating_points.items()}
    known = tuple(k and not gone for k, gone in zip(decision.trained, out, strict=True))
    return replace(decision, operating_points=points, trained=known)


def left_out(
    logits: np.ndarray, labels: np.ndarray, findings: Sequence[str], trained: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Leaves untrained findings out of an evaluation.

    Args:
        logits: (n, findings), NaN in the columns of untrained findings.
        labels: (n, findings) of 1, 0 and NaN.
        findings: Names of the columns.
        trained: Whether each was trained.

    Returns:
        The logits with 0 in these columns, the labels with NaN (unknown) in them, so that no figure counts them, and
        a sentence that names them ("" if there is none).

    >>> left_out(np.array([[np.nan]]), np.array([[1.0]]), ["Mass"], [False])
    (array([[0.]]), array([[nan]]), 'not trained, so not evaluated: Mass')
    """
    known = np.asarray(trained, bool)
    names = ", ".join(name for name, k in zip(findings, trained, strict=True) if not k)
    note = f"not trained, so not evaluated: {names}" if names else ""
    return np.where(known, logits, 0.0), np.where(known, labels, np.nan), note
