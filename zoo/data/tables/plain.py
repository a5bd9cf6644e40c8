"""Reads any CSV with a column of images and labels of any findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns, same_name, shortened
from zoo.core.dialects import TABLE_EXTENSIONS, read_any_columns
from zoo.core.errors import TableError
from zoo.core.paths import is_file
from zoo.data.images.locating import Located
from zoo.data.tables.canonical import build_table, check_names
from zoo.data.tables.plain_columns import PlainColumns, find_columns
from zoo.data.tables.plain_images import locate_rows
from zoo.data.tables.plain_labels import counted_labels, read_plain_labels
from zoo.data.tables.spec import ROLES, TableSpec
from zoo.data.tables.views import view_columns
from zoo.labels import facts
from zoo.labels.columns import GROUPS
from zoo.labels.schemas import AUTO, names_of

_SCIENTIFIC = re.compile(r"\d([.,]\d+)?[eE]\+\d+")


def read_csv_table(
    csv: str | Path,
    images: str | Path | None = None,
    *,
    columns: TableSpec | None = None,
    findings: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Reads a CSV of any origin into the canonical form.

    Separator and encoding are found out (`zoo.core.dialects`), and so are the columns: the image by the name of its
    column or by its file names, patient, study, sex, age and view by usual names, and as findings all columns that hold
    labels. A label is 1, 0, -1 (uncertain), blank (unknown), or a word (`zoo.labels.facts.label`). In place of such
    columns there may be one that lists findings ("Edema|Effusion").

    Args:
        csv: The table.
        images: Folder of the images; by default paths are absolute or relative to the table's folder.
        columns: Names of columns, where they are not found by themselves.
        findings: Findings of a model, also looked for under the names of other data sets; those without labels are NaN.
            By default all findings that the table labels, under their names there.
        say: Called with each sentence on what was understood, before any image is read.

    Returns:
        A canonical table with labels 1, 0, -1 and NaN.

    Raises:
        FileNotFoundError: The table or the folder does not exist.
        TableError: The file is no table, there is no column of images or findings, a label is not understood, an image
            is repeated, or a path matches two files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.png").write_bytes(b"")
        ...     path = Path(folder, "labels.csv")
        ...     _ = path.write_text("file;patient;Edema;Rib notching\\na.png;7;yes;0,0\\n")
        ...     table = read_csv_table(path)
        >>> table[["Image_name", "Patient_ID", "Edema", "Rib notching"]].values.tolist()
        [['a.png', '7', 1.0, 0.0]]
    """
    source, form = read_any_columns(csv)
    tell, columns = say or (lambda text: None), columns or TableSpec()
    name = source.path.name
    size = f"{len(source):,} rows, {len(source.columns)} columns, {form}"
    wanted = _narrowed(findings, columns.findings, name)
    spec = columns if findings is None else replace(columns, findings=())
    found = find_columns(source, spec, wanted)
    labels, how = read_plain_labels(source, found, spec.findings, findings if wanted is None else wanted)
    if findings is not None:
        labels = {f: labels.get(f, np.full(len(source), np.nan, np.float32)) for f in findings}
    source, notes = _facts(source, found)
    for sentence in (size, *form.notes, *_understood(source, found, labels), *how, *notes):
        tell(f"{name}: {sentence}")
    located = _located(source, found.facts["image"], images or columns.images or None)
    tell(f"{name}: {sum(is_file(path) for path in located.paths):,} of {counted(len(source), 'image')} found")
    own = {canonical: canonical for canonical in (*ROLES.values(), "ViewCategory")}
    sources: str | list[str] = "csv"
    if header := source.header(*GROUPS["source"]):
        sources = [text or "csv" for text in source.columns[header]]
    return build_table(source, own, labels, [], sources, located=located)


