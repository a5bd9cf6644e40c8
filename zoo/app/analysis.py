"""From uploaded files to what the page shows: findings, heatmaps, table and reports. Nothing is written to a disk."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from zoo.app.facts import Facts
from zoo.core.errors import ZooError
from zoo.data.images.reading import read_image
from zoo.dicom import Wanted, algorithm_of, objects, source_of
from zoo.evaluation.decision import positives, probabilities
from zoo.evaluation.result import Estimate
from zoo.explain.explanation import explain_findings
from zoo.explain.overlay import colours
from zoo.gate.verdict import NOT_READ, Verdict
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Prediction

#: The finding that says that there is none.
_NO_FINDING = "No Finding"

#: Longest side of the image on the page, and of its heatmaps, which the browser enlarges smoothly.
_SHOWN, _MAP = 768, 224

#: Images of a batch after the first, which goes alone so that it is shown at once.
_BATCH = 4


@dataclass(frozen=True)
class File:
    """An uploaded file.

    Attributes:
        name: Its name.
        content: Its bytes.
        problem: Why it is not read, or "".
    """

    name: str
    content: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """One finding of one image.

    Attributes:
        finding: Its name.
        probability: Calibrated; None for a finding that the model was not trained on.
        threshold: Of the operating point; None if there is none.
        positive: Whether the probability is at or above the threshold; None if either is missing.
        sensitivity: Sensitivity at this threshold as the release measured it; None if it did not.
        heatmap: Data URI of the heatmap, with the opacity of each pixel as its alpha; "" without one.
    """

    finding: str
    probability: float | None
    threshold: float | None
    positive: bool | None
    sensitivity: Estimate | None = None
    heatmap: str = ""


@dataclass(frozen=True)
class Result:
    """What the page shows of one file.

    Attributes:
        file: Its name.
        error: Why there are no findings, or "".
        verdict: What the quality checks say.
        rows: The findings, in the model's order.
        picture: Data URI of the image, "" if it could not be read.
        size: Width and height of the picture in pixels.
        report: Data URI of the structured report; "" without one.
        no_report: Why a DICOM file has no report, or "".
        table: Its rows of the table for download.
    """

    file: str
    error: str = ""
    verdict: Verdict = NOT_READ
    rows: tuple[Row, ...] = ()
    picture: str = ""
    size: tuple[int, int] = (1, 1)
    report: str = ""
    no_report: str = ""
    table: str = field(default="", repr=False)

    @property
    def first(self) -> str:
        """The finding that is shown first: of the highest probability, a positive one if there is any."""
        known = [
            (row.positive is True, row.finding != _NO_FINDING, row.probability, row.finding)
            for row in self.rows
            if row.probability is not None
        ]
        return max(known)[3] if known else ""

    @property
    def untrained(self) -> list[str]:
        """Findings that the model was not trained on."""
        return [row.finding for row in self.rows if row.probability is None]

    @property
    def called(self) -> list[str]:
        """The positive findings."""
        return [row.finding for row in self.rows if row.positive]


def analyse(predictor: Predictor, facts: Facts, files: Sequence[File], point: str | None = None) -> Iterator[Result]:
    """Yields the result of each file, in order; the first one as soon as it is known.

    Args:
        predictor: The model. Heatmaps need the runtime "keras".
        facts: Its facts, for the sensitivities.
        files: The files.
        point: Name of the operating point; the model's default if None.
    """
    start = 0
    while start < len(files):
        some = files[start : start + (_BATCH if start else 1)]
        start += len(some)
        read = [file for file in some if not file.problem]
        batches = predictor.stream([file.content for file in read], batch_size=_BATCH) if read else iter(())
        rows = (batch.rows([i]) for batch in batches for i in range(len(batch.names)))
        for file in some:
            yield (
                Result(file.name, file.problem) if file.problem else _result(predictor, facts, file, next(rows), point)
            )


def data_uri(kind: str, content: bytes) -> str:
    """Returns a URI that holds its content.

    >>> data_uri("text/csv", b"a")
    'data:text/csv;base64,YQ=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _result(predictor: Predictor, facts: Facts, file: File, found: Prediction, point: str | None) -> Result:
    # The table names the file; the message of an error begins with what names an image without a name.
    error = found.errors[0].partition(": ")[2] or found.errors[0]
    named = Prediction([file.name], found.logits, [error], found.verdicts)
    table = predictor.wide_table(named) if predictor.decision is None else predictor.table(named, point)
    text, verdict = table.to_csv(index=False), found.verdicts[0]
    if error:
        return Result(file.name, error, verdict, table=text)
    rows = _rows(predictor, facts, found.logits, point)
    picture = Image.fromarray(read_image(file.content, limits=predictor.limits)[..., 0])
    picture.thumbnail((_SHOWN, _SHOWN), Image.Resampling.LANCZOS)
    report, why = _report(predictor, file.content, found, point)
    return Result(
        file.name, "", verdict, _with_heatmaps(predictor, file.content, rows), _encoded(picture, "jpeg", quality=88),
        picture.size, report, why, text,
    )  # fmt: skip


def _rows(predictor: Predictor, facts: Facts, logits: np.ndarray, point: str | None) -> list[Row]:
    decision = predictor.decision
    chances = probabilities(logits, decision)
    thresholds: Sequence[float | None] = (None,) * len(predictor.labels)
    called = np.full(chances.shape, np.nan)
    if decision is not None:
        thresholds, called = decision.point(point).thresholds, positives(chances, decision, point)
    return [
        Row(
            finding,
            float(p) if np.isfinite(p) else None,
            t,
            None if t is None or not np.isfinite(p) else bool(call == 1),
            facts.sensitivity.get(finding),
        )
        for finding, p, t, call in zip(predictor.labels, chances[0], thresholds, called[0], strict=True)
    ]


def _with_heatmaps(predictor: Predictor, content: bytes, rows: Sequence[Row]) -> tuple[Row, ...]:
    if predictor.runtime.name != "keras":
        return tuple(rows)
    known = [i for i, row in enumerate(rows) if row.probability is not None]
    made = explain_findings(
        predictor.model, content, known, size=_MAP, decision=predictor.decision, limits=predictor.limits
    )
    uris = {i: _heatmap(explanation.heatmap) for i, explanation in zip(known, made, strict=True)}
    return tuple(
        Row(r.finding, r.probability, r.threshold, r.positive, r.sensitivity, uris.get(i, ""))
        for i, r in enumerate(rows)
    )


def _heatmap(values: np.ndarray) -> str:
    """A heatmap to lay over the picture, as `explain.overlay.overlay` does, with an opacity that can change."""
    level = np.rint(values * 255).astype(np.uint8)
    return _encoded(Image.fromarray(np.dstack([colours()[level], level])), "webp", quality=70, alpha_quality=70)


def _encoded(picture: Image.Image, kind: str, **options: int) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return data_uri(f"image/{kind}", file.getvalue())


def _report(predictor: Predictor, content: bytes, found: Prediction, point: str | None) -> tuple[str, str]:
    """Data URI of the structured report of a DICOM file, or why it has none."""
    if content[128:132] != b"DICM":
        return "", ""
    try:
        made = objects(
            predictor, algorithm_of(predictor, point), [(content, source_of(content, predictor.limits))],
            found.logits[0], Wanted(point, "none"), verdict=found.verdicts[0],
        )  # fmt: skip
    except ZooError as error:
        return "", f"no structured report: {error}"
    file = io.BytesIO()
    made[0].save_as(file, enforce_file_format=True)
    return data_uri("application/dicom", file.getvalue()), ""
