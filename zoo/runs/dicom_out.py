"""`zoo predict --dicom-out`: writes the results of many images as DICOM objects into a folder."""

from __future__ import annotations

import filecmp
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.core.errors import ImageError, UsageError
from zoo.core.files import write_bytes
from zoo.core.progress import Progress
from zoo.data.images.dicom_header import is_dicom
from zoo.data.images.listing import find_images
from zoo.dicom import Wanted, algorithm_of, objects, source_of
from zoo.dicom.building import require_highdicom
from zoo.gate.verdict import of_study
from zoo.inference import studies
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Prediction
from zoo.runs.writing import scored

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: A report with the heatmaps of positive findings.
REPORT = Wanted()

#: SOP class -> first part of the name of a file.
_KINDS = {
    "1.2.840.10008.5.1.4.1.1.88.34": "SR",
    "1.2.840.10008.5.1.4.1.1.30": "MAP",
    "1.2.840.10008.5.1.4.1.1.7": "SC",
}


@dataclass
class DicomCounts:
    """What was written, and what was not.

    Attributes:
        reports: Structured reports, those that were there already included.
        maps: Parametric maps.
        captures: Secondary captures.
        there: Objects that an earlier run has written, by their SOP Instance UID; they are left as they are.
        not_dicom: Images that are no DICOM files, so that nothing could be referenced.
        without: DICOM images without a prediction.
        not_referenced: DICOM images with one whose header is damaged or lacks an identifier, with the reason for each.
    """

    reports: int = 0
    maps: int = 0
    captures: int = 0
    there: int = 0
    not_dicom: int = 0
    without: int = 0
    not_referenced: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"reports: {self.reports:,}", f"maps: {self.maps:,}"]
        parts += [f"captures: {self.captures:,}"] if self.captures else []
        parts += [f"of these there already: {self.there:,}"] if self.there else []
        parts += [f"images that are no DICOM files, left out: {self.not_dicom:,}"] if self.not_dicom else []
        parts += [f"images without a prediction: {self.without:,}"] if self.without else []
        if self.not_referenced:
            parts.append(
                f"images that no report can reference: {len(self.not_referenced):,} ({self.not_referenced[0]})"
            )
        return "; ".join(parts)


class DicomFolder:
    """Writes results into a folder, a file for each object, called by its kind and SOP Instance UID.

    Args:
        predictor: The model; its heatmaps need the runtime "keras".
        folder: Folder to write; made if it is not there.
        wanted: Operating point, heatmaps and captures.

    Raises:
        MissingExtraError: highdicom is not installed.
        StateError: The model has no manifest or no thresholds.
        UsageError: Heatmaps are wanted of a model without Keras.
    """

    def __init__(self, predictor: Predictor, folder: Path, wanted: Wanted) -> None:
        require_highdicom()
        if wanted.heatmaps != "none" and predictor.runtime.name != "keras":
            raise UsageError("heatmaps need --runtime keras: give it, or --heatmaps none")
        self.predictor, self.folder, self.wanted = predictor, folder, wanted
        self.algorithm = algorithm_of(predictor, wanted.point)
        self.counts = DicomCounts()
        self._paths: dict[str, str] = {}  # SOP Instance UID -> the first file that has it
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, images: Prediction, joined: np.ndarray | None = None) -> None:
        """Writes the results of one image, or of the images of one study.

        Args:
            images: Their predictions, with paths as names.
            joined: float32 (findings,) logits of the study; those of the image if None.
        """
        own = [is_dicom(path) if Path(path).is_file() else False for path in images.names]
        self.counts.not_dicom += own.count(False)
        read = [i for i, error in enumerate(images.errors) if own[i] and not error]
        self.counts.without += own.count(True) - len(read)
        if not read:
            return
        chosen = [(images.names[i], source) for i in read if (source := self._source(images.names[i])) is not None]
        if not chosen:
            return
        try:
            made = objects(
                self.predictor, self.algorithm, chosen, images.logits[read[0]] if joined is None else joined,
                self.wanted, verdict=of_study(images.verdicts), unread=len(images.names) - len(read),
            )  # fmt: skip
        except ImageError as error:
            self.counts.not_referenced += [f"{path}: {error}" for path, _ in chosen]
            return
        for one in made:
            self._write(one)

    def _source(self, path: str) -> Dataset | None:
        """The header of an image, None with a reason where no result can reference it."""
        try:
            source = source_of(path, self.predictor.limits)
        except ImageError as error:
            self.counts.not_referenced.append(str(error))
            return None
        first = self._paths.setdefault(str(source.SOPInstanceUID), path)
        if first != path and not filecmp.cmp(first, path, shallow=False):
            self.counts.not_referenced.append(f"{path}: it has the SOP Instance UID of {first}, another file")
            return None
        return source

    def add_each(self, batch: Prediction) -> None:
        """Writes the results of each image of a batch by itself."""
        for i in range(len(batch.names)):
            self.add(batch.rows([i]))

    def _write(self, made: Dataset) -> None:
        kind = _KINDS[str(made.SOPClassUID)]
        self.counts.reports += kind == "SR"
        self.counts.maps += kind == "MAP"
        self.counts.captures += kind == "SC"
        path = self.folder / f"{kind}-{made.SOPInstanceUID}.dcm"
        if path.is_file():
            self.counts.there += 1
            return
        file = io.BytesIO()
        made.save_as(file, enforce_file_format=True)
        write_bytes(path, file.getvalue())


