"""Reads the labels of a plain table: a column for each finding, or one column that lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns, same_name
from zoo.core.errors import TableError, closest
from zoo.data.tables.plain_columns import PlainColumns, check_labels, finding_of, separator_of, shown, split_list
from zoo.labels import facts
from zoo.labels.findings import FINDINGS
from zoo.labels.schemas import AUTO, names_of

#: Findings that a message counts one by one.
_SHOWN = 20


def read_plain_labels(
    table: CsvColumns, columns: PlainColumns, findings: Sequence[str] = (), wanted: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Reads labels as 1, 0, -1 (uncertain) and NaN (unknown).

    Args:
        table: The table.
        columns: Its columns.
        findings: Findings that the user named, for a list; () for all names that occur.
        wanted: Findings of a model; those that the table does not have are NaN. None takes all of the table.

    Returns:
        Finding -> float32 (n,), and sentences on how the texts were read.

    Raises:
        TableError: A label is not understood, a listed row contradicts itself, or a named finding does not occur.
    """
    if columns.listed:
        labels, how = _listed(table, columns.listed, findings, wanted)
    else:
        for header in columns.findings.values():
            check_labels(table, header)
        labels = {finding: _column(table, header) for finding, header in columns.findings.items()}
        how = _how(table, columns.findings.values())
    if wanted is None:
        order = FINDINGS if set(FINDINGS) == set(labels) else tuple(labels)
        return {finding: labels[finding] for finding in order}, how
    absent = [finding for finding in wanted if finding not in labels]
    how += (f"no labels of {', '.join(absent)}: unknown in every row",) if absent else ()
    return {f: labels.get(f, np.full(len(table), np.nan, np.float32)) for f in wanted}, how


def counted_labels(labels: Mapping[str, np.ndarray]) -> str:
    """Counts the labels of each finding.

    >>> counted_labels({"Edema": np.array([1, 0, 0, np.nan])})
    'Edema (1 positive, 2 negative, 1 unknown)'
    """
    parts = []
    for finding, values in list(labels.items())[:_SHOWN]:
        kinds = {
            "positive": values == 1,
            "negative": values == 0,
            "uncertain": values == -1,
            "unknown": np.isnan(values),
        }
        parts.append(
            f"{finding} ({', '.join(f'{n:,} {kind}' for kind, rows in kinds.items() if (n := int(rows.sum())))})"
        )
    return ", ".join(parts) + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")


def _column(table: CsvColumns, header: str) -> np.ndarray:
    texts = table.columns[header]
    meaning = {text: facts.label(text) for text in set(texts)}
    return np.array([meaning[text] for text in texts], np.float32)


def _how(table: CsvColumns, headers: Iterable[str]) -> tuple[str, ...]:
    """Which texts were read as which label, over all columns of findings."""
    counts = Counter(text for header in headers for text in table.columns[header])
    read: dict[str, dict[str, int]] = {}
    for text, n in counts.items():
        value = facts.label(text)
        kind = {1.0: "positive", 0.0: "negative", -1.0: "uncertain"}.get(value if value is not None else 2.0, "unknown")
        read.setdefault(kind, {})[text] = n
    order = [kind for kind in ("positive", "negative", "uncertain", "unknown") if kind in read]
    return ("labels: " + "; ".join(f"{kind} is {shown(read[kind])}" for kind in order),)


def _listed(
    table: CsvColumns, header: str, findings: Sequence[str], wanted: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    separator, texts = separator_of(table, header), table.columns[header]
    lists = {text: split_list(text, separator) for text in dict.fromkeys(texts)}
    # Names that differ in case, spaces and signs are one finding, spelled as most often.
    spelled: dict[str, Counter[str]] = {}
    for text in texts:
        for name in lists[text]:
            spelled.setdefault(same_name(name), Counter())[name] += 1
    names = {key: finding_of(of.most_common(1)[0][0]) for key, of in spelled.items()}
    _check_lists(table, header, lists)
    asked = {finding: _keys(finding, names, wanted is not None) for finding in (wanted or findings or ())}
    if asked:
        own = {finding: keys for finding, keys in asked.items() if keys}
        _check_asked(table, header, [f for f in asked if f not in own] if wanted is None or not own else [], names)
    else:
        own = {finding: {key} for key, finding in names.items()}
    keys = {text: frozenset(map(same_name, of)) for text, of in lists.items()}
    labels = {f: np.array([_value(keys[t], among) for t in texts], np.float32) for f, among in own.items()}
    blank = sum(not lists[text] for text in texts)
    how = f"labels: listed in column {header!r}" + (f", separated by {separator!r}" if _used(texts, separator) else "")
    left = [name for key, name in names.items() if not any(key in among for among in own.values())]
    blanks = counted(blank, "row lists nothing and is", "rows list nothing and are")
    notes = [f"{how}; a finding that a row does not list is negative; {blanks} unknown"]
    notes += [f"names that are listed and not used: {', '.join(left[:_SHOWN])}"] if left else []
    others = [other for other in "|;," if other != separator and _used(texts, other)]
    notes += [f"{' and '.join(map(repr, others))} in column {header!r} are read as part of the names"] if others else []
    merged = [of for of in spelled.values() if len(of) > 1]
    notes += [f"read as one name: {', '.join(map(repr, of))}" for of in merged[:5]]
    return labels, tuple(notes)


def _used(texts: Sequence[str], separator: str) -> bool:
    return any(separator in text for text in texts)


def _value(listed: frozenset[str], among: set[str]) -> float:
    return float(not among.isdisjoint(listed)) if listed else np.nan


def _keys(finding: str, names: Mapping[str, str], also_aliases: bool) -> set[str]:
    own = names_of(finding, AUTO) if also_aliases else (finding,)
    return {same_name(name) for name in own} & set(names)


def _check_asked(table: CsvColumns, header: str, absent: Sequence[str], names: Mapping[str, str]) -> None:
    if absent:
        near = closest(absent[0], names.values(), n=1)
        there = f"the closest is {near[0]!r}" if near else f"it lists {', '.join(list(names.values())[:_SHOWN])}"
        raise TableError(f"{table.path}: no row lists {absent[0]!r} in column {header!r}; {there}")


def _check_lists(table: CsvColumns, header: str, lists: Mapping[str, Sequence[str]]) -> None:
    for row, text in enumerate(table.columns[header]):
        keys = {same_name(name) for name in lists[text]}
        if same_name("No Finding") in keys and len(keys) > 1:
            raise table.error(row, header, f"'No Finding' beside other findings: {text[:80]!r}")
