"""`zoo predict`: writes the findings of all images in a folder to CSV or Parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo._version import __version__
from zoo.core import backend
from zoo.core.errors import CheckpointError, UsageError
from zoo.core.files import content_key
from zoo.core.progress import Progress
from zoo.data import contents
from zoo.data.contents import Content
from zoo.data.images.limits import DEFAULT
from zoo.data.images.listing import find_images
from zoo.inference import resume, writers
from zoo.inference.embedding import Embedder
from zoo.inference.predictor import Predictor
from zoo.inference.stream import Prediction
from zoo.runtimes.runtime import FEW

T = TypeVar("T")


@dataclass(frozen=True)
class Counts:
    """Number of scored images, and how many of them could not be read."""

    images: int
    unreadable: int


def write_findings(
    predictor: Predictor,
    sources: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    point: str | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    wide: bool = False,
    restart: bool = False,
) -> Counts:
    """Writes `Predictor.findings` of every image as CSV or Parquet, batch by batch; `out` appears when it is complete.

    Reading, prediction and writing run in parallel. After a kill, the same call resumes after the last batch that was
    written. Each image is computed in the same batch as in an uninterrupted run. Images that were added in the meantime
    come last.

    Args:
        predictor: The model, with its decision and its limits for an image.
        sources: Image files and folders.
        out: `.csv` or `.parquet` file to write.
        progress: Receives the progress after each batch.
        point: Operating point; that of the release by default.
        batch_size: Images per batch; the runtime's default if None.
        strict: Whether to stop at the first unreadable image; otherwise it becomes a row with an error.
        wide: Whether to write one row per image with the probabilities (`Predictor.wide_table`) instead of one row per
            image and finding.
        restart: Whether to start again and discard the results of an earlier call.

    Raises:
        CheckpointError: An earlier call with other settings was stopped, one is still running, or images that it
            scored have changed or are gone.
        ValueError: `out` has another extension, an operating point was given for the wide form, or the release has no
            thresholds for the long form.
        UnknownNameError: No such operating point.
        ImageError: With `strict`, an image cannot be read.
    """
    kind = writers.format_of(out)
    if wide and point is not None:
        raise UsageError(f"the wide form holds probabilities only, so the operating point {point!r} has no effect")
    paths = find_images(sources, progress.message)
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = facts_of(predictor, batch_size) | {"form": f"{'wide' if wide else 'long'} {kind.name}"}
    if not wide:
        predictor.findings([], point=point)  # raises for an unknown point before any image is read
        job["operating point"] = point or "the release's own"
    if predictor.limits != DEFAULT:
        job["limits"] = str(predictor.limits)
    with resume.open_journal(out, job, restart=restart, whole=kind.whole) as log:
        paths = in_order(log.files, paths, out)
        settle(predictor, batch_size)

        def write(batch: Prediction) -> None:
            held = [(path, contents.of(path)) for path in batch.names]
            batch = replace(batch, names=printable(batch.names), errors=printable(batch.errors))
            table = predictor.wide_table(batch) if wide else predictor.table(batch, point)
            piece = kind.piece(table, first=not log.done.items)
            log.append(piece, len(batch.names), sum(map(bool, batch.errors)), held)

        start = log.done.items
        if start:
            progress.message(f"resuming after {start:,} of {len(paths):,} images, which an earlier run has written")
        beside(write, scored(predictor, paths, progress, batch_size, strict, start))
    return Counts(log.done.items, log.done.failed)


def in_order(scored_before: Sequence[tuple[str, Content]], paths: Sequence[str], out: Path) -> list[str]:
    """The images that an earlier run scored, in its order, followed by the remaining ones.

    Raises:
        CheckpointError: Some of its images have changed or are gone.
    """
    before = [path for path, _ in scored_before]
    left = Counter(paths)
    left.subtract(before)
    gone = [path for path in dict.fromkeys(before) if left[path] < 0]
    same = contents.unchanged(dict(scored_before), before)
    changed = [path for path in dict.fromkeys(before) if path not in same and path not in gone]
    for some, what in ((changed, "changed"), (gone, "left out now")):
        if some:
            raise CheckpointError(
                f"{out}: {len(some):,} of {len(before):,} images that an earlier run has written are {what} "
                f"(first: {some[0]}): --restart (restart=True) starts again"
            )
    for path in before:
        left[path] = 0
    rest = list(paths[len(before) :]) if list(paths[: len(before)]) == before else [p for p in paths if left[p] > 0]
    return before + rest


def facts_of(predictor: Predictor, batch_size: int) -> dict[str, str | int]:
    """Everything but the format that determines the content of a file of findings."""
    decision = predictor.decision.to_dict() if predictor.decision is not None else None
    runtime = predictor.runtime
    return {
        "model": predictor.manifest_sha256[:16],
        "members": ", ".join(predictor.members),
        "decision": content_key(decision, 16),
        "runtime": f"{runtime.name} {runtime.precision}"
        + (f" on {backend.current()}" if runtime.name == "keras" else ""),
        "batch size": batch_size,
        "zoo": __version__,
    }


def settle(predictor: Predictor | Embedder, batch_size: int) -> None:
    """Runs Keras once before small batches, so that a resumed run computes the same bits as an uninterrupted one."""
    if predictor.runtime.name == "keras" and batch_size <= FEW:
        # Keras may compute a first, small batch slightly differently, and a resumed run has another first batch.
        predictor.runtime.logits(np.zeros((FEW + 1, *2 * [predictor.image_size], 1), np.uint8))


def printable(texts: Sequence[str]) -> list[str]:
    """Replaces bytes of file names that are not UTF-8 by escape sequences, since tables are UTF-8.

    Example:
        >>> printable(["a.png", "b\\udcff.png"])
        ['a.png', 'b\\\\udcff.png']
    """
    return [text.encode(errors="backslashreplace").decode() for text in texts]


def scored(
    predictor: Predictor | Embedder,
    paths: Sequence[str],
    progress: Progress,
    batch_size: int | None,
    strict: bool,
    start: int = 0,
) -> Iterator[Prediction]:
    """Yields the predictions of images, batch by batch, beginning at image `start`, and reports the progress."""
    with progress.task("scoring images", len(paths), start) as advance:
        left = islice(paths, start, None)
        for batch in predictor.stream(left, batch_size=batch_size, strict=strict, start=start):
            yield batch
            advance(len(batch.names))


def beside(write: Callable[[T], None], batches: Iterable[T]) -> None:
    """Writes each batch in another thread while the next one is computed; at most one batch waits."""
    with ThreadPoolExecutor(1) as thread:
        writing: Future[None] | None = None
        for batch in batches:
            if writing is not None:
                writing.result()
            writing = thread.submit(write, batch)
        if writing is not None:
            writing.result()
