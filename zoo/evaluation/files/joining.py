"""Joins the rows of two files by identifier, even if only one of the files includes a folder or an extension."""

from __future__ import annotations

import numpy as np

from zoo.core.errors import TableError
from zoo.core.joining import Join, join


def match_ids(ids: np.ndarray, others: np.ndarray, name: str, other_name: str) -> Join:
    """Joins the distinct identifiers of two files by the rules of `zoo.core.joining.join`.

    Args:
        ids: (n,) str identifiers of the first file.
        others: (m,) str identifiers of the second file.
        name: Name of the first file, for the notes.
        other_name: Name of the second file, for the notes.

    Returns:
        The row in the second file for each of `ids`; notes report disregarded differences and rows without a partner.

    Raises:
        TableError: No identifier is in both files, or one identifier matches two in the other file.

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
    """Returns a hint if identifiers lost leading zeros or gained decimals because a program read them as numbers."""
    bare = {str(text).lstrip("0") for text in others}
    lost = next((str(text) for text in ids if str(text).lstrip("0") in bare), None)
    if lost is not None:
        return f" (leading zeros were lost in one of the files: {lost!r}; write them as text)"
    return _with_decimals(ids, others) or _with_decimals(others, ids)


def _with_decimals(ids: np.ndarray, others: np.ndarray) -> str:
    whole = {str(text).lstrip("0") or "0" for text in others}
    found = next((str(t) for t in ids if str(t).endswith(".0") and (str(t)[:-2].lstrip("0") or "0") in whole), None)
    return "" if found is None else f" ({found!r} was written as a decimal number; write identifiers as text)"
