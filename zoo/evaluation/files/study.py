"""Evaluates files of predictions, labels and readers' calls (`zoo evaluate --predictions`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from zoo.core.csv import CsvColumns, read_columns
from zoo.core.errors import EvaluationError, TableError
from zoo.evaluation import coherence, comparison, report
from zoo.evaluation.comparison import How, compare
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.alignment import Aligned, align, place
from zoo.evaluation.files.joining import match_ids
from zoo.evaluation.files.labels import labelled_names, labels_in
from zoo.evaluation.files.long_form import widen
from zoo.evaluation.files.predictions import ARE_THESE_LOGITS, Kind, model_name, predictions_in
from zoo.evaluation.files.rows import id_headers
from zoo.evaluation.readers import reader_points
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.checks import Reordering
from zoo.evaluation.result.evaluation import EnsembleOf
from zoo.evaluation.scores import Scores
from zoo.labels.schemas import Schema

#: Ends each error about a reader's file.
_WANTED_OF_READERS = (
    "a file of readers (--readers) holds, like the labels, the identifiers of the predictions and a column for each "
    "finding read: 1 where the reader called it, 0 where not, blank where the image was not read"
)

#: A probability closer than this to 0 or 1 was rounded to it.
_SMALLEST = 1e-15


@dataclass(frozen=True, eq=False)
class Study(Aligned):
    """Scores and readers' calls from several files on the same rows and findings.

    Attributes:
        readers: Reader -> (n, k) calls of 1, 0 and NaN (not read).
    """

    readers: Mapping[str, np.ndarray] = field(default_factory=dict)

    def take(self, rows: np.ndarray, split: str, split_hash: str = "") -> Study:
        """Selects rows (positions or mask) and gives them the name and hash of a part of the split."""
        calls = {name: values[rows] for name, values in self.readers.items()}
        return replace(super().take(rows, split, split_hash), readers=calls)


def read_files(
    predictions: Sequence[str | Path],
    labels: str | Path | None = None,
    *,
    schema: Schema = "auto",
    id_column: str | None = None,
    prefix: str | None = None,
    kind: Kind | None = None,
    readers: Sequence[str | Path] = (),
    split: str = "test",
    drop_missing: bool = False,
) -> Study:
    """Reads models' predictions, their labels and readers' calls, and joins them by name.

    Args:
        predictions: One CSV file per model, gzipped or not.
        labels: CSV file of labels; None uses the labels in the first file of predictions that has some.
        schema: "auto" (the findings that all files share), "chexpert", "nih", or a list of custom findings.
        id_column: Column of the identifiers in all files; by default the usual one that they share.
        prefix: Text in front of each finding's name in the predictions; detected by default.
        kind: Kind of the predictions if the files do not show it; see `predictions.read_predictions`.
        readers: One CSV file per reader: the identifiers of the predictions, and a column of 1 and 0 (blank: not
            read) for each finding that was read.
        split: Part of the split that the rows belong to; if a file has a column of parts, only its rows are used.
        drop_missing: True leaves out rows with a missing prediction and reports their number.

    Raises:
        FileNotFoundError: A file does not exist.
        TableError: A file cannot be used, or files have no row or finding in common; one line gives the reason.
        ValueError: No file was given.
    """
    if not predictions:
        raise EvaluationError("expected at least one file of predictions, got none")
    paths = [Path(path) for path in (*predictions, *([labels] if labels else []), *readers)]
    tables = [widen(read_columns(path)) if i < len(predictions) else read_columns(path) for i, path in enumerate(paths)]
    ids = id_headers(tables, id_column)
    count = len(predictions)
    names = _names(paths[:count])
    among = set().union(*(labelled_names(table) for table in tables[count:]))
    models = [
        replace(
            predictions_in(
                table,
                header,
                schema=schema,
                prefix=prefix,
                kind=kind,
                drop_missing=drop_missing,
                own_labels=labels is None,
                among=among,
            ),
            name=name,
        )
        for table, header, name in zip(tables[:count], ids[:count], names, strict=True)
    ]
    truth = labels_in(tables[count], models[0].findings, schema, ids[count]) if labels else None
    aligned = align(models, truth, split=split)
    first = count + (labels is not None)
    calls, notes = _calls(aligned, tables[first:], ids[first:], _names(paths[first:]))
    facts = {name: getattr(aligned, name) for name in ("scores", "ids", "groups", "kinds")}
    return Study(**facts, notes=aligned.notes + notes, readers=calls)


def evaluate_study(
    study: Study,
    *,
    how: How | None = None,
    decision: Decision | None = None,
    coherent: bool = False,
    level: float = 0.95,
) -> Evaluation:
    """Evaluates the models and readers of a study.

    Args:
        study: Models and readers; the report is about the first model, or about the ensemble if `how` is given.
        how: What the ensemble of all models averages: "logits", "probabilities" or "ranks". None makes no ensemble.
        decision: Decision of the reported model.
        coherent: Whether to add a second model: the reported one with its probabilities from `coherence.project`.
        level: Confidence level.

    Returns:
        An `Evaluation` as `report.evaluate` returns it, with the kinds of predictions, the ensemble, the comparison of
        two or more models, the readers, and notes on omitted and joined rows and columns. If `coherent`, it includes
        the model `<name>, coherent` and the changes that the projection made.

    Raises:
        ValueError: The ensemble has one model or averages scores for which this mean is undefined; or the decision is
            for scores of unknown scale or for other findings.
    """
    models = with_ensemble(study, how)
    main = next(iter(models))
    if (decision is not None or coherent) and models[main].kind == "scores":
        refused = "calibration and thresholds" if decision is not None else "coherent probabilities"
        raise EvaluationError(
            f"{main}: scores of unknown scale rank, but are refused for {refused}; {ARE_THESE_LOGITS}"
        )
    reported, projection = dict(models), None
    if coherent:
        reported[f"{main}, coherent"], projection = _projected(models[main], decision)
    result = report.evaluate(reported, decision, level=level)
    return replace(
        result,
        kinds=dict(study.kinds),
        ensemble=EnsembleOf(how, tuple(study.scores)) if how else None,
        comparison=compare(models, level=level) if len(models) > 1 else None,
        readers=reader_points(models, study.readers, level=level) if study.readers else None,
        projection=projection,
        notes=(*study.notes, *_saturated(study, how)),
    )


def _projected(scores: Scores, decision: Decision | None) -> tuple[Scores, dict[str, Reordering]]:
    """Returns the coherent scores, and what the projection changed in each finding."""
    before = scores.calibrated(decision)
    after = coherence.project(before, scores.findings)
    facts = {"split": scores.split, "split_hash": scores.split_hash, "patients": scores.patients}
    projected = Scores.from_probabilities(after, scores.labels, scores.findings, **facts)
    return projected, coherence.reordering(before, after, scores.findings)


def _names(paths: Sequence[Path]) -> list[str]:
    """Returns a distinct name for each file, preceded by its folder if two files have the same name."""
    whole = [path.absolute() for path in paths]
    if again := [path for path in paths if whole.count(path.absolute()) > 1]:
        raise EvaluationError(f"{again[0]}: given twice")
    names = [model_name(path) for path in paths]
    names = [
        f"{path.absolute().parent.name}/{n}" if names.count(n) > 1 else n for n, path in zip(names, paths, strict=True)
    ]
    for name, path in zip(names, paths, strict=True):
        if names.count(name) > 1:
            raise EvaluationError(f"{path}: another file is called {name!r} too: rename one of the two")
    return names


def _calls(
    aligned: Aligned, tables: Sequence[CsvColumns], ids: Sequence[str | None], names: Sequence[str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns each reader's calls on the rows and findings of the scores, and notes on them."""
    findings = next(iter(aligned.scores.values())).findings
    found: dict[str, np.ndarray] = {}
    notes: tuple[str, ...] = ()
    for table, header, name in zip(tables, ids, names, strict=True):
        try:
            rows = labels_in(table, findings, "auto", header)
            match = match_ids(aligned.ids, rows.ids, "the predictions", name)
        except TableError as error:
            raise TableError(f"{error}; {_WANTED_OF_READERS}") from None
        calls = np.full((len(aligned.ids), len(findings)), np.nan)
        read = np.flatnonzero(match.rows >= 0)
        for j, finding in enumerate(findings):
            column = place(finding, rows.findings)
            if column is not None:
                calls[read, j] = rows.values[match.rows[read], column]
        found[name], notes = calls, notes + rows.notes
        if len(read) < len(calls):
            notes += (f"{name}: rows that were not read: {len(calls) - len(read):,} of {len(calls):,}",)
    return found, notes


