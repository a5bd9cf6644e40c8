"""The logits of a teacher on all images of a run: computed once, kept in a file, continued after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import read_columns
from zoo.core.errors import CheckpointError, UsageError
from zoo.core.progress import Progress
from zoo.inference import writers
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Prediction
from zoo.runs.writing import facts_of, printable, write_images


def cached_logits(
    teacher: Predictor, paths: Sequence[str], out: Path, progress: Progress, *, restart: bool = False
) -> np.ndarray:
    """Returns the teacher's logits of every image, from `out` if it is complete.

    The file has one row per image: its path, and `logit_<finding>` in nine digits, which keep every bit of a float32.
    After a kill the same call continues after the last batch that was written.

    Args:
        teacher: The model.
        paths: n image files.
        out: `.csv` file to write, continue or read.
        progress: Receives the progress after each batch.
        restart: Whether a file of another model or of other images is replaced instead of refused.

    Returns:
        float32 (n, findings); NaN in the columns of findings that the teacher was not trained on.

    Raises:
        CheckpointError: The file was begun or finished by another model, or on other images.
        ImageError: An image cannot be read.
        UsageError: `out` does not end in .csv.
    """
    if out.suffix != ".csv":
        raise UsageError(f"{out}: the teacher's logits are written as .csv, got {out.suffix or 'no ending'!r}")
    names = [f"logit_{finding}" for finding in teacher.labels]

    def table_of(batch: Prediction) -> pd.DataFrame:
        frame = pd.DataFrame(batch.logits, columns=names)
        frame.insert(0, "image", batch.names)
        return frame

    def write(restart: bool) -> None:
        write_images(
            teacher, paths, out, writers.Csv(digits=9), job, table_of, progress,
            batch_size=size, strict=True, restart=restart,
        )  # fmt: skip

    size = teacher.runtime.batch_size
    job = facts_of(teacher, size) | {"form": "logits csv"}
    try:
        write(restart=False)
    except CheckpointError as error:
        if not restart:
            raise
        why = str(error).partition(": --replace")[0]
        progress.message(f"--replace: {why}: the teacher's logits are computed anew")
        write(restart=True)
    held = read_columns(out)
    row_of = {name: row for row, name in enumerate(held.texts("image"))}
    rows = [row_of[path] for path in printable(paths)]
    return np.stack([held.numbers(name) for name in names], axis=1)[rows].astype(np.float32)
