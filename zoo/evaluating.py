"""`zoo evaluate`: a release on labelled films, or anybody's predictions against labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo import predictor, results
from zoo.data import duplicates, tables
from zoo.evaluation import files, leakage, report
from zoo.evaluation.comparison import How
from zoo.evaluation.scores import Scores
from zoo.progress import Progress


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation came to.

    Attributes:
        metrics: What `metrics.json` holds.
        report: Path of the report that a person opens.
    """

    metrics: dict[str, Any]
    report: Path


def evaluate_release(
    name: str | Path,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    dataset: str = "competition",
    trained_on: Path | None = None,
    resamples: int = 2000,
    seed: int = 0,
    command: str = "",
) -> Evaluation:
    """Scores every labelled film of a folder with a release, and evaluates it with the release's own decision.

    Args:
        name: As for `zoo.load`.
        data: Folder of images and table.
        out: Folder of the results.
        progress: Told of each film.
        dataset: Form of the table.
        trained_on: Run folder or `split.json` of the training, whose files must not be among these.
        resamples: Of the bootstrap.
        seed: Of the resamples.
        command: What makes these numbers again, for the report.
    """
    model = predictor.load(name)
    table, missing = tables.drop_missing(tables.read_table(dataset, data))
    table, logits, unreadable = _score(model, table, progress)
    patients = None if table["Patient_ID"].isna().any() else table["Patient_ID"].to_numpy(str)
    scores = Scores(logits, tables.labels_of(table, model.labels), model.labels, "test", patients=patients)
    with progress.task("resampling", 1) as advance:
        metrics = report.evaluate({model.name: scores}, model.decision, resamples=resamples, seed=seed)
        advance()
    leaks = _leaks(table, trained_on, progress.message) if trained_on is not None else None
    groups = results.groups_of(table)
    metrics = results.complete(metrics, scores, model.decision, groups=groups, leakage=leaks)
    metrics["notes"] = [f"{len(missing)} films of the table are not in the folder"] if len(missing) else []
    metrics["notes"] += [f"unreadable, left out: {reason}" for reason in unreadable]
    wrong = results.mistakes(model.model, list(table["Image_path"]), scores, model.decision)
    shown = results.write(metrics, out, mistakes=wrong, method=results.method(model.model), command=command)
    return Evaluation(metrics, shown)


def evaluate_predictions(
    predictions: Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    readers: Sequence[Path] = (),
    how: How | None = None,
    resamples: int = 2000,
    seed: int = 0,
    command: str = "",
    **reading: Any,
) -> Evaluation:
    """Evaluates files of predictions, of any model.

    Args:
        predictions: CSV files, one a model; the first is under report, or their ensemble.
        out: Folder of the results.
        labels: CSV file of labels; None takes those in the predictions' files.
        readers: CSV files of people's calls.
        how: What an ensemble of all averages: "logits", "probabilities" or "ranks".
        resamples: Of the bootstrap.
        seed: Of the resamples.
        command: What makes these numbers again, for the report.
        **reading: Further arguments of `files.read_files`.
    """
    study = files.read_files(predictions, labels, readers=readers, **reading)
    metrics = files.evaluate_study(study, how=how, resamples=resamples, seed=seed)
    main = files.with_ensemble(study, how)[metrics["model"]]
    metrics = results.complete(metrics, main, groups=study.groups)
    return Evaluation(metrics, results.write(metrics, out, command=command))


def _score(
    model: predictor.Predictor, table: pd.DataFrame, progress: Progress
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """The rows that could be read, their logits, and what was wrong with the others."""
    parts, errors = [], []
    with progress.task(f"scoring {len(table)} films", len(table)) as advance:
        for batch in model.stream(table["Image_path"]):
            parts.append(batch.logits)
            errors += batch.errors
            for _ in batch.names:
                advance()
    read = np.array([not error for error in errors], bool)
    return table[read].reset_index(drop=True), np.concatenate(parts)[read], [e for e in errors if e]


def _leaks(table: pd.DataFrame, trained_on: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What these films share with those of a training."""
    parts = duplicates.split_images(trained_on)
    seen = [name for part in ("train", "tune") for name in parts.get(part, ())]
    shared = leakage.shared_names(seen, table["Image_name"].to_numpy())
    if shared.names:
        say(f"{len(shared.names)} of these films were trained or tuned on: their figures flatter")
    return {"files": shared.to_dict()}
