"""Finds out which column of a plain table is what: images, patients, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zoo.core.counting import listed
from zoo.core.csv import CsvColumns, same_name, shortened
from zoo.core.dialects import UNNAMED
from zoo.core.errors import TableError
from zoo.core.paths import IMAGE_EXTENSIONS
from zoo.data.tables.spec import ROLES, TableSpec
from zoo.labels import facts
from zoo.labels.columns import AGE, FINDING_LABELS, GROUPS, IMAGE_IDS, PATIENTS, SEX, SPLITS, is_fact
from zoo.labels.findings import FINDINGS
from zoo.labels.schemas import AUTO, names_of, without_label_prefix

#: Usual names of the columns of facts, by field of `TableSpec`.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "image": (*IMAGE_IDS, "Image filename", "Image file", "File path", "Image name", "Img", "Img path", "ID"),
    "patient": (*PATIENTS, "PID", "Subject", "Person ID", "MRN", "Case ID"),
    "study": ("Study", "Study ID", "Accession number", "Exam ID", "Study instance UID", "Follow-up #"),
    "sex": SEX,
    "age": AGE,
    "view": (*GROUPS["position"], *GROUPS["view"], "Projection"),
}
#: Usual names of a column that lists findings.
_LISTS = (
    *(FINDING_LABELS, "Labels", "Label", "Findings", "Finding", "Diagnosis", "Diagnoses", "Class", "Classes"),
    *("Class name", "Category", "Target", "Disease", "Diseases", "Pathology", "Pathologies"),
)
#: Columns of 0 and 1 that are no findings.
_NOT_FINDINGS = frozenset(
    map(
        same_name,
        (
            *(
                *SPLITS,
                "Fold",
                "K fold",
                "Train",
                "Valid",
                "Validation",
                "Val",
                "Test",
                "Is train",
                "Is valid",
                "Is test",
            ),
            *(
                "Height",
                "Width",
                "Rows",
                "Columns",
                "Row",
                "Weight",
                "BMI",
                "Portable",
                "Pediatric",
                "Frontal",
                "Lateral",
            ),
            *("Followup", "Visit", "Year", "Site", "Hospital", "Center", "Centre", "Series", "Frame", "Laterality"),
        ),
    )
)
_KNOWN = frozenset(same_name(name) for finding in AUTO.findings for name in names_of(finding, AUTO))

#: A list of more names than this is text; so is one whose names have on average more letters.
_MOST_NAMES, _LONGEST = 512, 40


@dataclass(frozen=True)
class PlainColumns:
    """What the columns of a table are.

    Attributes:
        facts: Field of `TableSpec` -> header.
        findings: Finding -> header of its column of labels.
        listed: Header of the column that lists findings, "" if there is none.
        ignored: Header -> the reason why it is not used.
    """

    facts: Mapping[str, str]
    findings: Mapping[str, str]
    listed: str = ""
    ignored: Mapping[str, str] = field(default_factory=dict)


def find_columns(table: CsvColumns, spec: TableSpec, wanted: Sequence[str] | None = None) -> PlainColumns:
    """Finds the columns of the facts and of the findings.

    A column is a finding if all its texts are labels (`zoo.labels.facts.label`), and no other fact has its name.
    Without such columns, the findings are those listed in a column such as "Finding Labels".

    Args:
        table: The table.
        spec: The columns that the user named.
        wanted: Findings that a model has: only these are looked for, also under the names of other data sets.

    Raises:
        TableError: A named column is not there, no column holds images or labels, or labels are not understood.

    Example:
        >>> from pathlib import Path
        >>> texts = {"file": ("a.png", "b.png"), "Edema": ("1", "no"), "Report": ("Normal.", "Oedema.")}
        >>> found = find_columns(CsvColumns(Path("t.csv"), (2, 3), texts), TableSpec())
        >>> dict(found.facts), dict(found.findings), dict(found.ignored)
        ({'image': 'file'}, {'Edema': 'Edema'}, {'Report': 'text'})
    """
    found = _facts(table, spec)
    rest = [header for header in table.columns if header not in found.values()]
    if spec.labels:
        listed = table.required(spec.labels)
        return PlainColumns(found, {}, listed, {header: "not named" for header in rest if header != listed})
    lists = [header for name in _LISTS if (header := table.header(name)) in rest and not _are_labels(table, header)]
    if spec.findings:
        columns = _named(table, spec.findings, [header for header in rest if header not in lists], bool(lists))
        if columns:
            used = set(columns.values())
            return PlainColumns(found, columns, "", {header: "not named" for header in rest if header not in used})
    columns, ignored = _judged(table, [header for header in rest if header not in lists], wanted)
    listed, why = ("", {}) if columns and not spec.findings else _list(table, lists)
    ignored |= why | {header: "lists findings, which have columns" for header in lists if header not in {listed, *why}}
    if not columns and not listed:
        raise _no_finding(table, ignored, wanted)
    return PlainColumns(found, {} if listed else columns, listed, ignored)


def check_labels(table: CsvColumns, header: str) -> None:
    """Raises a `TableError` that shows the values of a column of labels that are not understood."""
    strange = Counter(text for text in table.columns[header] if facts.label(text) is None)
    if strange:
        line = table.lines[next(i for i, text in enumerate(table.columns[header]) if text in strange)]
        raise TableError(
            f"{table.path}, column {header!r}: {strange.total():,} of {len(table):,} labels are not understood: "
            f"{shown(strange)}, first on line {line}; a label is 1, 0, -1 (uncertain), blank (unknown), or a word such "
            "as yes, no, true, false, positive, negative; if this column is no finding, name those that are "
            "(--findings A,B)"
        )


def shown(counts: Mapping[str, int], most: int = 5) -> str:
    """Lists texts with their counts, the most frequent first.

    >>> shown({"mild": 2, "severe": 10})
    "'severe' (10), 'mild' (2)"
    """
    often = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return listed([f"{text[:40]!r} ({n:,})" for text, n in often], most)


def _facts(table: CsvColumns, spec: TableSpec) -> dict[str, str]:
    found = {role: table.required(header, _HINT) for role, header in spec.given.items()}
    for role in ROLES:
        free = [header for name in _USUAL[role] if (header := table.header(name)) and header not in found.values()]
        if role not in found and free:
            found[role] = next(iter([h for h in free if _are_images(table, h)] if role == "image" else []), free[0])
    if "image" not in found:
        paths = [header for header in table.columns if header not in found.values() and _are_images(table, header)]
        if len(paths) != 1:
            there = (
                f"columns {shortened(paths)} all hold"
                if paths
                else f"it has {shortened(table.columns)}, and none holds"
            )
            raise TableError(f"{table.path}: no column is named like one of images; {there} file names: {_HINT}")
        found["image"] = paths[0]
    return found


_HINT = "name the column with --image-column, --patient-column and so on (in Python, TableSpec(image=...))"


def _are_images(table: CsvColumns, header: str) -> bool:
    texts = table.columns[header]
    return sum(text.lower().endswith(IMAGE_EXTENSIONS) for text in texts) > len(texts) / 2


def _are_labels(table: CsvColumns, header: str) -> bool:
    return all(facts.label(text) is not None for text in set(table.columns[header]))


def finding_of(header: str) -> str:
    """The name of a finding by the header of its column: one of the 14 in its own spelling, or as the header has it.

    >>> finding_of("label_pleural effusion"), finding_of("Rib_notching")
    ('Pleural Effusion', 'Rib_notching')
    """
    own = {same_name(finding): finding for finding in FINDINGS}
    return own.get(same_name(header)) or own.get(without_label_prefix(header)) or header


def _named(table: CsvColumns, findings: Sequence[str], headers: Sequence[str], may_be_listed: bool) -> dict[str, str]:
    """The columns of findings that the user named; {} if there is none and they may be in a list."""
    own = {same_name(header): header for header in headers}
    plain = {without_label_prefix(header): header for header in headers}
    columns = {f: header for f in findings if (header := own.get(same_name(f)) or plain.get(same_name(f)))}
    if not columns and may_be_listed:
        return {}
    for finding in findings:
        if finding not in columns:
            table.required(finding, "it was named as a finding")
            raise TableError(f"{table.path}: column {finding!r} was named as a finding and holds another fact")
    return {finding_of(finding): header for finding, header in columns.items()}


def _judged(
    table: CsvColumns, headers: Sequence[str], wanted: Sequence[str] | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Finding -> header, and header -> why it is no finding."""
    columns: dict[str, str] = {}
    ignored: dict[str, str] = {}
    names = None if wanted is None else {same_name(n): f for f in reversed(wanted) for n in reversed(names_of(f, AUTO))}
    for header in headers:
        why = _why_not(table, header)
        finding = finding_of(header)
        if names is not None and not why:
            finding = names.get(same_name(finding)) or names.get(without_label_prefix(header), "")
            why = "" if finding else "not a finding of the model"
        if not why and finding in columns:
            raise TableError(f"{table.path}: columns {columns[finding]!r} and {header!r} both mean {finding!r}")
        (ignored if why else columns)[header if why else finding] = why or header
    return columns, ignored


