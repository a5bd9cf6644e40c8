"""`zoo embed`: writes the pooled features of all images in a folder to CSV or Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.core.progress import Progress
from zoo.data.images.dicom_header import Ids
from zoo.data.images.listing import find_images
from zoo.inference import writers
from zoo.inference.embedding import Embedder, embedder
from zoo.inference.predictor import Predictor
from zoo.inference.shards import Shard, share_of, study_keys
from zoo.runs.writing import Counts, facts_of, part_of_job, write_images

#: Digits of a feature in CSV: every bit of a float32.
_DIGITS = 9


def write_features(
    predictor: Predictor,
    sources: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    batch_size: int | None = None,
    strict: bool = False,
    restart: bool = False,
    ids: Ids = "file",
    shard: Shard | None = None,
) -> Counts:
    """Writes one row per image: image, the float32 features of each member, error; `out` appears when it is complete.

    After a kill, the same call resumes after the last batch that was written, with the same bytes as an uninterrupted
    one. Memory does not grow with the number of images. A Parquet file states the model in the metadata of its schema:
    "model", "manifest_sha256", "members" (JSON, member -> number of features), "features", "image_size", "runtime" and
    "zoo".

    Args:
        predictor: The model, with its limits for an image.
        sources: Image files and folders.
        out: `.csv` or `.parquet` file to write.
        progress: Receives the progress after each batch.
        batch_size: Images per batch; the runtime's default if None.
        strict: Whether to stop at the first unreadable image; otherwise it becomes a row with an error.
        restart: Whether to start again: the results of an earlier call are discarded, a finished file is replaced.
        ids: How the rows name the images: "file", or for DICOM files "uid" or "hash" (`runs.naming.Names`).
        shard: Which share of the images to embed; see `runs.predict.write_findings`.

    Raises:
        CheckpointError: An earlier call with other settings was stopped, one is still running, or images that it
            embedded have changed or are gone.
        ValueError: `out` has another extension.
        ImageError: With `strict`, an image cannot be read.
    """
    writers.format_of(out, "features")  # raises for another format
    paths: Sequence[str] = find_images(sources, progress.message)
    features = embedder(predictor)
    batch_size = features.runtime.batch_size if batch_size is None else batch_size
    facts = facts_of(predictor, batch_size)
    kind, share = _format(out, predictor, features, facts), None
    job = facts | {"form": f"features {kind.name}", "features": features.features}
    if shard is not None:
        share = share_of(shard, paths, study_keys(paths, [str(source) for source in sources]))
        metadata = _metadata(predictor, features, facts)
        paths, out, kind = share.paths, shard.part_of(out), part_of_job(share, job, ids, metadata, digits=_DIGITS)
    return write_images(
        features, paths, out, kind, job, features.table, progress,
        batch_size=batch_size, strict=strict, restart=restart, ids=ids, share=share,
    )  # fmt: skip


def _format(
    out: Path, predictor: Predictor, features: Embedder, facts_of_run: Mapping[str, str | int]
) -> writers.Format:
    if out.suffix == ".csv":
        return writers.Csv(digits=_DIGITS)
    return writers.Parquet(_metadata(predictor, features, facts_of_run))


def _metadata(predictor: Predictor, features: Embedder, facts_of_run: Mapping[str, str | int]) -> dict[str, str]:
    return {
        "model": predictor.name,
        "manifest_sha256": predictor.manifest_sha256,
        "members": json.dumps(dict(features.sizes)),
        "features": str(features.features),
        "image_size": str(features.image_size),
        "runtime": str(facts_of_run["runtime"]),
        "zoo": str(facts_of_run["zoo"]),
    }
