"""`zoo predict --by study`: writes the findings of all studies in a folder to CSV or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.errors import CheckpointError
from zoo.core.progress import Progress
from zoo.data import contents
from zoo.data.images.dicom_header import Ids
from zoo.data.images.listing import find_images
from zoo.evaluation.studies.rule import StudyRule
from zoo.gate.verdict import Verdict
from zoo.inference import parts, resume, studies, writers
from zoo.inference.predictor import Predictor
from zoo.inference.shards import Shard, share_of
from zoo.inference.stream import Prediction
from zoo.runs.predict import findings_job, findings_metadata
from zoo.runs.writing import (
    append,
    append_nothing,
    beside,
    complete,
    in_order,
    job_of,
    keep,
    no_image,
    part_of_job,
    printable_batch,
    scored,
    settle,
    tell_quality,
    tell_resumed,
)


@dataclass(frozen=True)
class StudyCounts:
    """Numbers of studies and of scored images, and how many of the images are unreadable, rejected and doubtful."""

    studies: int
    images: int
    unreadable: int
    rejected: int = 0
    doubtful: int = 0

    @classmethod
    def of(cls, studies: int, done: resume.Mark) -> StudyCounts:
        """The counts of a file of results."""
        return cls(studies, done.items, done.failed, done.rejected, done.doubtful)


def write_study_findings(
    predictor: Predictor,
    sources: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    source: str | Path = "name",
    point: str | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    wide: bool = False,
    restart: bool = False,
    ids: Ids = "file",
    also: Callable[[Prediction, np.ndarray], None] | None = None,
    shard: Shard | None = None,
) -> StudyCounts:
    """Writes one row per study and finding, or per study, as CSV or Parquet; `out` appears when it is complete.

    The logits of a study's images are joined as the release's decision says (`Decision.study_rule`). After a kill, the
    same call resumes after the last study that was written.

    Args:
        predictor: The model, with its decision and its limits for an image.
        sources: Image files and folders.
        out: `.csv` or `.parquet` file to write.
        progress: Receives the progress after each batch.
        source: How the study of an image is found: "name", "folder", "header", "auto" or a table; see
            `inference.studies.studies_of`.
        point: Operating point; that of the release by default.
        batch_size: Images per batch; the runtime's default if None.
        strict: Whether to stop at the first unreadable image; otherwise the other images of its study speak alone.
        wide: Whether to write one row per study with the probabilities.
        restart: Whether to start again: the results of an earlier call are discarded, a finished file is replaced.
        ids: "uid" names studies that were told by DICOM headers by their Study Instance UID; otherwise it is hashed.
        also: Called with the predictions of the images of each study, and its logits, before its rows are written.
        shard: Which share of the studies to score; see `runs.predict.write_findings`.

    Raises:
        CheckpointError: An earlier call with other settings was stopped, one is still running, images that it scored
            have changed or are gone, or a study that it has written has further images now.
        UsageError: The study of an image is unknown; or as `predict.write_findings`.
        ImageError: With `strict`, an image cannot be read.
    """
    batch_size = predictor.runtime.batch_size if batch_size is None else batch_size
    job = findings_job(predictor, batch_size, f"{writers.format_of(out).name} by study", wide, point)
    metadata = findings_metadata(predictor, job)
    kind = writers.format_of(out, metadata=metadata)
    rule = predictor.decision.study_rule if predictor.decision is not None else StudyRule.plain(len(predictor.labels))
    study_of = _studies_of(predictor, sources, source, rule, ids, progress)
    found = [*study_of]
    job["studies"] = str(source) if source in studies.RULES else contents.of(str(source)).digest
    share = None
    if shard is not None:
        share = share_of(shard, found, [*study_of.values()], [*study_of.values()])
        found, out, kind = list(share.paths), shard.part_of(out), part_of_job(share, job, ids, metadata)
    job = job_of(job, ids, share)
    studies_here = len({study_of[path] for path in found})
    if not restart and (earlier := complete(out, job, found, progress, kind)) is not None:
        return StudyCounts.of(studies_here, earlier)
    with resume.open_journal(out, job, restart=restart, whole=kind.whole) as log:
        paths = _grouped(in_order(log.files, found, out), study_of, len(log.files), out)
        settle(predictor, batch_size)
        place_of = {study: i for i, study in enumerate(dict.fromkeys(study_of[path] for path in paths))}

        def write(piece: _Piece) -> None:
            if also is not None:
                for rows, logits in piece.by_study():
                    also(rows, logits)
            table = _table(predictor, printable_batch(piece.studies), piece.images, wide, point)
            if share is not None:
                table = parts.placed(table, share.places[[place_of[name] for name in piece.studies.names]])
            append(log, kind, table, piece.predictions)

        done = log.done.items
        parts.count(kind, log.done)
        tell_resumed(done, len(paths), progress)
        start = done // batch_size * batch_size
        batches = scored(predictor, paths, progress, batch_size, strict, start, None if share is None else share.images)
        beside(write, _pieces(batches, paths, [study_of[path] for path in paths], rule, start, done))
        if not log.done.size:
            append_nothing(log, kind, _table(predictor, no_image(predictor), np.ones(1, np.int64), wide, point))
    keep(out, job, log, progress)
    tell_quality(log.done, predictor, progress)
    return StudyCounts.of(studies_here, log.done)


def _studies_of(
    predictor: Predictor, sources: Sequence[Path], source: str | Path, rule: StudyRule, ids: Ids, progress: Progress
) -> dict[str, str]:
    """Image -> its study, for all images found; says how they are grouped and joined."""
    found = find_images(sources, progress.message)
    names = studies.studies_of(found, source, [str(one) for one in sources], ids=ids, limits=predictor.limits)
    if found:
        progress.message(f"{studies.described(names, source)}; {rule.described(predictor.labels)}")
    return dict(zip(found, names.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some whole studies.

    Attributes:
        studies: One row for each study.
        images: Number of images of each study.
        predictions: One row for each image, those of a study one after the other.
    """

    studies: Prediction
    images: np.ndarray
    predictions: Prediction

    def by_study(self) -> Iterator[tuple[Prediction, np.ndarray]]:
        """Yields the predictions of the images of each study, and its logits."""
        start = 0
        for logits, count in zip(self.studies.logits, self.images.tolist(), strict=True):
            yield self.predictions.rows(range(start, start + count)), logits
            start += count


