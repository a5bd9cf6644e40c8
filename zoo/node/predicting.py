"""One complete study: its images are read, and its results written beside them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.core.errors import ImageError
from zoo.core.files import whole_folder, write_json
from zoo.data.images.decode import DECODE_ERRORS
from zoo.data.images.dicom import decode_dicom
from zoo.data.images.limits import Limits
from zoo.data.images.sources import file_bytes
from zoo.dicom import Wanted, results, source_of
from zoo.node.spool import Job

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor


def write_results(predictor: Predictor, job: Job, wanted: Wanted) -> None:
    """Predicts a study and writes its results, all of them or none, with the reasons of the images that took no part.

    Everything in them follows from the images and the model; the time of creation is that of the last image's arrival.

    Args:
        predictor: The model.
        job: The study.
        wanted: Operating point, heatmaps and captures.

    Raises:
        ImageError: None of the images can be read.
        UsageError: The images are of several patients.
    """
    images = job.images()
    reasons = {image.name: reason for image in images if (reason := unreadable(image, predictor.limits))}
    if len(reasons) == len(images):
        raise ImageError(next(iter(reasons.values()), "a study without images"))
    # An image without pixels that can be read is counted in the report; one that no report can reference is not.
    counted = [image for image in images if image.name not in reasons or _referable(image, predictor.limits)]
    when = datetime.fromtimestamp(max(image.stat().st_mtime for image in images))
    made = results(predictor, counted, wanted, when=when)
    with whole_folder(job.results) as new:
        for place, result in enumerate(made):
            result.save_as(new / f"{place:03d}.dcm", enforce_file_format=True)
        write_json(new / "unread.json", reasons)


def unreadable(image: Path, limits: Limits) -> str:
    """Why an image cannot be read, "" if it can; the reason contains no identifier."""
    try:
        decode_dicom(file_bytes(str(image), limits), limits)
        source_of(image, limits)
    except ImageError as error:
        return str(error).removeprefix(f"{image}: ")
    except DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the image
        # Not the message, which may have values of a header.
        return f"a DICOM file that is damaged ({type(error).__name__})"
    return ""


def _referable(image: Path, limits: Limits) -> bool:
    try:
        return bool(source_of(image, limits).SOPInstanceUID)
    except ImageError:
        return False
