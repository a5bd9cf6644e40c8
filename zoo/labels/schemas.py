"""Finds the column of each finding in a file, by name and never by position."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zoo.core.csv import MISSING, CsvColumns, same_name, shortened
from zoo.core.errors import TableError, UnknownNameError, UsageError, closest
from zoo.labels.columns import is_fact
from zoo.labels.findings import FINDINGS, NIH, NIH_FINDINGS, LabelSchema

#: "auto", "chexpert", "nih", a schema, or a list of findings, all of which a file must then have.
Schema: TypeAlias = str | LabelSchema | Sequence[str]

#: NIH's own findings, not mapped to CheXpert's.
NIH_14 = LabelSchema("nih-14", NIH_FINDINGS, aliases={"Pleural Effusion": "Effusion"})

#: Any findings: the columns that predictions and labels share. Names of two data sets for one finding are equivalent.
AUTO = LabelSchema("auto", tuple(dict.fromkeys((*FINDINGS, *NIH_14.findings))), aliases=NIH.aliases)

SCHEMAS: Mapping[str, LabelSchema] = {
    "auto": AUTO,
    "chexpert": LabelSchema("chexpert-14", aliases=NIH.aliases),
    "nih": NIH_14,
}

#: Prefixes of finding names, as in "prob_Edema" (compared without punctuation).
_LOGITS = {"logit", "logits"}
_PREDICTIONS = {"prob", "probs", "probability", "p", "pred", "prediction", "score", *_LOGITS}
_LABELS = {"label", "labels", "true", "truth", "groundtruth", "gt", "target", "y"}


@dataclass(frozen=True)
class Chosen:
    """The columns of a file that hold findings.

    Attributes:
        headers: Finding -> the file's header.
        prefix: Prefix of each finding's name, "" for none.
        notes: A sentence for each group of columns that was left out or renamed.
    """

    headers: Mapping[str, str]
    prefix: str = ""
    notes: tuple[str, ...] = ()

    @property
    def are_logits(self) -> bool:
        """Whether the prefix says that the columns hold logits."""
        return same_name(self.prefix) in _LOGITS


def find_schema(schema: Schema) -> LabelSchema:
    """Returns the schema with that name, the schema itself, or a new one for a list of findings.

    Raises:
        UnknownNameError: A name that is not in `SCHEMAS`.
        ValueError: The list of findings is empty, or has a name twice.

    Example:
        >>> find_schema(["Edema", "Mass"]).findings
        ('Edema', 'Mass')
    """
    if isinstance(schema, LabelSchema):
        return schema
    if isinstance(schema, str):
        if schema not in SCHEMAS:
            raise UnknownNameError("schema", schema, SCHEMAS, "Or give a list of findings.")
        return SCHEMAS[schema]
    findings = tuple(schema)
    if not findings or len({same_name(finding) for finding in findings}) != len(findings):
        raise UsageError(f"schema must be one or more different findings, got {findings}")
    return LabelSchema("own", findings)


def names_of(finding: str, schema: LabelSchema) -> tuple[str, ...]:
    """Returns the names of a finding in the data sets that the schema knows, its own name first.

    Example:
        >>> names_of("Effusion", find_schema("nih"))
        ('Effusion', 'Pleural Effusion')
    """
    own = [alias for alias, of in schema.aliases.items() if of == finding]
    theirs = [of for alias, of in schema.aliases.items() if same_name(alias) == same_name(finding)]
    return (finding, *own, *theirs)


def prediction_columns(
    table: CsvColumns,
    schema: Schema = "auto",
    prefix: str | None = None,
    among: Collection[str] = (),
    *,
    whole: bool = True,
) -> Chosen:
    """Finds the columns that hold predictions.

    Args:
        table: The file.
        schema: See `Schema`. With a named schema, those of its findings that the file has are taken. "auto" takes the
            columns with a common prefix, or those named as in CheXpert, NIH or `among`; otherwise all numeric columns.
        prefix: Prefix of each finding's name; detected if not given.
        among: Names that have labels.
        whole: Whether these are all rows; else columns with the name of a finding are taken without a value so far.

    Raises:
        TableError: No column is named like a finding, a finding of the given list has no column, or several prefixes
            are possible.
    """
    known = find_schema(schema)
    prefix = _prefix(table, known) if prefix is None else _given(table, prefix)
    headers = _headers(table, known, prefix, among)
    blank = [h for h in headers.values() if all(text.lower() in MISSING for text in table.columns[h])] if whole else []
    if blank and known.name != "own":
        headers = {finding: header for finding, header in headers.items() if header not in blank}
    where = f" behind {prefix!r}" if prefix else ""
    if known.name == "own":
        for finding in known.findings:
            if finding not in headers:
                table.required(prefix + finding, "columns are matched by name")
    if not headers and blank:
        raise TableError(f"{table.path}: no row has a prediction in {', '.join(map(repr, blank))}")
    if not headers:
        raise TableError(
            f"{table.path}: no column{where} is named like a finding of {known.name!r}; it has "
            f"{shortened(table.columns)}: give it the names of findings as columns "
            "(in Python, schema= takes findings of your own)"
        )
    notes: tuple[str, ...] = ()
    if prefix:
        notes += (f"{table.path.name}: columns were read without their prefix {prefix!r}",)
    if blank:
        notes += (without_prediction(table.path, blank),)
    return Chosen(headers, prefix, notes + _unused(table, known, headers))


def without_prediction(path: Path, columns: Sequence[str]) -> str:
    """Says which columns of a table are left out since no row has a value.

    >>> without_prediction(Path("a.csv"), ["Mass"])
    'a.csv: columns without a single prediction, left out: Mass'
    """
    return f"{path.name}: columns without a single prediction, left out: {', '.join(columns)}"


def without_label_prefix(header: str) -> str:
    """Removes a prefix such as "label_" and normalises the name for comparison.

    Example:
        >>> without_label_prefix("label_Pleural Effusion")
        'pleuraleffusion'
    """
    match = re.match(r"([^\W_]+)[\W_]+(.+)", header)
    return same_name(match[2] if match and same_name(match[1]) in _LABELS else header)


def _given(table: CsvColumns, prefix: str) -> str:
    if prefix and not any(header.lower().startswith(prefix.lower()) for header in table.columns):
        raise TableError(f"{table.path}: no column begins with {prefix!r}; it has {shortened(table.columns)}")
    return prefix


def _prefix(table: CsvColumns, known: LabelSchema) -> str:
    """The most common prefix of findings, not counting prefixes of labels and columns that hold labels."""
    headers, wanted = [header for header in table.columns if not is_fact(header)], _wanted(known)
    found = _grouped((_split(header, wanted), header) for header in headers)
    if not found and known.name == "auto":
        found = _grouped((_usual(header), header) for header in headers if table.is_numeric(header))
    usual = [prefix for prefix in found if same_name(prefix) in _PREDICTIONS]
    # The first word may belong to the name ("Left Effusion"); if several findings share it, it is a prefix.
    other = [p for p in found if p and p not in usual and same_name(p) not in _LABELS and len(found[p]) > 1]
    plain = [""] if "" in found and not ((usual or other) and _are_labels(table, found[""])) else []
    most = max((len(found[prefix]) for prefix in (*usual, *plain, *other)), default=0)
    best = next((b for group in (usual, plain, other) if (b := [p for p in group if len(found[p]) == most])), [""])
    if len(best) > 1:
        raise TableError(
            f"{table.path}: columns begin with {' and '.join(map(repr, best))}: choose one with --prefix TEXT "
            "(prefix=...)"
        )
    return found[best[0]][0][: len(best[0])] if best[0] else ""


def _grouped(pairs: Iterable[tuple[str | None, str]]) -> dict[str, list[str]]:
    """Prefix -> the headers with this prefix; headers whose prefix is None are left out."""
    found: dict[str, list[str]] = {}
    for prefix, header in pairs:
        if prefix is not None:
            found.setdefault(prefix.lower(), []).append(header)
    return found


def _split(header: str, wanted: Collection[str]) -> str | None:
    """The prefix of a finding's name, or None if the header does not end in a finding."""
    heads = ["", *_heads(header)]
    return next((head for head in heads if same_name(header[len(head) :]) in wanted), None)


