"""`zoo predict`: writes the findings of all images in a folder to CSV or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from zoo.core.errors import UsageError
from zoo.core.files import content_key
from zoo.core.progress import Progress
from zoo.data.images.dicom_header import Ids
from zoo.data.images.listing import find_images
from zoo.inference import writers
from zoo.inference.predictor import Predictor
from zoo.inference.shards import Shard, share_of, study_keys
from zoo.inference.stream import Prediction
from zoo.runs.writing import Counts, facts_of, part_of_job, write_images


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
    ids: Ids = "file",
    also: Callable[[Prediction], None] | None = None,
    shard: Shard | None = None,
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
        restart: Whether to start again: the results of an earlier call are discarded, a finished file is replaced.
        ids: How the rows name the images: "file", or for DICOM files "uid" or "hash" (`runs.naming.Names`).
        also: Called with each batch before its rows are written; a batch may come again after a kill.
        shard: Which share of the images to score. Its rows become a part (`Shard.part_of(out)`), and `runs.merge.merge`
            makes `out` of all parts.

    A Parquet file states its origin in the metadata of its schema (`findings_metadata`).

    Raises:
        CheckpointError: An earlier call with other settings was stopped, one is still running, or images that it
            scored have changed or are gone.
        ValueError: `out` has another extension, an operating point was given for the wide form, or the release has no
            thresholds for the long form.
        UnknownNameError: No such operating point.
        ImageError: With `strict`, an image cannot be read.
    """
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = findings_job(predictor, batch_size, writers.format_of(out).name, wide, point)
    metadata = findings_metadata(predictor, job)
    kind = writers.format_of(out, metadata=metadata)
    paths: Sequence[str] = find_images(sources, progress.message)
    share = None
    if shard is not None:
        share = share_of(shard, paths, study_keys(paths, [str(source) for source in sources]))
        paths, out, kind = share.paths, shard.part_of(out), part_of_job(share, job, ids, metadata)

    def table_of(batch: Prediction) -> pd.DataFrame:
        return predictor.wide_table(batch) if wide else predictor.table(batch, point)

    return write_images(
        predictor, paths, out, kind, job, table_of, progress, batch_size=batch_size, strict=strict, restart=restart,
        ids=ids, also=also, share=share,
    )  # fmt: skip


def findings_metadata(predictor: Predictor, job: Mapping[str, str | int]) -> dict[str, str]:
    """What a Parquet file of findings states of its origin, for `zoo monitor` and for people."""
    kept = ("runtime", "zoo", "decision", "operating point", "rejected images")
    return {
        "model": predictor.name,
        "manifest_sha256": predictor.manifest_sha256,
        "members": json.dumps(list(predictor.members)),
    } | {name: str(job[name]) for name in kept if name in job}


def findings_job(
    predictor: Predictor, batch_size: int, form: str, wide: bool, point: str | None
) -> dict[str, str | int]:
    """Everything that determines the content of a file of findings.

    Raises:
        UsageError: An operating point was given for the wide form, or the release has no thresholds for the long form.
        UnknownNameError: No such operating point.
    """
    if wide and point is not None:
        raise UsageError(f"the wide form holds probabilities only, so the operating point {point!r} has no effect")
    decision = predictor.decision.to_dict() if predictor.decision is not None else None
    job = facts_of(predictor, batch_size) | {"decision": content_key(decision, 16)}
    job["form"] = f"{'wide' if wide else 'long'} {form}"
    if not wide:
        predictor.findings([], point=point)  # raises for an unknown point before any image is read
        job["operating point"] = point or "the release's own"
    return job
