"""The JSON of an answer: its types, from which the description of the service is made, and how it is filled."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from zoo.core.errors import ImageError
from zoo.evaluation.decision import positives, probabilities
from zoo.gate.verdict import Quality, Verdict
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Prediction


class FindingAnswer(TypedDict):
    """One finding of one image."""

    finding: Annotated[str, Field(description="Name of the finding.")]
    probability: Annotated[
        float | None,
        Field(description="Calibrated probability; null for a finding that the model was not trained on.", ge=0, le=1),
    ]
    threshold: Annotated[
        float | None,
        Field(description="Threshold of the operating point; null if the model has none.", ge=0, le=1),
    ]
    positive: Annotated[
        bool | None,
        Field(description="Whether the probability is at or above the threshold; null if either is missing."),
    ]


class Findings(TypedDict):
    """What the model says of one image."""

    error: Annotated[str | None, Field(description="Why the image has no findings, or null.")]
    quality: Annotated[
        Quality,
        Field(description="What the quality checks say of the image; 'unknown' if the model has none."),
    ]
    findings: Annotated[list[FindingAnswer], Field(description="The model's findings in its order; [] after an error.")]


class ImageAnswer(Findings):
    """The answer for one file."""

    file: Annotated[str, Field(description="Name of the file as it was uploaded; '' if it had none.")]


class Answer(TypedDict):
    """The answer for all files of a request."""

    results: Annotated[list[ImageAnswer], Field(description="One entry for each file, in the order of upload.")]


class Problem(TypedDict):
    """A request that was refused."""

    detail: Annotated[str, Field(description="What was wrong and what to do.")]


class Health(TypedDict):
    """The process runs."""

    status: Annotated[str, Field(description="'ok'.")]


class Readiness(TypedDict):
    """Whether images are answered, and by which model."""

    ready: Annotated[bool, Field(description="Whether images are answered now.")]
    model: Annotated[str, Field(description="Name that the model was loaded by.")]
    source: Annotated[str, Field(description="Hub reference of the release with its commit, or ''.")]
    manifest_sha256: Annotated[str, Field(description="Identifies the release, its weights and its thresholds.")]
    runtime: Annotated[str, Field(description="What computes: keras, openvino or onnx.")]
    precision: Annotated[str, Field(description="Number type: float32, bfloat16 or int8.")]


def findings_of(batch: Prediction, predictor: Predictor, point: str | None = None) -> list[Findings]:
    """Converts a batch to answers, in order; NaN becomes null.

    Args:
        batch: Logits of the predictor.
        predictor: Gives calibration, thresholds and names of the findings.
        point: Name of the operating point; the model's default if None.
    """
    decision = predictor.decision
    chances = probabilities(batch.logits, decision)
    limits: tuple[float | None, ...] = (None,) * len(predictor.labels)
    called = np.full(chances.shape, np.nan)
    if decision is not None:
        limits, called = decision.point(point).thresholds, positives(chances, decision, point)
    names, found = predictor.labels, list[Findings]()
    for row, error in enumerate(batch.errors):
        verdict = batch.verdicts[row]
        if error:
            found.append(_without(error, verdict))
            continue
        columns = zip(names, chances[row], limits, called[row].tolist(), strict=True)
        each = [
            FindingAnswer(finding=n, probability=_short(p), threshold=t, positive=_known(c)) for n, p, t, c in columns
        ]
        found.append(Findings(error=None, quality=verdict.quality, findings=each))
    return found


def unreadable(error: ImageError, verdict: Verdict) -> Findings:
    """Returns the answer for an image that could not be read."""
    return _without(str(error), verdict)


def _without(error: str, verdict: Verdict) -> Findings:
    # What comes before the first colon names the image for a reader of several; the client knows the file.
    return Findings(error=error.partition(": ")[2] or error, quality=verdict.quality, findings=[])


def _short(value: np.float32) -> float | None:
    """The shortest number that is the same float32: 0.1, where `float` would give 0.10000000149011612."""
    return None if np.isnan(value) else float(str(value))


def _known(value: float) -> bool | None:
    return None if np.isnan(value) else value == 1