def _usual(header: str) -> str:
    """The prefix of any name if it is a usual word for predictions or labels, else ""."""
    return next((head for head in _heads(header) if same_name(head) in _PREDICTIONS | _LABELS), "")


def _heads(header: str) -> list[str]:
    """The beginnings of the header up to each separator in it."""
    return [header[: match.end()] for match in re.finditer(r"[\W_]+", header)]


def _headers(table: CsvColumns, known: LabelSchema, prefix: str, among: Collection[str]) -> dict[str, str]:
    wanted = _wanted(known)
    headers: dict[str, str] = {}
    others: dict[str, str] = {}
    for header in table.columns:
        if is_fact(header) or not header.lower().startswith(prefix.lower()):
            continue
        name = header[len(prefix) :]
        finding = wanted.get(same_name(name))
        # A column with the finding's own name takes precedence over one with an alias.
        if finding is not None and (finding not in headers or same_name(finding) == same_name(name)):
            headers[finding] = header
        # With "auto" any numeric column may hold predictions, but not "label_Edema".
        elif (
            known.name == "auto"
            and name
            and table.is_numeric(header)
            and same_name(header) == without_label_prefix(header)
        ):
            others[name] = header
    if headers and not prefix:
        others = {name: header for name, header in others.items() if same_name(name) in among}
    order = list(table.columns) if known.name == "auto" else list(known.findings)
    found = (headers | others).items()
    return dict(sorted(found, key=lambda item: order.index(item[known.name == "auto"])))


def _wanted(known: LabelSchema) -> dict[str, str]:
    """Normalised name -> finding. With "auto" a finding keeps the name that its data set uses."""
    aliases = {} if known.name == "auto" else {same_name(alias): of for alias, of in known.aliases.items()}
    return aliases | {same_name(finding): finding for finding in known.findings}


def _are_labels(table: CsvColumns, headers: Iterable[str]) -> bool:
    """Whether columns hold only labels or text."""
    texts = {text.lower() for header in headers if table.is_numeric(header) for text in table.columns[header]}
    return {text.removesuffix(".0") for text in texts - MISSING} <= {"-1", "0", "1"}


def _unused(table: CsvColumns, known: LabelSchema, headers: Mapping[str, str]) -> tuple[str, ...]:
    """A note on findings without a column, with the closest unused column of the first."""
    rest = [header for header in table.columns if header not in headers.values() and not is_fact(header)]
    absent = [finding for finding in known.findings if finding not in headers] if known.name != "auto" else []
    if not absent:
        return ()
    near = next((f"; is {c[0]!r} meant for {f!r}?" for f in absent if (c := closest(f, rest, n=1))), "")
    return (f"{table.path.name}: no column for {', '.join(absent)}{near}",)
