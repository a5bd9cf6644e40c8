"""The structured report: findings of one image or study as a Comprehensive 3D SR by TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from zoo.core.errors import UsageError
from zoo.dicom.algorithm import MANUFACTURER, Algorithm
from zoo.dicom.building import (
    SERIES,
    contributor,
    private_schemes,
    require_highdicom,
    when_text,
    with_usual_characters,
)
from zoo.dicom.codes import PRIVATE, Coded, code_of
from zoo.dicom.sources import check_one_study
from zoo.evaluation.report import RESEARCH_ONLY

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, Comprehensive3DSR, MeasurementsAndQualitativeEvaluations, ObserverContext
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Finding:
    """What the model says of one finding.

    Attributes:
        name: Name of the finding.
        probability: Calibrated probability in 0..1; NaN if the model was not trained on the finding, which is then left
            out of the report and named in its text.
        threshold: Threshold at the operating point, or None if it has none.
        positive: Whether the probability is at or above the threshold; None without a threshold.
    """

    name: str
    probability: float
    threshold: float | None = None
    positive: bool | None = None


def report(
    sources: Sequence[Dataset],
    findings: Sequence[Finding],
    algorithm: Algorithm,
    *,
    notes: Sequence[str] = (),
    when: datetime | None = None,
) -> Comprehensive3DSR:
    """Makes the structured report of one image, or of the images of one study.

    For each trained finding a measurement group (TID 1501) has the coded finding, the probability as a measurement with
    the algorithm identification (TID 4019), the verdict at the operating point as a qualitative evaluation, and
    references to the images. The text says that this is research software, and which findings were left out.

    Args:
        sources: Headers of the images, from `source_of`.
        findings: One for each finding of the model.
        algorithm: The model, from `algorithm_of`.
        notes: Further sentences for the text, such as on the quality of the images.
        when: Time of creation; now if None. Everything else follows from the arguments, so that a report that is made
            again is the same object, with the same SOP Instance UID.

    Returns:
        The data set, complete and not verified; `save_as` writes it.

    Raises:
        UsageError: The images are of several studies, or no finding was trained.
        MissingExtraError: highdicom is not installed.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> image = Dataset()
        >>> image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
        >>> image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.1", "1.2.2"
        >>> for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        ...     setattr(image, tag, "")
        >>> image.ReferringPhysicianName = image.StudyID = image.AccessionNumber = ""
        >>> made = report([image], [Finding("Edema", 0.8, 0.5, True)], Algorithm("demo", "ab" * 32, point="half"))
        >>> made.Modality, made.StudyInstanceUID
        ('SR', '1.2.1')
    """
    require_highdicom()
    from highdicom import sr
    from pydicom.sr.codedict import codes

    check_one_study(sources)
    known = [finding for finding in findings if np.isfinite(finding.probability)]
    if not known:
        raise UsageError("a report needs a finding with a probability; the model was trained on none of those given")
    first, images = sources[0], [str(source.SOPInstanceUID) for source in sources]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(algorithm)),
        procedure_reported=codes.LN.XRUnspecifiedBodyRegion,
        imaging_measurements=[_group(finding, sources, algorithm) for finding in known],
        title=codes.DCM.ImagingMeasurementReport,
    )
    for sentence in _texts(findings, notes):
        name = _coded("121106", "DCM", "Comment")
        content[0].ContentSequence.append(
            sr.TextContentItem(name, sentence, relationship_type=sr.RelationshipTypeValues.CONTAINS)
        )
    day, time = when_text(when)
    made = sr.Comprehensive3DSR(
        evidence=list(sources),
        content=content[0],
        series_instance_uid=algorithm.uid("series of reports", str(first.StudyInstanceUID)),
        series_number=SERIES["report"],
        sop_instance_uid=algorithm.uid("report", str(first.StudyInstanceUID), *sorted(images)),
        instance_number=1,
        **algorithm.equipment,
        is_complete=True,
        series_description="Findings by a model, for research only",
        content_date=day,
        content_time=time,
        coding_schemes=private_schemes(),
        contributing_equipment=[contributor(algorithm)],
    )
    with_usual_characters(made)
    return made


def _observer(algorithm: Algorithm) -> ObserverContext:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=algorithm.uid("device"),
            name=algorithm.name,
            manufacturer_name=MANUFACTURER,
            model_name=algorithm.name,
            serial_number=algorithm.manifest_sha256[:16],
        ),
    )


def _group(finding: Finding, sources: Sequence[Dataset], algorithm: Algorithm) -> MeasurementsAndQualitativeEvaluations:
    """The measurement group (TID 1501) of a finding."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    found = code_of(finding.name)
    threshold = [] if finding.threshold is None else [f"threshold {finding.threshold:.6g}"]
    images = [str(source.SOPInstanceUID) for source in sources]
    verdict = []
    if finding.positive is not None:
        value = codes.SCT.Positive if finding.positive else codes.SCT.Negative
        verdict = [sr.QualitativeEvaluation(_coded("VERDICT", PRIVATE, "Verdict at the operating point"), value)]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=algorithm.uid("finding", finding.name, str(sources[0].StudyInstanceUID), *sorted(images)),
            identifier=finding.name,
        ),
        finding_type=_concept(found),
        finding_sites=None if found.site is None else [sr.FindingSite(_coded(found.site[0], "SCT", found.site[1]))],
        measurements=[
            sr.Measurement(
                name=codes.DCM.Probability,
                value=float(f"{finding.probability:.7g}"),
                unit=codes.UCUM.NoUnits,
                algorithm_id=sr.AlgorithmIdentification(
                    name=algorithm.name,
                    version=algorithm.version,
                    parameters=[*algorithm.parameters, *threshold],
                ),
            )
        ],
        qualitative_evaluations=verdict,
        source_images=[
            sr.SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID)) for source in sources
        ],
    )


def _texts(findings: Sequence[Finding], notes: Sequence[str]) -> list[str]:
    """The sentences of the report."""
    left = [finding.name for finding in findings if not np.isfinite(finding.probability)]
    names = ", ".join(left)
    out = [f"Left out, since the model was not trained on them: {names}."] if left else []
    return [RESEARCH_ONLY, "Probabilities and verdicts are of the image or images referenced.", *out, *notes]


def _concept(found: Coded) -> CodedConcept:
    return _coded(found.value, found.scheme, found.meaning)


def _coded(value: str, scheme: str, meaning: str) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)
