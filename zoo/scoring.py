"""Files of results: findings of a folder as CSV, and the competition's submission."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.images import list_images
from zoo.errors import TableError
from zoo.evaluation.decision import probabilities
from zoo.predictor import Predictor, load
from zoo.progress import Progress


@dataclass(frozen=True)
class Counts:
    """How many images were scored, and how many of them could not be read."""

    images: int
    unreadable: int


def write_findings(
    sources: Sequence[Path],
    model: str | Path,
    out: Path,
    progress: Progress,
    *,
    point: str | None = None,
    batch_size: int = 16,
    strict: bool = False,
) -> Counts:
    """Writes `Predictor.findings` of every image as CSV, batch by batch; the file appears when it is whole.

    Args:
        sources: Image files and folders.
        model: As for `zoo.load`.
        out: CSV to write.
        progress: Told of each image.
        point: Operating point; the release's default one otherwise.
        batch_size: Images to the network at once.
        strict: True stops at the first unreadable image; otherwise it is a row with an error.
    """
    paths, predictor = find_images(sources), load(model)
    unreadable, partial = 0, _partial(out)
    with progress.task(f"scoring {len(paths)} films", len(paths)) as advance, partial.open("w", newline="") as file:
        for i, batch in enumerate(predictor.stream(paths, batch_size=batch_size, strict=strict)):
            predictor.table(batch, point).to_csv(file, index=False, header=i == 0, float_format="%.6g")
            unreadable += sum(map(bool, batch.errors))
            for _ in batch.names:
                advance()
    partial.replace(out)
    return Counts(len(paths), unreadable)


def write_submission(
    sources: Sequence[Path],
    model: str | Path,
    out: Path,
    progress: Progress,
    *,
    sample: Path | None = None,
    batch_size: int = 16,
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
        sample: The competition's sample submission, whose rows and order are taken.
        batch_size: Images to the network at once.
        strict: True stops at the first unreadable image.
    """
    paths = find_images(sources) if sample is None else _ordered(find_images(sources), sample)
    predictor = load(model)
    chances, unreadable = _all_probabilities(predictor, paths, progress, batch_size, strict)
    table = pd.DataFrame(chances, columns=list(predictor.labels))
    table = table.fillna(table.mean()).fillna(0.5)
    table.insert(0, "Image_name", [p.name for p in paths])
    partial = _partial(out)
    table.to_csv(partial, index=False, float_format="%.7g")
    partial.replace(out)
    return Counts(len(paths), unreadable)


def find_images(sources: Sequence[Path]) -> list[Path]:
    """The image files named, and those in the folders named, in that order.

    Raises:
        FileNotFoundError: A source that is not there.
        ImageError: A folder without images.
    """
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"no such file or folder: {source}")
        found += list_images(source) if source.is_dir() else [source]
    return found


def _all_probabilities(
    predictor: Predictor, paths: Sequence[Path], progress: Progress, batch_size: int, strict: bool
) -> tuple[np.ndarray, int]:
    parts, unreadable = [], 0
    with progress.task(f"scoring {len(paths)} films", len(paths)) as advance:
        for batch in predictor.stream(paths, batch_size=batch_size, strict=strict):
            parts.append(probabilities(batch.logits, predictor.decision))
            unreadable += sum(map(bool, batch.errors))
            for _ in batch.names:
                advance()
    return np.concatenate(parts), unreadable


def _ordered(paths: Sequence[Path], sample: Path) -> list[Path]:
    rows = pd.read_csv(sample)
    if "Image_name" not in rows:
        raise TableError(f"{sample}: no column 'Image_name', got {list(rows.columns)[:5]}")
    by_name = {p.name: p for p in paths}
    missing = [n for n in rows["Image_name"] if n not in by_name]
    if missing:
        raise TableError(f"{sample}: {len(missing)} of {len(rows)} images are not in the folder, first {missing[0]!r}")
    return [by_name[n] for n in rows["Image_name"]]


def _partial(out: Path) -> Path:
    """Beside the final file, so that taking its place is one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".{out.name}.partial")