def csv_file(folder: Path) -> Path:
    """Returns the only table in a folder.

    Raises:
        TableError: There is none, or there are several; names them.
    """
    tables = sorted(
        path for path in folder.iterdir() if path.name.lower().endswith(TABLE_EXTENSIONS) and path.is_file()
    )
    tables = [path for path in tables if not path.name.startswith((".", "~"))]
    if len(tables) == 1:
        return tables[0]
    if tables:
        raise TableError(
            f"{folder}: {len(tables)} tables ({shortened(path.name for path in tables)}): give the one that is meant, "
            f"as --data {folder / tables[0].name}"
        )
    raise TableError(f"{folder}: no table (*.csv, *.tsv, also .gz) in this folder: give its path as --data FILE")


def _narrowed(findings: Sequence[str] | None, named: Sequence[str], source: str) -> list[str] | None:
    """Those of a model's findings that the user named, or all."""
    if findings is None or not named:
        return None if findings is None else list(findings)
    own = {same_name(name) for name in named}
    chosen = [finding for finding in findings if own & {same_name(name) for name in names_of(finding, AUTO)}]
    if not chosen:
        raise TableError(
            f"{source}: none of {shortened(named)} is a finding of the model; it has {shortened(findings, 14)}"
        )
    return chosen


def _located(source: CsvColumns, header: str, images: str | Path | None) -> Located:
    check_names(source, header, source.columns[header])
    return locate_rows(source.columns[header], source.path, Path(images) if images else None)


def _facts(source: CsvColumns, found: PlainColumns) -> tuple[CsvColumns, list[str]]:
    """The table with further columns of canonical names, and what was changed in their texts."""
    notes: list[str] = []
    columns = {ROLES[role]: source.columns[header] for role, header in found.facts.items()}
    for role in ("image", "patient", "study"):
        texts = columns.get(ROLES[role], ())
        lost = [text for text in texts if _SCIENTIFIC.fullmatch(text)]
        if lost:
            notes.append(
                f"column {found.facts[role]!r}: {len(lost):,} identifiers such as {lost[0]!r} lost their digits in a "
                "spreadsheet, so that different ones may look the same: export the column as text"
            )
    if patients := columns.get("Patient_ID"):
        columns["Patient_ID"] = tuple(text[:-2] if _is_decimal(text) else text for text in patients)
        changed = sum(map(_is_decimal, patients))
        notes += [f"column {found.facts['patient']!r}: {changed:,} numbers without their '.0'"] if changed else []
    category = source.header(*GROUPS["view"])
    views, strange = view_columns(columns.get("ViewPosition", ()), source.columns[category] if category else ())
    notes += strange
    others = {header: texts for header, texts in source.columns.items() if same_name(header) not in _CANONICAL}
    return replace(source, columns=others | columns | views), notes


def _is_decimal(text: str) -> bool:
    """Whether a number was written as "7.0" by a program that took identifiers for numbers."""
    return re.fullmatch(r"\d+\.0", text) is not None


_CANONICAL = {same_name(name) for name in (*ROLES.values(), "ViewCategory")}


def _understood(source: CsvColumns, found: PlainColumns, labels: dict[str, np.ndarray]) -> list[str]:
    roles = ", ".join(f"{role} is {header!r}" for role, header in found.facts.items())
    missing = [role for role in ROLES if role not in found.facts]
    told = [f"columns: {roles}" + (f"; none for {', '.join(missing)}" if missing else "")]
    if "patient" in found.facts:
        ids = [text for text in source.columns["Patient_ID"] if facts.names_patient(text)]
        unknown = len(source) - len(ids)
        said = f"; {counted(unknown, 'row names', 'rows name')} none" if unknown else ""
        told.append(counted(len(set(ids)), "patient") + said)
    renamed = [f"{finding!r} is {header!r}" for finding, header in found.findings.items() if finding != header]
    told += [f"names of findings: {', '.join(renamed)}"] if renamed else []
    told.append(f"{counted(len(labels), 'finding')}: {counted_labels(labels)}")
    if found.ignored:
        told.append("not used: " + ", ".join(f"{header!r} ({why})" for header, why in found.ignored.items()))
    return told