def _why_not(table: CsvColumns, header: str) -> str:
    """Why a column is no finding, "" if it is one."""
    if is_fact(header) or header.startswith(UNNAMED) or same_name(header) in _NOT_FINDINGS:
        return "describes the image" if not header.startswith(UNNAMED) else "has no name"
    meaning = {text: facts.label(text) for text in set(table.columns[header])}
    counts = Counter(table.columns[header])
    strange = {text: n for text, n in counts.items() if meaning[text] is None}
    labels = sum(n for text, n in counts.items() if meaning[text] is not None and not facts.is_unknown(text))
    if not strange:
        return "" if labels else "no label in any row"
    words = {text: n for text, n in strange.items() if not _is_number(text)}
    if without_label_prefix(header) in _KNOWN or 0 < sum(words.values()) <= labels:
        check_labels(table, header)
    return "text" if words else f"numbers other than 0, 1 and -1, such as {shown(strange, 1)}"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _list(table: CsvColumns, lists: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The first column that lists findings and is no free text, and why the columns before it do not."""
    ignored: dict[str, str] = {}
    for header in lists:
        names = {name for text in set(table.columns[header]) for name in split_list(text, separator_of(table, header))}
        if names and len(names) <= _MOST_NAMES and sum(map(len, names)) <= _LONGEST * len(names):
            return header, ignored
        ignored[header] = f"text ({len(names):,} different)" if names else "no label in any row"
    return "", ignored


def separator_of(table: CsvColumns, header: str) -> str:
    """What separates the names in a column of lists: the first of "|", ";" and "," that occurs."""
    texts = set(table.columns[header])
    return next((separator for separator in "|;," if any(separator in text for text in texts)), "|")


def split_list(text: str, separator: str) -> tuple[str, ...]:
    """Splits a list of names, also one in brackets and quotes; () if it says nothing.

    >>> split_list("Edema|Effusion", "|"), split_list("['Edema', 'Mass']", ","), split_list("n/a", "|")
    (('Edema', 'Effusion'), ('Edema', 'Mass'), ())
    """
    if facts.is_unknown(text):
        return ()
    inner = text.strip()
    inner = inner[1:-1] if inner[:1] + inner[-1:] in ("[]", "()", "{}") else inner
    names = (name.strip().strip("'\"").strip() for name in inner.split(separator))
    return tuple(dict.fromkeys(name for name in names if name))


def _no_finding(table: CsvColumns, ignored: Mapping[str, str], wanted: Sequence[str] | None) -> TableError:
    why = "; ".join(f"{header!r}: {reason}" for header, reason in list(ignored.items())[:8])
    what = "no finding" if wanted is None else f"none of the model's findings ({shortened(wanted, 14)})"
    return TableError(
        f"{table.path}: {what} was found; it has columns {shortened(table.columns, 20)}{why and f' ({why})'}: a "
        "finding is a column of 0, 1, -1 and blank (--findings A,B names some), or a name in a column of lists such as "
        "'Edema|Effusion' (--labels-column NAME)"
    )
