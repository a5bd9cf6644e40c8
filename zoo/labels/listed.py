"""Labels written as a list of names in one field, such as NIH's "Effusion|Mass": the one reader of them."""

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

#: NIH's own names, as "Finding Labels" holds them. "No Finding" means none of the other 14.
NIH_LABELS = tuple(sorted((*NIH_FINDINGS, "No Finding")))

#: "nih": any other name is a typing error, which would count as a negative. "any": one's own names. "auto": NIH's
#: where one of them is there.
Vocabulary: TypeAlias = Literal["nih", "any", "auto"]


@dataclass(frozen=True, eq=False)
class ListedLabels:
    """A column of lists.

    Attributes:
        texts: (n,) the field of each row.
        sets: Text of a field -> the names in it as they are compared; empty where the row's labels are unknown.
        names: The names that the data set labels, as they are compared.
        compared: Name -> the form in which it is compared.
    """

    texts: tuple[str, ...]
    sets: Mapping[str, frozenset[str]]
    names: frozenset[str]
    compared: Callable[[str], str]

    def labels(self, own: Collection[str]) -> np.ndarray | None:
        """(n,) float64: 1 where one of `own` is listed, 0 where none is, NaN where the row is unknown.

        None where the data set labels none of `own`.
        """
        wanted = frozenset(map(self.compared, own)) & self.names
        if not wanted:
            return None
        answer = {text: float(not wanted.isdisjoint(of)) if of else np.nan for text, of in self.sets.items()}
        return np.array([answer[text] for text in self.texts])


def read_listed(table: CsvColumns, vocabulary: Vocabulary = "auto", *, exact: bool = False) -> ListedLabels:
    """Reads the column `Finding Labels`, whose fields are split at "|" and never searched for substrings.

    A blank field, or "nan", is no label at all: the row is unknown in every finding.

    Args:
        table: The file, which must have the column.
        vocabulary: Which names may be there.
        exact: Whether NIH's spelling counts; otherwise case, spaces and signs do not.

    Raises:
        TableError: No such column, a name that is not NIH's, or "No Finding" beside another; names line and column.
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
    # A data set that uses NIH's names labels all of them, also those that none of these rows has.
    return ListedLabels(texts, sets, frozenset(seen | nih if is_nih else seen), compared)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a field, () where its labels are unknown.

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
