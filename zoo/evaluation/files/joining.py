"""Rows of two files that have one identifier, though one file may write it with a folder or an extension."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zoo.core.errors import TableError

_EXTENSION = re.compile(r"\.(?:png|jpe?g|bmp|tiff?|webp|dcm|dicom|npy|nii(?:\.gz)?)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Match:
    """Where the rows of one file stand in another.

    Attributes:
        rows: (n,) int64 position in the other file, -1 for a row that is not there.
        notes: What did not match, and what was stripped, one sentence each.
    """

    rows: np.ndarray
    notes: tuple[str, ...] = ()


def match_ids(ids: np.ndarray, others: np.ndarray, name: str, other_name: str) -> Match:
    """Matches identifiers, each once in its file: as they are, without extension, without folder, or without both.

    The form that matches the most rows counts, of equally good ones the first; a form in which two rows of a file
    become one is not used.

    Args:
        ids: (n,) str.
        others: (m,) str.
        name: Of the file of `ids`, for the notes.
        other_name: Of the other file.

    Raises:
        TableError: No identifier is in both, or only when shortened so far that two rows have one.
    """
    best, best_form, ambiguous = np.full(len(ids), -1), "", ""
    for form, short in _FORMS.items():
        own, theirs = ([short(str(text)) for text in texts] for texts in (ids, others))
        place = {text: i for i, text in enumerate(theirs)}
        rows = np.array([place.get(text, -1) for text in own], np.int64)
        if len(place) < len(theirs) or len(set(own)) < len(own):
            ambiguous = ambiguous or (f"; {form} they match, but several rows become one" if (rows >= 0).any() else "")
        elif np.sum(rows >= 0) > np.sum(best >= 0):
            best, best_form = rows, form
        if (best >= 0).all():
            break
    if (best < 0).all():
        raise TableError(
            f"{name} and {other_name} have no row in common: {str(ids[0])!r} against {str(others[0])!r}{ambiguous}: "
            "are they of one data set? Another column of identifiers is named with id_column= (--id)"
        )
    notes = _unmatched(ids, others, best, name, other_name)
    if best_form:
        example = f"{str(ids[best >= 0][0])!r} is {str(others[best[best >= 0][0]])!r}"
        notes = (f"{name} and {other_name}: rows were matched {best_form}: {example}", *notes)
    return Match(best, notes)


def _unmatched(ids: np.ndarray, others: np.ndarray, rows: np.ndarray, name: str, other_name: str) -> tuple[str, ...]:
    lost, unused = ids[rows < 0], np.delete(others, rows[rows >= 0])
    notes = []
    for missing, of, where in ((lost, ids, name), (unused, others, other_name)):
        if len(missing):
            other = other_name if where == name else name
            some = f"{len(missing):,} of {len(of):,}, first {str(missing[0])!r}"
            notes.append(f"{where}: rows that are not in {other}, left out: {some}")
    return tuple(notes)


def _stem(text: str) -> str:
    return _EXTENSION.sub("", text)


def _file_name(text: str) -> str:
    return re.split(r"[\\/]", text)[-1]


_FORMS: dict[str, Callable[[str], str]] = {
    "": lambda text: text,
    "without extension": _stem,
    "without folder": _file_name,
    "without folder and extension": lambda text: _stem(_file_name(text)),
}
