"""Files of results: findings of a folder as CSV or Parquet, and the competition's submission."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from zoo._version import __version__
from zoo.core import backend
from zoo.inference import writers, resume
from zoo.data.images.reading import walk_images
from zoo.core.errors import TableError
from zoo.evaluation.decision import probabilities
from zoo.inference.load import load
from zoo.inference.predictor import Predictor
from zoo.core.progress import Progress
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
        raise ValueError(f"the wide form holds probabilities alone: it has no use for the operating point {point!r}")
    paths, predictor = find_images(sources), load(model, runtime=runtime, precision=precision)
    if decision is not None:
        predictor = predictor.with_decision(decision)
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = _job(predictor, paths, batch_size) | {"form": f"{'wide' if wide else 'long'} {kind.name}"}
    if not wide:
        predictor.findings([], point=point)  # a point that is not there shows before a film is read
        job["operating point"] = point or "the release's own"
    with resume.open_journal(out, job, restart=restart, whole=kind.whole) as log:

        def write(batch: Prediction) -> None:
            batch = replace(batch, names=_printable(batch.names), errors=_printable(batch.errors))
            table = predictor.wide_table(batch) if wide else predictor.table(batch, point)
            log.append(kind.piece(table, first=not log.done.items), len(batch.names), sum(map(bool, batch.errors)))

        start = log.done.items
        if start:
            progress.message(f"going on after {start:,} of {len(paths):,} films, which an earlier run has written")
        _beside(write, _scored(predictor, paths, progress, batch_size, strict, start))
    return Counts(log.done.items, log.done.failed)


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
    for batch in _scored(predictor, paths, progress, batch_size, strict):
        parts.append(probabilities(batch.logits, predictor.decision))
        unreadable += sum(map(bool, batch.errors))
    table = pd.DataFrame(np.concatenate(parts), columns=list(predictor.labels))
    table = table.fillna(table.mean()).fillna(0.5)
    table.insert(0, "Image_name", [Path(p).name for p in paths])
    partial = _partial(out)
    table.to_csv(partial, index=False, float_format="%.7g")
    partial.replace(out)
    return Counts(len(paths), unreadable)


def find_images(sources: Sequence[Path]) -> list[str]:
    """Paths of the image files named, and of those in the folders named, in that order.

    Raises:
        FileNotFoundError: A source that is not there.
        ImageError: A folder without images.
    """
    found: list[str] = []  # a hundred bytes each; as `Path` they would take ten times that
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"no such file or folder: {source}")
        found += walk_images(source) if source.is_dir() else [str(source)]
    return found


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
        "decision": hashlib.sha256(json.dumps(decision, sort_keys=True).encode()).hexdigest()[:16],
        "runtime": f"{runtime.name} {runtime.precision}"
        + (f" on {backend.current()}" if runtime.name == "keras" else ""),
        "batch size": batch_size,
        "films": len(paths),
        "list of films": listed.hexdigest()[:16],
        "zoo": __version__,
    }


def _printable(texts: Sequence[str]) -> list[str]:
    """What is no UTF-8 in the name of a file, as its code: tables are UTF-8."""
    return [text.encode(errors="backslashreplace").decode() for text in texts]


def _scored(
    predictor: Predictor, paths: Sequence[str], progress: Progress, batch_size: int | None, strict: bool, start: int = 0
) -> Iterator[Prediction]:
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
