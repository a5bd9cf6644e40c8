"""The findings of the images of a folder, as CSV or Parquet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from zoo._version import __version__
from zoo.core import backend
from zoo.core.errors import UsageError
from zoo.core.files import content_key
from zoo.core.progress import Progress
from zoo.data.images.listing import find_images
from zoo.inference import resume, writers
from zoo.inference.load import load
from zoo.inference.predictor import Predictor
from zoo.inference.starting import Choice, RuntimeName
from zoo.inference.stream import Prediction


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
    runtime: RuntimeName = "keras",
    precision: Choice = "float32",
    decision: Path | None = None,
    point: str | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    wide: bool = False,
    restart: bool = False,
) -> Counts:
    """Writes `Predictor.findings` of every image as CSV or Parquet, batch by batch; the file appears when it is whole.

    Reading, the network and writing go on at the same time. After a kill the same call goes on behind the last batch
    that was written, and ends with the same file.

    Args:
        sources: Image files and folders.
        model: As for `zoo.load`.
        out: `.csv` or `.parquet` to write.
        progress: Told of each image.
        runtime: As for `zoo.load`.
        precision: As for `zoo.load`.
        decision: File of a decision of one's own, as `zoo evaluate --fit` writes it, in place of the release's.
        point: Operating point; the release's default one otherwise.
        batch_size: Images to the network at once; the runtime's own number by default.
        strict: True stops at the first unreadable image; otherwise it is a row with an error.
        wide: A row for each image with the probabilities, as `Predictor.wide_table`; else one for each finding of it.
        restart: Begin again, whatever an earlier call left behind.

    Raises:
        CheckpointError: An earlier call of another job was stopped, or one is still running.
        ValueError: Another ending of `out`, an operating point for the wide form, or no thresholds for the other.
        UnknownNameError: No such operating point.
        ImageError: With `strict`, an image that cannot be read.
    """
    kind = writers.format_of(out)
    if wide and point is not None:
        raise UsageError(f"the wide form holds probabilities alone: it has no use for the operating point {point!r}")
    paths, predictor = find_images(sources, progress.message), load(model, runtime=runtime, precision=precision)
    if decision is not None:
        predictor = predictor.with_decision(decision)
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = _job(predictor, paths, batch_size) | {"form": f"{'wide' if wide else 'long'} {kind.name}"}
    if not wide:
        predictor.findings([], point=point)  # a point that is not there shows before a film is read
        job["operating point"] = point or "the release's own"
    with resume.open_journal(out, job, restart=restart, whole=kind.whole) as log:

        def write(batch: Prediction) -> None:
            batch = replace(batch, names=printable(batch.names), errors=printable(batch.errors))
            table = predictor.wide_table(batch) if wide else predictor.table(batch, point)
            log.append(kind.piece(table, first=not log.done.items), len(batch.names), sum(map(bool, batch.errors)))

        start = log.done.items
        if start:
            progress.message(f"going on after {start:,} of {len(paths):,} films, which an earlier run has written")
        _beside(write, scored(predictor, paths, progress, batch_size, strict, start))
    return Counts(log.done.items, log.done.failed)


def _job(predictor: Predictor, paths: Sequence[str], batch_size: int) -> dict[str, str | int]:
    """What makes the bytes of a file of findings, but for its form."""
    listed = hashlib.sha256()
    for path in paths:
        listed.update(os.fsencode(path) + b"\0")
    decision = predictor.decision.to_dict() if predictor.decision is not None else None
    runtime = predictor.runtime
    return {
        "model": predictor.manifest_sha256[:16],
        "members": ", ".join(predictor.members),
        "decision": content_key(decision, 16),
        "runtime": f"{runtime.name} {runtime.precision}"
        + (f" on {backend.current()}" if runtime.name == "keras" else ""),
        "batch size": batch_size,
        "films": len(paths),
        "list of films": listed.hexdigest()[:16],
        "zoo": __version__,
    }


def printable(texts: Sequence[str]) -> list[str]:
    """What is no UTF-8 in the name of a file, as its code: tables are UTF-8."""
    return [text.encode(errors="backslashreplace").decode() for text in texts]


def scored(
    predictor: Predictor, paths: Sequence[str], progress: Progress, batch_size: int | None, strict: bool, start: int = 0
) -> Iterator[Prediction]:
    """The predictions of images, batch by batch, while `progress` is told; those before `start` are passed over."""
    with progress.task("scoring films", len(paths), start) as advance:
        left = islice(paths, start, None)
        for batch in predictor.stream(left, batch_size=batch_size, strict=strict, start=start):
            yield batch
            advance(len(batch.names))


def _beside(write: Callable[[Prediction], None], batches: Iterable[Prediction]) -> None:
    """Writes each batch in a thread of its own, while the next one is worked on; not further behind than that."""
    with ThreadPoolExecutor(1) as thread:
        writing: Future[None] | None = None
        for batch in batches:
            if writing is not None:
                writing.result()
            writing = thread.submit(write, batch)
        if writing is not None:
            writing.result()
