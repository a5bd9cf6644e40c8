"""Reads labels that are written as a list of names in one field, such as NIH's "Effusion|Mass"."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from zoo.core.csv import CsvColumns, same_name
from zoo.core.errors import closest
from zoo.labels.columns import FINDING_LABELS
from zoo.labels.facts import is_unknown
from zoo.labels.findings import NIH_FINDINGS

#: NIH's label names in the column "Finding Labels". "No Finding" means none of the other 14.
NIH_LABELS = tuple(sorted((*NIH_FINDINGS, "No Finding")))

#: "nih": only NIH's names are allowed, so that a misspelled name does not count as a negative. "any": any names.
#: "auto": "nih" if one of NIH's names occurs, else "any".
Vocabulary: TypeAlias = Literal["nih", "any", "auto"]


@dataclass(frozen=True, eq=False)
class ListedLabels:
    """A column of label lists.

    Attributes:
        texts: The n fields of the column.
        sets: Field -> normalised names in it; empty if the row's labels are unknown.
        names: Normalised names of all labels of the data set.
        compared: Normalises a name for comparison.
    """

    texts: tuple[str, ...]
    sets: Mapping[str, frozenset[str]]
    names: frozenset[str]
    compared: Callable[[str], str]

    def labels(self, own: Collection[str]) -> np.ndarray | None:
        """Returns float64 (n,): 1 if one of `own` is listed, 0 if none is, NaN if the row's labels are unknown.

        Returns None if the data set labels none of `own`.
        """
        wanted = frozenset(map(self.compared, own)) & self.names
        if not wanted:
            return None
        answer = {text: float(not wanted.isdisjoint(of)) if of else np.nan for text, of in self.sets.items()}
        return np.array([answer[text] for text in self.texts])


def read_listed(table: CsvColumns, vocabulary: Vocabulary = "auto", *, exact: bool = False) -> ListedLabels:
    """Reads the column `Finding Labels`, whose fields are split at "|" and not searched for substrings.

    If a field is blank or "nan", all labels of its row are unknown.

    Args:
        table: The file, which must have the column.
        vocabulary: The names that are allowed.
        exact: Whether names must be spelled as by NIH; by default case, spaces and punctuation are ignored.

    Raises:
        TableError: No such column, a name that is not NIH's, or "No Finding" with another finding; the message gives
            line and column.
    """
    field = table.required(FINDING_LABELS)
    texts, compared = table.columns[field], str if exact else same_name
    lists = {text: split_names(text) for text in dict.fromkeys(texts)}
    nih = {compared(name) for name in NIH_LABELS}
    seen = {compared(name) for names in lists.values() for name in names}
    is_nih = vocabulary == "nih" or (vocabulary == "auto" and not nih.isdisjoint(seen))
    problems = {text: _problem(names, nih if is_nih else None, compared) for text, names in lists.items()}
    for row, text in enumerate(texts):
        if problems[text]:
            raise table.error(row, field, problems[text])
    sets = {text: frozenset(map(compared, names)) for text, names in lists.items()}
    # A data set that uses NIH's names labels all of them, even those that do not occur in these rows.
    return ListedLabels(texts, sets, frozenset(seen | nih if is_nih else seen), compared)


def split_names(text: str) -> tuple[str, ...]:
    """Splits a field into names; () if the labels are unknown.

    Example:
        >>> split_names("Effusion | Mass"), split_names("nan")
        (('Effusion', 'Mass'), ())
    """
    return () if is_unknown(text) else tuple(name.strip() for name in text.split("|"))


def _problem(names: Collection[str], allowed: Collection[str] | None, compared: Callable[[str], str]) -> str:
    strange = sorted(name for name in names if allowed is not None and compared(name) not in allowed)
    if strange:
        near = closest(strange[0], NIH_LABELS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"NIH's are {', '.join(NIH_LABELS)}"
        return f"unknown NIH label {strange[0]!r}; {hint}"
    others = sorted(name for name in names if compared(name) != compared("No Finding"))
    return f"'No Finding' beside {', '.join(others)}" if others and len(others) < len(names) else ""
