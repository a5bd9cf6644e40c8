"""Whether a model was trained on the images that it is evaluated on, or that a head is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from zoo.core.counting import counted
from zoo.core.progress import Progress
from zoo.data import contents
from zoo.data.splits import Split
from zoo.evaluation.leakage import seen_images
from zoo.evaluation.result.checks import SeenImages
from zoo.inference.predictor import Predictor
from zoo.names import sources
from zoo.release.folder import ReleaseFolder
from zoo.release.trained_on import TrainedOn


def release_of(model: Predictor) -> ReleaseFolder | None:
    """The release that a model was loaded from; None if it was made in this process."""
    return None if model.origin is None else sources.find(model.origin.name, ())


def record_of(model: Predictor) -> TrainedOn | None:
    """The record of the images in a model's release, or that of the run which an older release lies in; else None."""
    found = release_of(model)
    if found is None or (record := found.trained_on) is not None:
        return None if found is None else record
    runs = (found.folder.parent, found.folder.with_name(f"{found.folder.name}-run"))
    return next((record for run in runs if (record := TrainedOn.of_run(run)) is not None), None)


def among(model: Predictor, paths: Sequence[str], progress: Progress) -> tuple[SeenImages | None, str]:
    """Finds the evaluated images that a model was trained on, by the digests of their files.

    Args:
        model: The evaluated model.
        paths: The files of the evaluated images.
        progress: Receives the progress after each image, and the sentence.

    Returns:
        The counts, or None if the model does not record its images; and a sentence for the reader.
    """
    record, name, found = record_of(model), PurePath(model.name).name, None
    if record is None:
        said = _unknown(name)
    else:
        with progress.task(f"comparing with the images of {name}", len(paths)) as advance:
            digests = [one.digest for one in contents.read(paths, advance)]
        found = seen_images(*record.find(digests), compared=len(digests) - digests.count(""), of=len(digests))
        said = _counted(name, found)
    progress.message(said)
    return found, f"{said}."


def notes(
    model: Predictor, record: TrainedOn | None, digests: Sequence[str], split: Split, progress: Progress
) -> list[str]:
    """Returns a sentence, which is also told, on the images that a model with a new head was trained on itself.

    Where nothing is recorded, the hash of the release's split tells whether it is the same split of the same table.

    Args:
        model: The model whose features are used.
        record: Its record.
        digests: Digests of the images of the table.
        split: Its split.
        progress: Receives the sentence.
    """
    found, name = release_of(model), PurePath(model.name).name  # the sentence is published: no local path
    stated = "" if found is None else found.split_hash
    if record is not None:
        trained, validated = record.find(digests)
        said = _counted(name, seen_images(trained, validated, compared=len(digests), of=len(digests)))
        tested = int((trained | validated)[split.rows("test")].sum())
        said += f" ({tested:,} of these are in the test part)" if trained.any() or validated.any() else ""
    elif stated == split.hash:
        count = len(digests) - len(split.rows("test"))
        said = f"{name} was trained with the same split: on {count:,} of these images, none in the test part"
    else:
        said = _unknown(name)
    progress.message(said)
    return [f"{said}."]


def _counted(name: str, found: SeenImages) -> str:
    n, trained, validated = found.training.n, found.training.positives, found.validation.positives
    if trained or validated:
        return (
            f"{name} was trained on {trained:,} of these {counted(n, 'image')}, and {validated:,} were used for its "
            "validation: "
            "figures on them flatter"
        )
    return (
        f"{name} was trained on none of these {n:,} image files; a copy that was resized or saved anew would not be "
        "recognised"
    )


def _unknown(name: str) -> str:
    return f"{name} does not record which images it was trained on: whether these are among them is unknown"
