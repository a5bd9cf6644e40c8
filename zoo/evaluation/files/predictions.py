"""Reads predictions of any model from a CSV file with a number for each row and finding."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from zoo.core.csv import CsvColumns, read_columns
from zoo.core.errors import TableError, UnknownNameError
from zoo.evaluation.files.labels import label_columns, labelled_names, labels_in
from zoo.evaluation.files.long_form import widen
from zoo.evaluation.files.rows import Rows, id_headers, read_rows
from zoo.labels.columns import FINDING_LABELS
from zoo.labels.schemas import Chosen, Schema, prediction_columns

Kind: TypeAlias = Literal["probabilities", "scores", "logits"]
KINDS: tuple[Kind, ...] = ("probabilities", "scores", "logits")

ARE_THESE_LOGITS = "are these logits? pass --kind logits (kind='logits')"


@dataclass(frozen=True, eq=False)
class Predictions(Rows):
    """Predictions of one model as its file holds them.

    Attributes:
        kind: "probabilities" (0..1), "logits", or "scores" (numbers of unknown scale, of which only the order is used).
        labels: Labels in the same file, or None.
    """

    kind: Kind = "probabilities"
    labels: Rows | None = None


def read_predictions(
    path: str | Path,
    *,
    schema: Schema = "auto",
    id_column: str | None = None,
    prefix: str | None = None,
    kind: Kind | None = None,
    drop_missing: bool = False,
    own_labels: bool = True,
) -> Predictions:
    """Reads predictions by column name; "Pleural_Effusion" and "prob_pleural effusion" are the same finding.

    Tables with one row per image and finding, as `zoo predict` writes them, are read as well.

    Args:
        path: CSV file, gzipped or not.
        schema: "chexpert"; "nih"; a list of custom findings, all of which must be present; or "auto": the columns with
            a common prefix, or those named after a finding of either data set or accompanied by labels.
        id_column: Column of the identifiers; found by its usual names by default.
        prefix: Text in front of each finding's name; detected by default if all findings share one.
        kind: Kind of the numbers. By default "logits" after a prefix `logit_`, else "probabilities" if all of them
            are in 0..1, else "scores".
        drop_missing: True leaves out rows with a NaN or blank prediction and reports their number.
        own_labels: False ignores labels in the file.

    Raises:
        FileNotFoundError: The file does not exist.
        TableError: The file is damaged, has no column of a finding, has a missing, infinite or unreadable prediction or
            a probability outside 0..1, or has two different rows with one identifier; names file, line and column.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.csv"
        ...     _ = path.write_text("Image Index,prob_Edema,prob_Mass\\n00001.png,.9,.2\\n")
        ...     found = read_predictions(path)
        >>> found.ids.tolist(), found.findings, found.kind
        (['00001.png'], ('Edema', 'Mass'), 'probabilities')
    """
    table = widen(read_columns(path))
    (id_header,) = id_headers([table], id_column)
    return predictions_in(
        table,
        id_header,
        schema=schema,
        prefix=prefix,
        kind=kind,
        drop_missing=drop_missing,
        own_labels=own_labels,
    )


def predictions_in(
    table: CsvColumns,
    id_header: str | None,
    *,
    schema: Schema = "auto",
    prefix: str | None = None,
    kind: Kind | None = None,
    drop_missing: bool = False,
    own_labels: bool = True,
    among: Collection[str] = (),
) -> Predictions:
    """Reads predictions like `read_predictions`, from a table in memory; `among` are findings in other files."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of predictions", kind, KINDS)
    among = {*among, *(labelled_names(table) if own_labels else ())}
    chosen = prediction_columns(table, schema, prefix, among)
    values = np.stack([table.numbers(header) for header in chosen.headers.values()], axis=1)
    complete = _complete(table, chosen, values, drop_missing)
    kind, notes = _kind(table, chosen, values, kind)
    rows = read_rows(table, chosen.headers, values, id_header, model_name(table.path))
    if id_header is None:
        notes += (f"{table.path.name}: no column of identifiers; rows are named by their line",)
    if len(complete) < len(table):
        lost = len(table) - len(complete)
        notes += (f"{table.path.name}: rows with a missing prediction, left out: {lost:,} of {len(table):,}",)
        rows = rows.take(np.flatnonzero(~np.isnan(rows.values).any(axis=1)))
    labels = _own_labels(table, chosen, schema, id_header) if own_labels else None
    if labels is not None:
        labels = labels.take(np.flatnonzero(np.isin(labels.ids, rows.ids)))
    facts = {field.name: getattr(rows, field.name) for field in fields(Rows)}
    return Predictions(**facts | {"notes": (*chosen.notes, *rows.notes, *notes)}, kind=kind, labels=labels)


