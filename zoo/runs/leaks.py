"""Data leakage: names, patients and images that an evaluated set shares with the training and validation parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.core.counting import counted
from zoo.core.paths import short_names
from zoo.core.progress import Progress
from zoo.data import duplicates
from zoo.data.images.locating import locate_images
from zoo.evaluation import leakage
from zoo.evaluation.files.study import Study
from zoo.evaluation.result.checks import SameImages, SharedNames


def find(
    study: Study,
    validation: Study | None,
    progress: Progress,
    trained_on: Path | None = None,
    training_images: Path | None = None,
    paths: Sequence[str] = (),
) -> dict[str, SharedNames | SameImages]:
    """Finds what the evaluated images share with those that the model or the decision was fitted on.

    Args:
        study: The evaluated images.
        validation: The images that the decision was fitted on, or None.
        progress: Receives the progress after each image, and a message for each kind of leakage.
        trained_on: Run folder or `split.json` of the training.
        training_images: Folder of the training images.
        paths: The n files of the evaluated images; empty if there are only predictions.

    Returns:
        By name: "patients of the validation data", "files" and "patients" (names in common), and "content" (identical
        images). Comparisons that are not possible are left out.
    """
    found: dict[str, SharedNames | SameImages] = {}
    patients = next(iter(study.scores.values())).patients
    if validation is not None and patients is not None:
        others = next(iter(validation.scores.values())).patients
        if others is not None:
            found["patients of the validation data"] = leakage.shared_patients(others, patients).result()
    seen = duplicates.SplitImages((), ())
    if trained_on is not None:
        parts = duplicates.split_images(trained_on)
        for images in (parts[part] for part in ("train", "validation") if part in parts):
            seen = duplicates.SplitImages(seen.names + images.names, seen.patients + images.patients)
        files = leakage.shared_names(seen.names, study.ids)
        if len(files.names):
            were = counted(len(files.names), "of these images was", "of these images were")
            progress.message(f"{were} used in training or validation: the figures are too good")
        found["files"] = files.result()
        if patients is not None and len(seen.patients) == len(seen.names):
            shared = leakage.shared_patients(seen.patients, patients)
            if len(shared.names):
                progress.message(
                    f"{len(shared.names)} of {counted(shared.of, 'patient')} were used in training or validation"
                )
            found["patients"] = shared.result()
    if paths:
        found["content"] = _same_content(paths, seen.names, training_images, progress)
    return found


def _same_content(
    paths: Sequence[str], trained: Sequence[str], training_images: Path | None, progress: Progress
) -> SameImages:
    """Finds duplicates among the images and copies of training images; decodes them only if these are given."""
    before: list[str] = []
    if training_images is not None:
        located = locate_images(trained, [training_images], "the training's split")
        for note in located.notes:
            progress.message(note)
        before = located.existing()
        if len(before) < len(trained):
            progress.message(
                f"{len(trained) - len(before):,} of {len(trained):,} training images are not in {training_images}"
            )
    with progress.task("comparing images", len(paths) + len(before)) as advance:
        own = duplicates.fingerprints(paths, pixels=bool(before), on_file=advance)
        theirs = duplicates.fingerprints(before, on_file=advance)
    evaluated, train = (
        dict(zip(short_names(list(prints.hashes)), prints.hashes.values(), strict=True)) for prints in (own, theirs)
    )
    same = leakage.duplicate_images(train, evaluated)
    if same.with_train:
        have = counted(len(same.with_train), "of these images has", "of these images have")
        progress.message(f"{have} the same content as a training image")
    return same.result(training=bool(before))
