"""`zoo predict --engine ray`: scores a list of images by Ray Data, on a cluster or on this machine.

The list is cut into pieces. Each worker holds one model, reads and scores a piece as `zoo predict` does, and writes it
as one file (`folder`). What is written is never computed again: a worker that dies is started anew by Ray and its piece
is given again, and after the end of the driver the same command goes on with the pieces that are missing.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cluster.folder import Pieces, drop, refuse_other
from zoo.cluster.lists import find_listed
from zoo.core import backend
from zoo.core.errors import MissingExtraError, StateError, UsageError, ZooError
from zoo.core.progress import Progress
from zoo.inference.shards import Shard, share_of
from zoo.inference.writers import require_parquet
from zoo.runs.predict import findings_job
from zoo.runs.writing import Counts, printable_batch

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor
    from zoo.inference.stream import Prediction

#: Images of a part, about: the nearest number of whole batches.
PIECE = 1024

#: Blocks of the list that Ray holds at once at most; each worker gets one piece of a block at a time.
_BLOCKS = 4096

#: Ray sends no statistics, and keeps no dashboard.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_DEDUP_LOGS": "0"}


@dataclass(frozen=True)
class Workers:
    """The workers of a run.

    Attributes:
        count: How many; one for each two cores of the cluster by default, or for each share of a GPU.
        cores: Cores of each.
        gpus: GPUs of each; a part of one may be given.
        address: Address of a cluster, or "auto" for the one that runs here; None starts one on this machine, which
            listens on loopback alone.

    Raises:
        UsageError: A number is not positive.
    """

    count: int | None = None
    cores: float = 1
    gpus: float = 0
    address: str | None = None

    def __post_init__(self) -> None:
        if (self.count is not None and self.count < 1) or self.cores < 0 or self.gpus < 0:
            raise UsageError(f"workers: numbers have to be positive, got {self}")


def score_on_ray(
    predictor: Predictor,
    sources: Sequence[str | Path],
    out: Path,
    progress: Progress,
    *,
    workers: Workers | None = None,
    point: str | None = None,
    batch_size: int | None = None,
    wide: bool = False,
    piece: int = PIECE,
    restart: bool = False,
) -> Counts:
    """Writes `Predictor.findings` of every image as a folder of Parquet files, by workers of Ray.

    The rows are those of `runs.predict.write_findings`, in the order of the list; `runs.merge.merge` makes one file of
    them. After a kill of workers, machines or this process, nothing is lost and nothing is written twice.

    Args:
        predictor: The model. It was loaded from a release that every worker finds by the same name.
        sources: Folders, image files, lists and addresses (`lists.find_listed`), which every worker reaches.
        out: Folder on a disk that all workers share.
        progress: Receives the progress.
        workers: The workers.
        point: Operating point; that of the release by default.
        batch_size: Images per batch; the runtime's default if None.
        wide: Whether to write one row per image with the probabilities.
        piece: Images of a part, about.
        restart: Whether to discard the results of an earlier call.

    Raises:
        MissingExtraError: Ray or pyarrow is not installed.
        CheckpointError: The folder holds results of another job or list, or something else.
        StateError: Workers died again and again at one piece.
        ZooError: What a worker raised.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("--engine ray", "ray", "ray")
    require_parquet("--engine ray")
    refuse_other(out)
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = findings_job(predictor, batch_size, "parquet", wide, point)
    paths = find_listed(sources, progress.message)
    # The hash of the list; there is one share, cut into pieces.
    job |= {"list": share_of(Shard(0, 1), paths, [""] * len(paths)).whole["list"]}
    size = max(1, round(piece / batch_size)) * batch_size
    pieces = Pieces(out, len(paths), size, job | {"pieces of": size})
    out.mkdir(parents=True, exist_ok=True)
    if restart:
        drop(out)
    pieces.forget_tries()
    left = [index for index in range(pieces.count) if pieces.finished(index) is None]
    if len(left) < pieces.count:
        progress.message(f"{pieces.count - len(left):,} of {pieces.count:,} parts are written already")
    if left:
        sent = pickle.dumps((predictor, pieces, batch_size, wide, point))
        _score(sent, pieces, left, paths, workers or Workers(), progress)
    done = pieces.finish(f"{predictor.name} (manifest {predictor.manifest_sha256})")
    return Counts.of(done)