def model_name(path: Path) -> str:
    """Returns a model's name: its file name without the endings `_predictions`, `.csv` and `.gz`.

    Example:
        >>> model_name(Path("densenet_predictions.csv.gz"))
        'densenet'
    """
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    return name.removesuffix("_predictions").removesuffix("-predictions") or name


def _complete(table: CsvColumns, chosen: Chosen, values: np.ndarray, drop_missing: bool) -> np.ndarray:
    """Returns the positions of the rows that have all predictions."""
    missing, headers = np.isnan(values), list(chosen.headers.values())
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise table.error(row, headers[column], f"the prediction {values[row, column]} is not finite")
    if missing.any() and not drop_missing:
        row, column = np.argwhere(missing)[0]
        count = missing.any(axis=1).sum()
        problem = f"the prediction is missing (as in {count:,} of {len(table):,} rows); to leave such rows out pass "
        raise table.error(row, headers[column], problem + "--drop-missing (drop_missing=True)")
    complete = np.flatnonzero(~missing.any(axis=1))
    if not len(complete):
        raise TableError(f"{table.path}: each of {len(table):,} rows has a missing prediction, none is left")
    return complete


def _kind(table: CsvColumns, chosen: Chosen, values: np.ndarray, kind: Kind | None) -> tuple[Kind, tuple[str, ...]]:
    """Determines the kind of the numbers (NaN if missing), with notes about it."""
    name, outside = table.path.name, (values < 0) | (values > 1)
    kind = kind or ("logits" if chosen.are_logits else None)
    if kind in ("logits", "scores"):
        inside = kind == "logits" and not outside.any()
        question = f"{name}: all logits lie in 0..1: are these probabilities? pass --kind probabilities"
        return kind, (question,) if inside else ()
    if not outside.any():
        binary = (np.isin(values, (0, 1)) | np.isnan(values)).all(axis=0)
        decided = ", ".join(finding for finding, is_binary in zip(chosen.headers, binary, strict=True) if is_binary)
        note = f"{name}: nothing but 0 and 1, as of decisions or labels and not of probabilities: {decided}"
        return "probabilities", (note,) if decided else ()
    row, column = np.unravel_index(np.nanargmax(np.abs(values - 0.5)), values.shape)
    problem = f"{values[row, column]:.6g} is outside 0..1"
    error = table.error(int(row), list(chosen.headers.values())[column], f"{problem}: {ARE_THESE_LOGITS}")
    if kind == "probabilities":
        raise error
    note = "these are scores, which rank but are refused for calibration and thresholds"
    return "scores", (f"{name}, line {table.lines[row]}: {problem}: {note}; {ARE_THESE_LOGITS}",)


def _own_labels(table: CsvColumns, chosen: Chosen, schema: Schema, id_header: str | None) -> Rows | None:
    findings, taken = tuple(chosen.headers), frozenset(chosen.headers.values())
    if table.header(FINDING_LABELS) is None and not label_columns(table, findings, schema, taken):
        return None
    return labels_in(table, findings, schema, id_header, taken)
