"""Reads any model's predictions: a CSV file with a number for each row and finding."""

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
    """One model's predictions, as a file has them.

    Attributes:
        kind: "probabilities" (0..1), "logits", or "scores": numbers of unknown scale, which rank.
        labels: The labels in the file itself, or None.
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
    """Reads predictions by the names of their columns: "Pleural_Effusion", "prob_pleural effusion" are one finding.

    The table that `zoo predict` writes, of a row for each image and finding, is read as well.

    Args:
        path: CSV file, gzipped or not.
        schema: "chexpert", "nih", one's own findings (all of them needed), or "auto": the columns behind a prefix, or
            those that are named after a finding of either data set or have labels.
        id_column: Column of the identifiers; found by the usual names otherwise.
        prefix: What stands in front of each finding's name; found out where all findings share one.
        kind: What the numbers are. By default "logits" behind a prefix `logit_`, else "probabilities" if all of them
            lie in 0..1, else "scores".
        drop_missing: True leaves out rows with a NaN or blank prediction, and says how many.
        own_labels: False does not look for labels in the file.

    Raises:
        FileNotFoundError: No such file.
        TableError: A damaged file, no column of a finding, a missing, infinite or unreadable prediction, a
            probability outside 0..1, or two different rows of one identifier; names file, line and column.

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
    """As `read_predictions`, for a table that is read already; `among` are names that other files label."""
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
    """The name of a model by its file: without the endings `_predictions`, `.csv` and `.gz`.

    Example:
        >>> model_name(Path("densenet_predictions.csv.gz"))
        'densenet'
    """
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    return name.removesuffix("_predictions").removesuffix("-predictions") or name


def _complete(table: CsvColumns, chosen: Chosen, values: np.ndarray, drop_missing: bool) -> np.ndarray:
    """The rows, by position, that have all predictions."""
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
    """The kind of the numbers (NaN where missing), and notes on it."""
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
