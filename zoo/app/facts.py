"""What the page says of its model: the facts of its card, and how each threshold did where it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zoo.core.counting import counted
from zoo.evaluation.result import Estimate, Evaluation
from zoo.inference.predictor import Predictor
from zoo.labels.parts import spoken_part
from zoo.names import sources
from zoo.release import card_facts


@dataclass(frozen=True)
class Facts:
    """Facts about a model.

    Attributes:
        name: Name that it was loaded by.
        summary: One sentence, from its card.
        licence: SPDX name of the licence of its weights, or "none stated".
        data: What it was trained on, or "not recorded".
        auc: Mean AUC over findings; None if it was not evaluated.
        level: Confidence level of the intervals.
        measured: What it was evaluated on, such as "test part: 146 images of 120 patients"; "" if it was not.
        point: Name of the operating point; "" without thresholds.
        fitted: Part on which the thresholds were fitted, or "".
        sensitivity: Finding -> sensitivity at the threshold in use; a finding that was not measured at it is absent.
        manifest_sha256: Identifies the release, or "".
    """

    name: str
    summary: str = ""
    licence: str = "none stated"
    data: str = "not recorded"
    auc: Estimate | None = None
    level: float = 0.95
    measured: str = ""
    point: str = ""
    fitted: str = ""
    sensitivity: Mapping[str, Estimate] = field(default_factory=dict)
    manifest_sha256: str = ""


def facts_of(predictor: Predictor, point: str | None = None) -> Facts:
    """Collects the facts of a model.

    Args:
        predictor: The model, of a release or not.
        point: Name of the operating point in use; the model's default if None.

    Raises:
        UnknownNameError: The model has no such operating point.
    """
    facts = Facts(predictor.name, manifest_sha256=predictor.manifest_sha256)
    if predictor.origin is not None:
        found = sources.find(predictor.origin.name, ())
        words = card_facts.of_model(found.spec)
        data = card_facts.of_data(words, found.provenance)
        licence = found.license or data.license_name or facts.licence
        facts = replace(facts, summary=words.summary, licence=licence, data=data.title or facts.data)
    decision, result = predictor.decision, predictor.metrics
    if decision is not None:
        name = decision.default if point is None else point
        facts = replace(facts, point=name, fitted=decision.point(point).origin.split)
    if result is None:
        return facts
    return replace(
        facts,
        auc=result.macro.find("auc"),
        level=result.interval.level,
        measured=f"{spoken_part(result.split)}: {counted(result.n, 'image')} of {counted(result.patients, 'patient')}",
        sensitivity=_sensitivity(predictor, result, point),
    )


def _sensitivity(predictor: Predictor, result: Evaluation, point: str | None) -> dict[str, Estimate]:
    """Those that were measured at the very thresholds in use: a decision of one's own has other ones."""
    decision = predictor.decision
    if decision is None:
        return {}
    name = decision.default if point is None else point
    if name not in result.points:
        return {}
    used = dict(zip(predictor.labels, decision.point(point).thresholds, strict=True))
    measured = result.points[name].thresholds
    found = {finding: row.find("sensitivity", name) for finding, row in result.findings.items()}
    return {
        finding: value
        for finding, value in found.items()
        if value is not None and used.get(finding) is not None and used[finding] == measured.get(finding)
    }
