"""All DICOM results of one report: predicts its images, and makes the report, the maps and the captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from zoo.core.errors import ImageError, UnknownNameError, UsageError
from zoo.dicom.algorithm import Algorithm, algorithm_of
from zoo.dicom.building import headers_copied, require_highdicom
from zoo.dicom.maps import Heatmap, capture, parametric_map
from zoo.dicom.sources import source_of
from zoo.dicom.structured import Finding, report
from zoo.evaluation.decision import positives, probabilities
from zoo.evaluation.studies.rule import join
from zoo.gate.verdict import UNKNOWN, Verdict, of_study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from zoo.inference.predictor import Predictor

#: Which findings get heatmaps: those that are positive at the operating point, all trained ones, or none.
Heatmaps = Literal["positive", "all", "none"]


@dataclass(frozen=True)
class Wanted:
    """What is made beside the report.

    Attributes:
        point: Operating point of the verdicts; the release's own if None.
        heatmaps: Findings whose heatmaps are made, as one parametric map for each image.
        captures: Whether each heatmap is also drawn over its image, as a secondary capture.
        method: Method of the heatmaps, one of `zoo.explain.cam.METHODS`.
    """

    point: str | None = None
    heatmaps: Heatmaps = "positive"
    captures: bool = False
    method: str = "gradcam"

    def __post_init__(self) -> None:
        if self.heatmaps not in get_args(Heatmaps):
            raise UnknownNameError("choice of heatmaps", self.heatmaps, get_args(Heatmaps))


def results(
    predictor: Predictor,
    images: Sequence[str | Path | bytes],
    wanted: Wanted = Wanted(),
    *,
    when: datetime | None = None,
) -> list[Dataset]:
    """Predicts one image, or the images of one study together, and returns the DICOM objects of the result.

    The images of a study are joined as the release's decision says (`Decision.study_rule`). Images that cannot be read
    take no part, and the report says how many.

    Args:
        predictor: A model of a release; for heatmaps with runtime "keras".
        images: Paths or contents of DICOM files, of one study of one patient.
        wanted: Operating point, heatmaps and captures.
        when: Time of creation; now if None. Everything else follows from the images and the model: the same call gives
            objects with the same SOP Instance UIDs.

    Returns:
        The structured report, then the parametric map of each image with heatmaps, then the captures.

    Raises:
        ImageError: None of the images can be read, or one is no DICOM file.
        RejectedError: With `predictor.on_reject="raise"`, the quality checks reject an image.
        UsageError: They are of several studies, or heatmaps are wanted of a model without Keras.
        StateError: The model has no manifest or no thresholds.
        MissingExtraError: highdicom is not installed.

    Example:
        >>> made = results(zoo.load("nih-lite"), ["a.dcm", "b.dcm"])  # doctest: +SKIP
        >>> [one.Modality for one in made]  # doctest: +SKIP
        ['SR', 'OT', 'OT']
    """
    algorithm = algorithm_of(predictor, wanted.point)
    sources = [source_of(image, predictor.limits) for image in images]
    held = [image if isinstance(image, bytes) else str(image) for image in images]
    batches = list(predictor.stream(held))
    logits = np.concatenate([np.empty((0, len(predictor.labels)), np.float32), *(batch.logits for batch in batches)])
    errors = [error for batch in batches for error in batch.errors]
    read = [i for i, error in enumerate(errors) if not error]
    if not read:
        raise ImageError(errors[0] if errors else "a DICOM result needs at least one image")
    verdict = of_study([verdict for batch in batches for verdict in batch.verdicts])
    row = logits[read[0]]
    if len(read) > 1 and predictor.decision is not None:
        row = join(logits[read], ["study"] * len(read), predictor.decision.study_rule.how).logits[0]
    chosen = [(held[i], sources[i]) for i in read]
    return objects(predictor, algorithm, chosen, row, wanted, verdict=verdict, unread=len(held) - len(read), when=when)


def objects(
    predictor: Predictor,
    algorithm: Algorithm,
    images: Sequence[tuple[str | bytes, Dataset]],
    logits: np.ndarray,
    wanted: Wanted = Wanted(),
    *,
    verdict: Verdict = UNKNOWN,
    unread: int = 0,
    when: datetime | None = None,
) -> list[Dataset]:
    """Makes the objects of `results` from logits that are known.

    Args:
        predictor: The model.
        algorithm: Its identification, from `algorithm_of`.
        images: Each image with its header, from `source_of`.
        logits: float32 (findings,), of the image or of the study.
        wanted: Operating point, heatmaps and captures.
        verdict: What the quality checks say.
        unread: Number of images of the study that took no part.
        when: Time of creation; now if None.

    Raises:
        ImageError: The header of an image cannot be copied into a result.
        UsageError: Heatmaps are wanted of a model without Keras.
    """
    require_highdicom()
    if wanted.heatmaps != "none" and predictor.runtime.name != "keras":
        raise UsageError("heatmaps need the runtime 'keras': load the model with it, or choose heatmaps='none'")
    found = findings_of(predictor, logits, wanted.point)
    sources = [source for _, source in images]
    with headers_copied():
        made: list[Dataset] = [report(sources, found, algorithm, notes=_notes(verdict, unread, len(images)), when=when)]
    mapped = [f for f in found if np.isfinite(f.probability) and (wanted.heatmaps == "all" or f.positive)]
    if wanted.heatmaps == "none" or not mapped:
        return made
    captures: list[Dataset] = []
    for image, source in images:
        maps = [_heatmap(predictor, image, finding.name, wanted) for finding in mapped]
        with headers_copied():
            made.append(parametric_map(source, maps, algorithm, when=when))
            if wanted.captures:
                pairs = zip(maps, mapped, strict=True)
                captures += [capture(source, one, f.probability, algorithm, when=when) for one, f in pairs]
    return made + captures


def findings_of(predictor: Predictor, logits: np.ndarray, point: str | None = None) -> list[Finding]:
    """Returns what the model says of each finding, from its logits (findings,) of one image or study."""
    decision = predictor.decision
    if decision is None:
        raise UsageError(f"{predictor!r} has no thresholds: none were fitted for these members")
    chances = probabilities(logits[None], decision)
    called = positives(chances, decision, point)[0]
    thresholds = decision.point(point).thresholds
    return [
        Finding(name, float(p), t, None if t is None or not np.isfinite(p) else bool(call == 1))
        for name, p, t, call in zip(predictor.labels, chances[0], thresholds, called, strict=True)
    ]


def _heatmap(predictor: Predictor, image: str | bytes, finding: str, wanted: Wanted) -> Heatmap:
    explanation = predictor.explain(image, finding, wanted.method)
    overlay = explanation.overlay() if wanted.captures else None
    return Heatmap(finding, explanation.heatmap, wanted.method, overlay)


def _notes(verdict: Verdict, unread: int, read: int) -> list[str]:
    """Sentences on the quality of the images, and on those that took no part; never a name of a file."""
    notes = []
    if verdict.quality in ("doubtful", "rejected"):
        notes.append(f"Quality checks: {verdict.quality}: {verdict.reason}.")
    if unread:
        notes.append(f"{unread} of {unread + read} images could not be read and took no part.")
    return notes
