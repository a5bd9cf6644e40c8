"""Writes a table of many images piece by piece, so that a killed command resumes with the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from zoo._version import __version__
from zoo.core import backend
from zoo.core.counting import counted
from zoo.core.errors import CheckpointError
from zoo.core.progress import Progress
from zoo.data import contents
from zoo.data.contents import Content
from zoo.data.images.dicom_header import Ids
from zoo.data.images.limits import DEFAULT
from zoo.inference import finished, parts, resume, writers
from zoo.inference.embedding import Embedder
from zoo.inference.predictor import Predictor
from zoo.inference.shards import Share
from zoo.inference.stream import Prediction
from zoo.runs.naming import Names
from zoo.runtimes.runtime import FEW

T = TypeVar("T")


@dataclass(frozen=True)
class Counts:
    """Number of scored images, and how many of them are unreadable, rejected and doubtful."""

    images: int
    unreadable: int
    rejected: int = 0
    doubtful: int = 0

    @classmethod
    def of(cls, done: resume.Mark) -> Counts:
        """The counts of a file of results."""
        return cls(done.items, done.failed, done.rejected, done.doubtful)


def write_images(
    model: Predictor | Embedder,
    paths: Sequence[str],
    out: Path,
    kind: writers.Format,
    job: Mapping[str, str | int],
    table_of: Callable[[Prediction], pd.DataFrame],
    progress: Progress,
    *,
    batch_size: int,
    strict: bool,
    restart: bool,
    ids: Ids = "file",
    also: Callable[[Prediction], None] | None = None,
    share: Share | None = None,
) -> Counts:
    """Writes the table of every image, batch by batch; `out` appears when it is complete.

    Args:
        model: What computes the batches.
        paths: The images.
        out: File to write.
        kind: Its format.
        job: What determines its content, by name; an earlier call with another job is not resumed.
        table_of: Makes the rows of a batch.
        progress: Receives the progress after each batch.
        batch_size: Images per batch.
        strict: Whether to stop at the first unreadable image.
        restart: Whether to discard the results of an earlier call, and to replace a finished file.
        ids: How the rows name the images (`runs.naming.Names`).
        also: Called with each batch before its rows are written.
        share: The share of a longer list that `paths` are; then `out` becomes a part (`inference.parts`).

    Raises:
        CheckpointError: An earlier call with another job was stopped, one is still running, or images that it scored
            have changed or are gone; or the file is finished and was made by another job or from other images.
        ImageError: With `strict`, an image cannot be read.
    """
    names = Names(ids, model.limits)
    job = job_of(job, ids, share)
    if not restart and (earlier := complete(out, job, paths, progress, kind)) is not None:
        return Counts.of(earlier)
    with resume.open_journal(out, job, restart=restart, whole=kind.whole) as log:
        paths = in_order(log.files, paths, out)
        settle(model, batch_size)

        def write(batch: Prediction) -> None:
            if also is not None:
                also(batch)
            table, done = table_of(printable_batch(names.shown(batch))), log.done.items
            if share is not None:
                table = parts.placed(table, share.places[done : done + len(batch.names)])
            append(log, kind, table, batch)

        start = log.done.items
        tell_resumed(start, len(paths), progress)
        parts.count(kind, log.done)
        whole = None if share is None else share.images
        beside(write, scored(model, paths, progress, batch_size, strict, start, whole))
        if not log.done.size:
            append_nothing(log, kind, table_of(no_image(model)))
    keep(out, job, log, progress)
    tell_quality(log.done, model, progress)
    names.tell(progress)
    return Counts.of(log.done)


def append(log: resume.Journal, kind: writers.Format, table: pd.DataFrame, images: Prediction) -> None:
    """Writes the rows of some images, with what tells whether their files change before the next call."""
    held = [(path, contents.of(path)) for path in images.names]
    failed, rejected, doubtful = images.counts
    log.append(kind.piece(table, first=not log.done.items), len(held), failed, held, rejected, doubtful)
    parts.count(kind, log.done)


def append_nothing(log: resume.Journal, kind: writers.Format, table: pd.DataFrame) -> None:
    """Writes the head of a table without rows, which the share of a short list may be; `table` is of any unit."""
    log.append(kind.piece(parts.nothing(table), first=True), 0)


def job_of(job: Mapping[str, str | int], ids: Ids, share: Share | None) -> dict[str, str | int]:
    """The job with how images are named, and with the share of the list if it is a part."""
    return dict(job) | ({} if ids == "file" else {"ids": ids}) | ({} if share is None else share.facts)


def part_of_job(
    share: Share, job: Mapping[str, str | int], ids: Ids, metadata: Mapping[str, str] | None = None, digits: int = 6
) -> parts.PartFormat:
    """The format of the part that holds a share of the table of a job, which is in either format when it is merged."""
    writers.require_parquet("a part of a table")
    return parts.PartFormat(parts.facts_of_share(share, job_of(job, ids, None), digits), metadata)


def no_image(model: Predictor | Embedder) -> Prediction:
    """An image without a prediction, whose table has the columns and types of any other."""
    outputs = len(model.labels) if isinstance(model, Predictor) else model.features
    return Prediction([""], np.full((1, outputs), np.nan, np.float32), [""])


def complete(
    out: Path, job: Mapping[str, str | int], paths: Sequence[str], progress: Progress, kind: writers.Format
) -> resume.Mark | None:
    """Says that a file is finished if the same job has written it from the same images.

    A part states its origin itself, so that another machine, with another `ZOO_HOME`, finds that it is finished.

    Returns:
        The counts of the finished file; None if there is none.

    Raises:
        CheckpointError: The file exists and is of another job, of other images, or of unknown origin.
    """
    if isinstance(kind, parts.PartFormat) and not finished.is_known(out):
        counts = parts.complete(out, kind.facts)
        if counts is not None:
            progress.message(f"{out} is already complete: another machine has written it; nothing was computed")
        return counts
    found = finished.recall(out, job)
    if found is None:
        return None
    more = in_order(found.files, paths, out)[len(found.files) :]
    if more:
        raise CheckpointError(
            f"{out} exists, and {len(more):,} of {len(paths):,} images are not in it (first: {more[0]}): "
            "--replace (restart=True) writes it anew, or choose another file"
        )
    progress.message(f"{out} is already complete: the same model and images have written it; nothing was computed")
    return found.done


def keep(out: Path, job: Mapping[str, str | int], log: resume.Journal, progress: Progress) -> None:
    """Remembers what a finished file was made from; says so if that is impossible."""
    try:
        finished.remember(out, job, log.done, log.files)
    except OSError as error:
        progress.message(f"the origin of {out} cannot be remembered, so the same command will refuse it: {error}")


def tell_resumed(done: int, images: int, progress: Progress) -> None:
    """Says how much of the work an earlier run has done, if it has done any."""
    if done:
        progress.message(f"resuming after {done:,} of {counted(images, 'image')}, which an earlier run has written")


def tell_quality(done: resume.Mark, model: Predictor | Embedder, progress: Progress) -> None:
    """Says how many images the quality checks reject or doubt, if they do."""
    if done.rejected or done.doubtful:
        skipped = ", whose rows are NaN" if isinstance(model, Predictor) and model.on_reject == "skip" else ""
        progress.message(
            f"quality checks reject {done.rejected:,} of {counted(done.items, 'image')}{skipped}, and "
            f"{done.doubtful:,} are "
            "doubtful: see the columns quality and reason"
        )


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
                f"{out}: {len(some):,} of {counted(len(before), 'image')} that an earlier run has written are {what} "
                f"(first: {some[0]}): --replace (restart=True) starts again"
            )
    for path in before:
        left[path] = 0
    rest = list(paths[len(before) :]) if list(paths[: len(before)]) == before else [p for p in paths if left[p] > 0]
    return before + rest


def facts_of(predictor: Predictor, batch_size: int) -> dict[str, str | int]:
    """Everything but the form and the decision that determines the content of a file."""
    runtime = predictor.runtime
    facts: dict[str, str | int] = {
        "model": predictor.manifest_sha256[:16],
        "members": ", ".join(predictor.members),
        "runtime": f"{runtime.name} {runtime.precision}"
        + (f" on {backend.current()}" if runtime.name == "keras" else ""),
        "batch size": batch_size,
        "zoo": __version__,
    }
    if predictor.tta is not None:
        facts["views"] = str(predictor.tta)
    if predictor.on_reject == "skip":
        facts["rejected images"] = "skipped"
    if predictor.limits != DEFAULT:
        facts["limits"] = str(predictor.limits)
    return facts


def settle(predictor: Predictor | Embedder, batch_size: int) -> None:
    """Runs Keras once before small batches, so that a resumed run computes the same bits as an uninterrupted one."""
    if predictor.runtime.name == "keras" and batch_size <= FEW:
        # Keras may compute a first, small batch slightly differently, and a resumed run has another first batch.
        predictor.runtime.logits(np.zeros((FEW + 1, *2 * [predictor.image_size], 1), np.uint8))


def printable_batch(batch: Prediction) -> Prediction:
    """A batch whose names and errors can be written."""
    return replace(batch, names=printable(batch.names), errors=printable(batch.errors))


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
    whole: int | None = None,
) -> Iterator[Prediction]:
    """Yields the predictions of images, batch by batch, beginning at image `start`, and reports the progress."""
    with progress.task("scoring images", len(paths), start) as advance:
        left = islice(paths, start, None)
        for batch in predictor.stream(left, batch_size=batch_size, strict=strict, start=start, whole=whole):
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
