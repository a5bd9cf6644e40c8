"""Whether a model was trained on the images that a head is to be fitted on, as far as its files tell."""

from __future__ import annotations

from pathlib import Path, PurePath

import pandas as pd

from zoo.core.progress import Progress
from zoo.data import contents, duplicates
from zoo.data.identity import DataIdentity
from zoo.data.splits import Split
from zoo.inference.predictor import Predictor
from zoo.names import sources
from zoo.release.folder import ReleaseFolder


def notes(model: Predictor, table: pd.DataFrame, split: Split, progress: Progress) -> list[str]:
    """Returns a sentence, which is also told, on the images that the model itself was trained on.

    They are compared by content with the record of the run that the release lies in. Where there is no such run, the
    hash of the release's split tells whether it is the same split of the same table; otherwise nothing can be known.

    Args:
        model: The model whose features are used.
        table: Canonical table of the images.
        split: Its split.
        progress: Receives the sentence.
    """
    found, name = _release(model), PurePath(model.name).name  # the sentence is published: no local path
    before = None if found is None else _trained_on(found.folder)
    stated = "" if found is None else str(found.provenance.get("split", {}).get("hash") or "")
    if before is not None:
        mine = [contents.digest(path) for path in table["Image_path"]]
        count = sum(digest in before for digest in mine)
        tested = sum(mine[row] in before for row in split.rows("test"))
        said = f"{name}: none of these {len(table):,} images was in the training or validation part of its run"
        if count:
            said = (
                f"{name} was trained on {count:,} of these {len(table):,} images ({tested:,} of them in the test "
                "part): the figures are too good"
            )
    elif stated == split.hash:
        count = len(table) - len(split.rows("test"))
        said = f"{name} was trained with the same split: on {count:,} of these images, none in the test part"
    else:
        said = f"{name} does not record which images it was trained on: whether these are among them is unknown"
    progress.message(said)
    return [f"{said}."]


def _release(model: Predictor) -> ReleaseFolder | None:
    return None if model.origin is None else sources.find(model.origin.name, ())


def _trained_on(release: Path) -> set[str] | None:
    """Digests of the training and validation images of the run that wrote a release; None if it is not there."""
    for run in (release.parent, release.with_name(f"{release.name}-run")):
        if (run / "data.json").is_file() and (run / "split.json").is_file():
            parts = duplicates.split_images(run)
            digests = DataIdentity.load(run / "data.json").digests
            return {digests.get(name, "") for part in ("train", "validation") for name in parts[part].names} - {""}
    return None
