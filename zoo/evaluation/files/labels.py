"""Reads labels from CSV files: names listed in one field, or one column per finding with 1, 0, -1 and blank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.core.csv import CsvColumns, read_columns, same_name, shortened
from zoo.core.errors import TableError
from zoo.evaluation.files.rows import Rows, id_headers, read_rows
from zoo.labels.columns import FINDING_LABELS, is_fact
from zoo.labels.facts import is_unknown, label
from zoo.labels.listed import NIH_LABELS, Vocabulary, read_listed, split_names
from zoo.labels.schemas import Schema, find_schema, names_of, without_label_prefix


def read_labels(
    path: str | Path, findings: Sequence[str], *, schema: Schema = "auto", id_column: str | None = None
) -> Rows:
    """Reads the labels of `findings` as 1, 0 and NaN (blank, or -1, which CheXpert uses for an uncertain label).

    Labels come either from the list in a column `Finding Labels` ("Effusion|Mass"), which is split at the separators
    (no search for substrings), or from one column per finding, in any order and spelling.

    Args:
        path: CSV file, gzipped or not.
        findings: Findings whose labels are wanted, by the names that the predictions use.
        schema: "auto", "chexpert", "nih", or a list of custom findings.
        id_column: Column of the identifiers; found by its usual names by default.

    Returns:
        Rows with those of `findings` that the file labels; `notes` name the remaining findings.

    Raises:
        FileNotFoundError: The file does not exist.
        TableError: No finding is labelled, a custom finding is not labelled, or a label is not 1, 0, -1 or blank.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels.csv"
        ...     _ = path.write_text("Image Index,Finding Labels\\na.png,Effusion|Mass\\nb.png,No Finding\\n")
        ...     read_labels(path, ["Pleural Effusion", "Mass"]).values.tolist()
        [[1.0, 1.0], [0.0, 0.0]]
    """
    table = read_columns(path)
    (id_header,) = id_headers([table], id_column)
    return labels_in(table, findings, schema, id_header)


def labels_in(
    table: CsvColumns,
    findings: Sequence[str],
    schema: Schema = "auto",
    id_header: str | None = None,
    taken: Collection[str] = (),
) -> Rows:
    """Reads labels like `read_labels`, from a table in memory; columns in `taken` (predictions) are excluded."""
    known, name = find_schema(schema), table.path.name
    listed = _listed(table, findings, schema)
    rest = [finding for finding in findings if finding not in listed]
    headers = label_columns(table, rest, schema, taken)
    columns = listed | {finding: _column(table, header) for finding, header in headers.items()}
    found = [finding for finding in findings if finding in columns]
    absent = [finding for finding in findings if finding not in columns]
    if absent and known.name == "own":
        table.required(absent[0], "its labels are needed")
    if not found:
        raise TableError(
            f"{table.path}: no labels of {shortened(findings)}: neither a column {FINDING_LABELS!r} nor columns of "
            f"these names; it has {shortened([header for header in table.columns if header not in taken])}"
        )
    field = table.header(FINDING_LABELS)
    used = {finding: headers.get(finding, field or "") for finding in found}
    values = np.stack([columns[finding] for finding in found], axis=1)
    rows = read_rows(table, used, np.where(values == -1, np.nan, values), id_header, name)
    notes = _notes(name, values, absent)
    renamed = [f"{f!r} is {h!r} there" for f, h in headers.items() if not same_name(h).endswith(same_name(f))]
    renamed += [f"{f!r} is {n!r} there" for f in listed if (n := _listed_name(f, schema)) and n != f]
    if renamed:
        notes += (f"{name}: {', '.join(renamed)}",)
    return replace(rows, notes=rows.notes + notes)


def label_columns(
    table: CsvColumns, findings: Sequence[str], schema: Schema = "auto", taken: Collection[str] = ()
) -> dict[str, str]:
    """Finding -> its label column, with or without a prefix such as "label_"; columns in `taken` are excluded."""
    known, columns = find_schema(schema), [h for h in table.columns if h not in taken and not is_fact(h)]
    own = {without_label_prefix(header): header for header in columns}
    found = {f: [own[key] for name in names_of(f, known) if (key := same_name(name)) in own] for f in findings}
    return {finding: headers[0] for finding, headers in found.items() if headers}


def labelled_names(table: CsvColumns) -> set[str]:
    """Normalised names that a table seems to label: listed findings, and columns whose first value is a label."""
    field = table.header(FINDING_LABELS)
    fields = set(table.columns[field] if field is not None else ())
    names = {same_name(name) for text in fields for name in split_names(text)}
    for header, texts in table.columns.items():
        first = next((text for text in texts if not is_unknown(text)), "")
        if not is_fact(header) and label(first) is not None:
            names.add(without_label_prefix(header))
    return names


def _notes(name: str, values: np.ndarray, absent: Sequence[str]) -> tuple[str, ...]:
    uncertain, blank = int(np.sum(values == -1)), int(np.isnan(values).sum())
    notes: tuple[str, ...] = ()
    if absent:
        notes += (f"{name}: without labels, and left out: {', '.join(absent)}",)
    if uncertain or blank:
        notes += (f"{name}: labels that count as unknown: {blank:,} blank, {uncertain:,} uncertain (-1)",)
    return notes


def _column(table: CsvColumns, header: str) -> np.ndarray:
    """Reads a column as (n,) of 1, 0, -1 and NaN."""
    meaning = {text: label(text) for text in set(table.columns[header])}
    for row, text in enumerate(table.columns[header]):
        if meaning[text] is None:
            raise table.error(row, header, f"a label is 0, 1, -1 (uncertain) or blank, got {text!r}")
    return np.array([meaning[text] for text in table.columns[header]], np.float64)


def _listed(table: CsvColumns, findings: Sequence[str], schema: Schema) -> dict[str, np.ndarray]:
    """Finding -> (n,) of 1, 0 and NaN from the column `Finding Labels`; empty if there is no such column."""
    if table.header(FINDING_LABELS) is None:
        return {}
    known = find_schema(schema)
    vocabulary: Vocabulary = {"own": "any", "auto": "auto"}.get(known.name, "nih")  # type: ignore[assignment]
    listed = read_listed(table, vocabulary)
    columns = {finding: listed.labels(names_of(finding, known)) for finding in findings}
    return {finding: column for finding, column in columns.items() if column is not None}


def _listed_name(finding: str, schema: Schema) -> str:
    """Returns NIH's name of a finding, or "" if NIH does not label it."""
    names = names_of(finding, find_schema(schema))
    own = {same_name(label): label for label in NIH_LABELS}
    return next((own[same_name(name)] for name in names if same_name(name) in own), "")