def with_ensemble(study: Study, how: How | None) -> dict[str, Scores]:
    """Returns the models; if `how` is given, their ensemble comes first."""
    models = dict(study.scores)
    if how is None:
        return models
    if len(models) < 2:
        raise EvaluationError(f"an ensemble needs two files of predictions or more, got {len(models)}")
    unranked = [name for name, scores in models.items() if scores.kind == "scores"]
    if unranked and how != "ranks":
        raise EvaluationError(
            f"{unranked[0]}: scores of unknown scale have no mean of {how}: average ranks, or: {ARE_THESE_LOGITS}"
        )
    return {f"mean of {how}": comparison.ensemble(list(models.values()), how), **models}


def _saturated(study: Study, how: How | None) -> list[str]:
    """Notes probabilities of exactly 0 and 1, whose extreme log-odds dominate a mean of logits."""
    counts = {
        name: int(np.sum((scores.probabilities <= _SMALLEST) | (scores.probabilities >= 1 - _SMALLEST)))
        for name, scores in study.scores.items()
        if how == "logits" and study.kinds[name] == "probabilities"
    }
    return [
        f"{name}: {count:,} probabilities are 0 or 1, whose log-odds outweigh the other models' in the mean of logits"
        for name, count in counts.items()
        if count
    ]