def _pieces(
    batches: Iterable[Prediction],
    paths: Sequence[str],
    study_of: Sequence[str],
    rule: StudyRule,
    start: int,
    done: int,
) -> Iterator[_Piece]:
    """Yields the studies that are complete after each batch; images of the last one wait for the next batch.

    Args:
        batches: Predictions from image `start` on.
        paths: All images, those of a study one after the other.
        study_of: The study of each.
        rule: How to join.
        start: Index of the first image of `batches`, at most `done`.
        done: Number of images that are written already.
    """
    waiting_logits: list[np.ndarray] = []
    waiting_errors: list[str] = []
    waiting_verdicts: list[Verdict] = []
    at = start
    for batch in batches:
        skipped = min(max(done - at, 0), len(batch.names))
        at += len(batch.names)
        waiting_logits.append(batch.logits[skipped:])
        waiting_errors += batch.errors[skipped:]
        waiting_verdicts += batch.verdicts[skipped:]
        end = at
        while done < end < len(paths) and study_of[end - 1] == study_of[end]:
            end -= 1
        if end <= done:
            continue
        logits, count = np.concatenate(waiting_logits), end - done
        images = Prediction(list(paths[done:end]), logits[:count], waiting_errors[:count], waiting_verdicts[:count])
        joined, counts = studies.join_prediction(images, study_of[done:end], rule)
        yield _Piece(joined, counts, images)
        waiting_logits, waiting_errors, done = [logits[count:]], waiting_errors[count:], end
        waiting_verdicts = waiting_verdicts[count:]


def _grouped(paths: Sequence[str], study_of: dict[str, str], written: int, out: Path) -> list[str]:
    """Images of a study one after the other, in the order in which the studies first appear.

    Raises:
        CheckpointError: A study that was written has further images.
    """
    finished = {study_of[path] for path in paths[:written]}
    more = next((path for path in paths[written:] if study_of[path] in finished), None)
    if more is not None:
        raise CheckpointError(
            f"{out}: study {study_of[more]!r} was written by an earlier run and has another image now ({more}): "
            "--replace (restart=True) starts again"
        )
    place = {study: i for i, study in enumerate(dict.fromkeys(study_of[path] for path in paths))}
    return sorted(paths, key=lambda path: place[study_of[path]])


def _table(predictor: Predictor, found: Prediction, images: np.ndarray, wide: bool, point: str | None) -> pd.DataFrame:
    if wide:
        return studies.wide_table(found, images, predictor.labels, predictor.decision, predictor.trained)
    assert predictor.decision is not None
    return studies.long_table(found, images, predictor.labels, predictor.decision, point)
