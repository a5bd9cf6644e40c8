"""The competition's submission file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.errors import TableError
from zoo.core.progress import Progress
from zoo.data.images.listing import find_images
from zoo.evaluation.decision import probabilities
from zoo.inference.load import load
from zoo.inference.starting import Choice, RuntimeName
from zoo.runs.predict import Counts, scored


def write_submission(
    sources: Sequence[Path],
    model: str | Path,
    out: Path,
    progress: Progress,
    *,
    runtime: RuntimeName = "keras",
    precision: Choice = "float32",
    sample: Path | None = None,
    batch_size: int | None = None,
    strict: bool = False,
) -> Counts:
    """Writes the competition's submission: `Image_name` and a probability for each of the 14, alphabetical.

    A row is needed for every image: an unreadable one gets each finding's mean over the others, which moves the
    ranking least.

    Args:
        sources: Image files and folders.
        model: As for `zoo.load`.
        out: CSV to write.
        progress: Told of each image.
        runtime: As for `zoo.load`.
        precision: As for `zoo.load`.
        sample: The competition's sample submission, whose rows and order are taken.
        batch_size: Images to the network at once; the runtime's own number by default.
        strict: True stops at the first unreadable image.
    """
    paths = find_images(sources) if sample is None else _ordered(find_images(sources), sample)
    predictor = load(model, runtime=runtime, precision=precision)
    parts, unreadable = [], 0
    for batch in scored(predictor, paths, progress, batch_size, strict):
        parts.append(probabilities(batch.logits, predictor.decision))
        unreadable += sum(map(bool, batch.errors))
    table = pd.DataFrame(np.concatenate(parts), columns=list(predictor.labels))
    table = table.fillna(table.mean()).fillna(0.5)
    table.insert(0, "Image_name", [Path(p).name for p in paths])
    partial = _partial(out)
    table.to_csv(partial, index=False, float_format="%.7g")
    partial.replace(out)
    return Counts(len(paths), unreadable)


def _ordered(paths: Sequence[str], sample: Path) -> list[str]:
    rows = pd.read_csv(sample)
    if "Image_name" not in rows:
        raise TableError(f"{sample}: no column 'Image_name', got {list(rows.columns)[:5]}")
    by_name = {Path(p).name: p for p in paths}
    missing = [n for n in rows["Image_name"] if n not in by_name]
    if missing:
        raise TableError(f"{sample}: {len(missing)} of {len(rows)} images are not in the folder, first {missing[0]!r}")
    return [by_name[n] for n in rows["Image_name"]]


def _partial(out: Path) -> Path:
    """Beside the final file, so that taking its place is one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".{out.name}.partial")
