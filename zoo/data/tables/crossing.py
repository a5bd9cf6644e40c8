"""Reads a data set for the findings of a model, whatever findings the data set has itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.tables.canonical import COLUMNS
from zoo.data.tables.competition import Uncertain
from zoo.data.tables.datasets import DATASETS
from zoo.data.tables.reading import findings_of, labels_of, read_table
from zoo.data.tables.spec import TableSpec
from zoo.labels.crosswalk import cross
from zoo.labels.findings import NIH_FINDINGS, LabelSchema

_NIH = LabelSchema("nih-own", (*NIH_FINDINGS, "No Finding"))

#: Data set -> its own findings, where its schema maps them to the 14.
OWN: Mapping[str, LabelSchema] = {"nih": _NIH, "nih-debatable": _NIH}


def read_for(
    findings: Sequence[str],
    dataset: str,
    data: str | Path,
    *,
    uncertain: Uncertain = "nan",
    columns: TableSpec | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Reads a data set into a canonical table with exactly these findings.

    If the data set's schema has all of them, it is read by that schema. Otherwise its own findings are crossed to them
    (`zoo.labels.crosswalk`), the debatable pairs for "nih-debatable" only.

    Args:
        findings: The findings of a model.
        dataset: A name of `DATASETS`.
        data: Folder of images and table, or the table.
        uncertain: Replacement of the label -1, as in `read_table`.
        columns: Names of the columns, for "csv".
        say: Called with each sentence on what was understood.

    Returns:
        The table, and sentences on what is compared and what is left out.

    Raises:
        UnknownNameError: There is no such data set.
        TableError: The table or its images were not found, or the table is invalid.
    """
    known = DATASETS[dataset].schema if dataset in DATASETS else None
    crosses = known is not None and not set(findings) <= set(known.findings)
    schema = LabelSchema("model", tuple(findings)) if dataset == "csv" else OWN.get(dataset) if crosses else None
    table = read_table(dataset, data, uncertain=uncertain, schema=schema, columns=columns, say=say)
    facts = table[[column for column in COLUMNS if column in table]]
    if not crosses:
        labels = labels_of(table, findings, uncertain=True)
        blank = [finding for finding, values in zip(findings, labels.T, strict=True) if np.isnan(values).all()]
        notes: tuple[str, ...] = ()
        if blank:
            notes = (f"findings that the labels say nothing of, left out: {', '.join(blank)}",)
    else:
        own = findings_of(table)
        found = cross(labels_of(table, own, uncertain=True), own, findings, debatable=dataset.endswith("-debatable"))
        labels, notes = found.values, found.notes()
    return facts.join(pd.DataFrame(labels, columns=list(findings), index=facts.index)), notes