def write_dicom(
    predictor: Predictor,
    sources: Sequence[Path],
    folder: Path,
    progress: Progress,
    *,
    wanted: Wanted = REPORT,
    study_source: str | Path | None = None,
    batch_size: int | None = None,
    strict: bool = False,
) -> DicomCounts:
    """Writes a report for each DICOM image, or each study, with maps and captures as wanted.

    Objects that are in the folder already, by their SOP Instance UID, are kept; a call that was stopped is repeated.

    Args:
        predictor: The model, with its decision and its limits for an image.
        sources: Image files and folders. Images that are no DICOM files are counted and left out.
        folder: Folder to write.
        progress: Receives the progress after each batch.
        wanted: Operating point, heatmaps and captures.
        study_source: How the study of an image is found, as in `inference.studies.studies_of`; None for a report for
            each image.
        batch_size: Images per batch; the runtime's default if None.
        strict: Whether to stop at the first unreadable image.

    Returns:
        What was written.

    Raises:
        ImageError: With `strict`, an image cannot be read.
        UsageError: The study of an image is unknown, images of different DICOM studies are in one, or as `DicomFolder`.
    """
    out = DicomFolder(predictor, folder, wanted)
    found = find_images(sources, progress.message)
    paths = [path for path in found if is_dicom(path)]
    out.counts.not_dicom = len(found) - len(paths)
    if not paths:
        return out.counts
    batches = scored(predictor, paths, progress, batch_size, strict)
    if study_source is None:
        for batch in batches:
            out.add_each(batch)
        return out.counts
    names = studies.studies_of(paths, study_source, [str(one) for one in sources], limits=predictor.limits)
    progress.message(studies.described(names, study_source))
    parts = list(batches)
    whole = Prediction(
        [name for part in parts for name in part.names],
        np.concatenate([part.logits for part in parts]),
        [error for part in parts for error in part.errors],
        [verdict for part in parts for verdict in part.verdicts],
    )
    rule = predictor.decision.study_rule if predictor.decision is not None else None
    for study in dict.fromkeys(names.tolist()):
        images = whole.rows(np.flatnonzero(names == study).tolist())
        joined = None if rule is None else studies.join_prediction(images, [study] * len(images.names), rule)[0]
        out.add(images, None if joined is None else joined.logits[0])
    return out.counts