class ScorePieces:
    """A worker: scores pieces and writes their parts.

    Args:
        sent: Pickled model, pieces and options; unpickled here, when the backend is known.
        keras_backend: The backend that the driver runs.
    """

    def __init__(self, sent: bytes, keras_backend: str) -> None:
        os.environ["KERAS_BACKEND"] = keras_backend
        self._predictor, self._pieces, self._batch_size, self._wide, self._point = pickle.loads(sent)
        from zoo.runs.writing import settle

        settle(self._predictor, self._batch_size)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Scores pieces: "index" of each, and its "paths"; returns the number of images of each."""
        images = [self._score(int(i), list(p)) for i, p in zip(batch["index"], batch["paths"], strict=True)]
        return {"images": images}

    def _score(self, index: int, paths: list[str]) -> int:
        from zoo.inference.remote import predictions

        pieces: Pieces = self._pieces
        if pieces.finished(index) is None:
            pieces.begin(index)
            batches = predictions(self._predictor, paths, self._batch_size, pieces.images)
            pieces.write(index, batches, self._table)
        return len(paths)

    def _table(self, batch: Prediction) -> Any:
        batch = printable_batch(batch)
        return self._predictor.wide_table(batch) if self._wide else self._predictor.table(batch, self._point)


def _score(
    sent: bytes, pieces: Pieces, left: Sequence[int], paths: Sequence[str], workers: Workers, progress: Progress
) -> None:
    import ray

    with _cluster(workers.address), progress.task("scoring images on Ray", pieces.images) as advance:
        advance(pieces.images - sum(end - start for start, end in map(pieces.span, left)))
        items = [{"index": i, "paths": list(paths[slice(*pieces.span(i))])} for i in left]
        listed = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS))
        resources: dict[str, Any] = {"num_cpus": workers.cores}
        resources |= {"num_gpus": workers.gpus} if workers.gpus else {}
        count = min(workers.count or _fitting(workers), len(items))
        # A worker has one piece at a time and the next one waiting: what is lost with it is no more than that.
        pool = ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2)
        scored = listed.map_batches(
            ScorePieces,
            fn_constructor_args=(sent, backend.current() or os.environ["KERAS_BACKEND"]),
            batch_size=1,
            compute=pool,
            **resources,
        )
        with _told():
            for row in scored.iter_rows():
                advance(int(row["images"]))


def _fitting(workers: Workers) -> int:
    """Workers for which the cluster has cores and GPUs; a network uses more than one core by itself."""
    import ray

    have = ray.cluster_resources()
    by_gpu = have.get("GPU", 0) / workers.gpus if workers.gpus else float("inf")
    by_core = have.get("CPU", 1) / (workers.cores or 1) / (1 if workers.gpus else 2)
    return max(1, int(min(by_gpu, by_core)))


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Joins a cluster, or starts one here for the time of the block; one that runs in this process is used."""
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    import ray

    if ray.is_initialized():
        with _quiet(ray):
            yield
        return
    here: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    except ConnectionError as error:
        raise StateError(f"no cluster of Ray answers at {address!r}: {str(error).splitlines()[0]}") from error
    try:
        with _quiet(ray):
            yield
    finally:
        ray.shutdown()


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Without bars and notes of Ray, which would be mixed with our progress."""
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars
    context.enable_progress_bars = False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = before
        logger.setLevel(level)


@contextmanager
def _told() -> Iterator[None]:
    """An error that a worker raised is raised as itself, if a user can correct it."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ZooError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, ZooError):
            raise type(cause)(str(cause)) from error
        raise
