"""Heatmaps as DICOM: a parametric map for programs, and a secondary capture with the overlay for people."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.core.errors import UsageError
from zoo.dicom.algorithm import Algorithm
from zoo.dicom.building import SERIES, contributor, require_highdicom, when_text, with_usual_characters
from zoo.dicom.codes import PRIVATE, private_value

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from highdicom.sc import SCImage
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

#: Largest stored value: 1 of a heatmap.
_FULL = (1 << 16) - 1

#: Method of `zoo.explain.cam` -> code of the quantity (PS3.16, CID 218).
_METHODS = {
    "cam": ("130402", "Class activation"),
    "gradcam": ("130403", "Gradient-weighted class activation"),
}

#: A way along an axis of the patient (PS3.3, C.7.6.1.1.1) -> direction cosines in the patient's coordinates.
_WAYS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}

CAPTION = "Research only - not for diagnosis"


@dataclass(frozen=True, eq=False)
class Heatmap:
    """The regions of an image that a finding's logit comes from.

    Attributes:
        finding: Name of the finding.
        values: float (rows, columns) in 0..1, of the size of the image.
        method: Method that made it, one of `zoo.explain.cam.METHODS`.
        overlay: uint8 (rows, columns, 3): the heatmap in colour over the image, for a secondary capture; or None.
    """

    finding: str
    values: np.ndarray
    method: str = "gradcam"
    overlay: np.ndarray | None = None


def parametric_map(
    source: Dataset, heatmaps: Sequence[Heatmap], algorithm: Algorithm, *, when: datetime | None = None
) -> ParametricMap:
    """Makes one parametric map of an image, with a frame for each heatmap, named by its finding.

    Stored are 16-bit integers; the real world value mapping of each frame gives 0..1. Radiographs have no frame of
    reference. Where the source has none, the map has one of its own, which is the plane of the image: its origin is the
    centre of the first pixel, its axes follow Patient Orientation (left and foot if that is absent), and its spacing is
    Pixel Spacing, Imager Pixel Spacing, or 1 mm; Content Description then says "nominal geometry".

    Args:
        source: Header of the image, from `source_of`.
        heatmaps: Of this image, at least one.
        algorithm: The model, from `algorithm_of`.
        when: Time of creation; now if None.

    Raises:
        UsageError: There is no heatmap, or one has another size than the image or values outside 0..1.
        MissingExtraError: highdicom is not installed.
    """
    require_highdicom()
    from highdicom import VOILUTTransformation, pm

    if not heatmaps:
        raise UsageError("a parametric map needs at least one heatmap")
    _check(source, heatmaps)
    stored = np.stack([np.rint(heatmap.values * _FULL).astype(np.uint16) for heatmap in heatmaps], axis=-1)[None]
    placed, nominal = _placed(source, algorithm)
    day, time = when_text(when)
    made = pm.ParametricMap(
        source_images=[placed],
        pixel_array=stored,
        series_instance_uid=algorithm.uid("series of maps", str(source.StudyInstanceUID)),
        series_number=SERIES["map"],
        sop_instance_uid=algorithm.uid(
            "map",
            str(source.StudyInstanceUID),
            str(source.SOPInstanceUID),
            *(f"{heatmap.method} {heatmap.finding}" for heatmap in heatmaps),
        ),
        instance_number=1,
        **algorithm.equipment,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[[_mapping(heatmap)] for heatmap in heatmaps],
        voi_lut_transformations=[VOILUTTransformation(window_center=(_FULL + 1) / 2, window_width=_FULL + 1)],
        content_description=f"Heatmaps, research only{', nominal geometry' if nominal else ''}",
        content_label="HEATMAPS",
        image_flavor=pm.ImageFlavorValues.STATIC,
        derived_pixel_contrast=pm.DerivedPixelContrastValues.NONE,
        contributing_equipment=[contributor(algorithm)],
        series_description="Heatmaps by a model, for research only",
        content_date=day,
        content_time=time,
    )
    with_usual_characters(made)
    made.BodyPartExamined = source.get("BodyPartExamined") or "CHEST"
    return made


def capture(
    source: Dataset, heatmap: Heatmap, probability: float, algorithm: Algorithm, *, when: datetime | None = None
) -> SCImage:
    """Makes a secondary capture of a heatmap over its image, with finding, probability and a warning in the picture.

    Args:
        source: Header of the image, from `source_of`.
        heatmap: With its overlay.
        probability: Calibrated probability of the finding.
        algorithm: The model, from `algorithm_of`.
        when: Time of creation; now if None.

    Raises:
        UsageError: The heatmap has no overlay.
        MissingExtraError: highdicom is not installed.
    """
    require_highdicom()
    from highdicom import sc
    from highdicom.content import ReferencedImageSequence

    if heatmap.overlay is None:
        raise UsageError(f"the heatmap of {heatmap.finding!r} has no overlay to be captured")
    day, time = when_text(when)
    made = sc.SCImage.from_ref_dataset(
        source,
        pixel_array=_captioned(heatmap.overlay, f"{heatmap.finding} {probability:.2f}   {CAPTION}"),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=algorithm.uid("series of captures", str(source.StudyInstanceUID)),
        series_number=SERIES["capture"],
        sop_instance_uid=algorithm.uid(
            "capture",
            str(source.StudyInstanceUID),
            str(source.SOPInstanceUID),
            f"{heatmap.method} {heatmap.finding} {probability:.2f}",
        ),
        instance_number=1,
        **algorithm.equipment,
        laterality=None,
        patient_orientation=_orientation(source),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        contributing_equipment=[contributor(algorithm)],
        series_description="Heatmap overlays by a model, for research only",
        content_date=day,
        content_time=time,
    )
    made.BurnedInAnnotation = "YES" if source.get("BurnedInAnnotation") == "YES" else "NO"
    with_usual_characters(made)
    made.BodyPartExamined = source.get("BodyPartExamined") or "CHEST"
    made.SourceImageSequence = ReferencedImageSequence([source])
    made.DerivationDescription = f"Heatmap ({heatmap.method}) of {heatmap.finding} over the image; {CAPTION}"
    return made


def _check(source: Dataset, heatmaps: Sequence[Heatmap]) -> None:
    shape = (int(source.Rows), int(source.Columns))
    for heatmap in heatmaps:
        values = heatmap.values
        if values.shape != shape or not (values.min() >= 0 and values.max() <= 1):  # a NaN fails both
            raise UsageError(
                f"the heatmap of {heatmap.finding!r} is {values.shape} for an image {shape}, or not within 0..1"
            )


def _mapping(heatmap: Heatmap) -> RealWorldValueMapping:
    """What the stored integers of a heatmap mean."""
    from highdicom import pm
    from pydicom.sr.coding import Code

    return pm.RealWorldValueMapping(
        lut_label=heatmap.finding[:16],
        lut_explanation=f"Heatmap of {heatmap.finding}"[:64],
        unit=Code("1", "UCUM", "no units"),
        value_range=(0, _FULL),
        slope=1.0 / _FULL,
        intercept=0.0,
        quantity_definition=_quantity(heatmap.method),
    )


def _placed(source: Dataset, algorithm: Algorithm) -> tuple[Dataset, bool]:
    """The source with a plane that a map can be placed in, and whether anything of that is nominal."""
    if source.get("FrameOfReferenceUID") and source.get("ImagePositionPatient"):
        return source, False
    placed = copy.copy(source)
    row, column = (_WAYS.get(way[:1], _WAYS[usual]) for way, usual in zip(_orientation(source), "LF", strict=True))
    given = (source.get(tag) for tag in ("PixelSpacing", "ImagerPixelSpacing"))
    spacing = next((list(two) for two in given if isinstance(two, Sequence) and len(two) == 2 and min(two) > 0), [1, 1])
    placed.FrameOfReferenceUID = algorithm.uid("plane", str(source.SOPInstanceUID))
    placed.PositionReferenceIndicator = ""
    placed.ImagePositionPatient = [0, 0, 0]
    placed.ImageOrientationPatient = [*row, *column] if np.dot(row, column) == 0 else [*_WAYS["L"], *_WAYS["F"]]
    placed.PixelSpacing = spacing
    placed.SliceThickness = 1
    return placed, True


def _orientation(source: Dataset) -> tuple[str, str]:
    """Patient Orientation (0020,0020): the way of rows and of columns; left and foot if the source does not say."""
    given = source.get("PatientOrientation")
    both = [str(way) for way in given] if given and not isinstance(given, str) else []
    if len(both) == 2 and all(way and set(way) <= set(_WAYS) for way in both):
        return both[0], both[1]
    return "L", "F"


def _quantity(method: str) -> CodedConcept:
    from highdicom.sr import CodedConcept

    if method in _METHODS:
        value, meaning = _METHODS[method]
        return CodedConcept(value, "DCM", meaning)
    return CodedConcept(private_value(method), PRIVATE, method)


def _captioned(picture: np.ndarray, words: str) -> np.ndarray:
    """The picture with a caption in a bar under the image, so that it covers nothing."""
    height, width = picture.shape[:2]
    size = max(10, width // 40)
    bar = 2 * size
    out = Image.new("RGB", (width, height + bar))
    out.paste(Image.fromarray(picture), (0, 0))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(out).text((size // 2, height + size // 3), words, fill=(255, 255, 255), font=font)
    return np.asarray(out)
