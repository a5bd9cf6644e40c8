"""Joins the rows of two files by their identifiers, which one file may write with a folder or an extension."""

from __future__ import annotations

import numpy as np

from zoo.core.errors import TableError
from zoo.core.joining import Join, join


def match_ids(ids: np.ndarray, others: np.ndarray, name: str, other_name: str) -> Join:
    """Joins the identifiers of two files, each once in its file, as `zoo.core.joining.join` says.

    Args:
        ids: (n,) str.
        others: (m,) str.
        name: Of the file of `ids`, for the notes.
        other_name: Of the other file.

    Returns:
        For each of `ids` its row in the other file; notes say what was disregarded and what has no partner.

    Raises:
        TableError: No identifier is in both files, or one means two of the other file.

    Example:
        >>> match_ids(np.array(["1", "2"]), np.array(["a/2.png", "a/1.png"]), "model.csv", "labels.csv").rows.tolist()
        [1, 0]
    """
    found = join(ids.tolist(), others.tolist(), source=f"{name} and {other_name}")
    if (found.rows < 0).all():
        raise TableError(
            f"{name} and {other_name} have no row in common: {str(ids[0])!r} against {str(others[0])!r}"
            f"{_without_zeros(ids, others)}: are they of one data set? Another column of identifiers is named with "
            "--id COLUMN (id_column=...)"
        )
    lost, unused = ids[found.rows < 0], others[found.unused(len(others))]
    notes = list(found.notes)
    for missing, of, where, other in ((lost, ids, name, other_name), (unused, others, other_name, name)):
        if len(missing):
            some = f"{len(missing):,} of {len(of):,}, first {str(missing[0])!r}"
            notes.append(f"{where}: rows that are not in {other}, left out: {some}")
    return Join(found.rows, tuple(notes))


def _without_zeros(ids: np.ndarray, others: np.ndarray) -> str:
    """A hint for identifiers that some program took for numbers."""
    bare = {str(text).lstrip("0") for text in others}
    lost = next((str(text) for text in ids if str(text).lstrip("0") in bare), None)
    if lost is not None:
        return f" (leading zeros were lost in one of the files: {lost!r}; write them as text)"
    return _with_decimals(ids, others) or _with_decimals(others, ids)


def _with_decimals(ids: np.ndarray, others: np.ndarray) -> str:
    whole = {str(text).lstrip("0") or "0" for text in others}
    found = next((str(t) for t in ids if str(t).endswith(".0") and (str(t)[:-2].lstrip("0") or "0") in whole), None)
    return "" if found is None else f" ({found!r} was written as a decimal number; write identifiers as text)"
