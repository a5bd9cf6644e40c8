"""What the readers of public data sets share: labels by a list of names, and canonical tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import CsvColumns
from zoo.core.errors import TableError
from zoo.data.tables.canonical import build_table
from zoo.data.tables.spec import ROLES
from zoo.labels import facts
from zoo.labels.findings import FINDINGS, LabelSchema


def find_table(folder: Path, given: Path | None, patterns: Sequence[str], what: str) -> Path:
    """The only file of a folder whose name matches a pattern; an earlier pattern has priority.

    Raises:
        TableError: There is none, or several match the first pattern that matches any.
    """
    if given is not None:
        return given
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise TableError(
                f"{folder}: several tables of {what} ({names}): give the one that is meant, as --data FILE"
            )
        if found:
            return found[0]
    raise TableError(f"{folder}: no table of {what}: expected {' or '.join(patterns)}")


def one_file(folder: Path, *patterns: str) -> Path | None:
    """The first file of a folder that matches a pattern, or None."""
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()), None)


def canonical_table(
    source: CsvColumns,
    columns: Mapping[str, Sequence[str]],
    labels: Mapping[str, np.ndarray],
    images: Path,
    name: str | Sequence[str],
    schema: LabelSchema | None = None,
) -> pd.DataFrame:
    """Builds a canonical table; a finding of the schema that the set does not label is NaN, never 0.

    Args:
        source: The file, for messages.
        columns: Canonical name -> (n,) texts.
        labels: Finding -> (n,) of 1, 0, -1 and NaN.
        images: Folder of the images.
        name: The source of all rows, or of each.
        schema: The findings wanted; the 14 by default.
    """
    own = replace(source, columns={key: tuple(texts) for key, texts in columns.items()})
    nothing = np.full(len(own), np.nan, np.float32)
    wanted = schema.findings if schema is not None else FINDINGS
    every = {finding: np.asarray(labels.get(finding, nothing), np.float32) for finding in wanted}
    return build_table(own, {key: key for key in (*ROLES.values(), "ViewCategory")}, every, [images], name)


def label_column(source: CsvColumns, header: str) -> np.ndarray:
    """A column of labels as float32 (n,) of 1, 0, -1 and NaN.

    Raises:
        TableError: A label is not understood; names line and column.
    """
    texts = source.columns[header]
    meaning = {text: facts.label(text) for text in set(texts)}
    for row, text in enumerate(texts):
        if meaning[text] is None:
            raise source.error(row, header, f"a label is 1, 0, -1 (uncertain) or blank, got {text!r}")
    return np.array([meaning[text] for text in texts], np.float32)


def listed(rows: Sequence[Collection[str] | None], mapping: Mapping[str, Collection[str]]) -> dict[str, np.ndarray]:
    """Labels from the names of each row: 1 if one of a finding's names is among them, 0 if none, NaN for None.

    Args:
        rows: Names that each row lists; None if its labels are unknown.
        mapping: Finding -> names of the data set that mean it.

    Example:
        >>> listed([{"nodule"}, {"normal"}, None], {"Lung Lesion": ("nodule", "mass")})["Lung Lesion"].tolist()
        [1.0, 0.0, nan]
    """
    wanted = {finding: frozenset(names) for finding, names in mapping.items()}
    return {
        finding: np.array([np.nan if row is None else float(not names.isdisjoint(row)) for row in rows], np.float32)
        for finding, names in wanted.items()
    }


def first_rows(keys: Sequence[str]) -> dict[str, int]:
    """Key -> its first row, in order.

    >>> first_rows(["a", "b", "a"])
    {'a': 0, 'b': 1}
    """
    found: dict[str, int] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, row)
    return found
