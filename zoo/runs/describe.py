"""`zoo data`: reads a table and its images without training, and says what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from zoo.core.counting import counted
from zoo.core.progress import Progress, tell_warnings
from zoo.data import duplicates, summary
from zoo.data.splits import SplitSpec
from zoo.data.summary import DataSummary
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.leakage import duplicate_images

#: Rows of a kind that the text shows.
_SHOWN = 10


def describe(
    data: Path,
    progress: Progress,
    *,
    dataset: str | None = None,
    columns: TableSpec | None = None,
    split: SplitSpec | None = None,
    read_images: bool = True,
) -> DataSummary:
    """Reads a table, decodes and hashes its images, and makes the split that training would make; writes nothing.

    Args:
        data: Folder of images and table, or the table.
        progress: Receives what was understood, and the progress after each image.
        dataset: Format of the table; by default the names of the files tell it.
        columns: Names of the columns, for a table of one's own.
        split: How to split; by patient by default.
        read_images: Whether to read the images, which finds unreadable ones and copies. It takes some 10 ms each.

    Raises:
        TableError: The table cannot be read, or none of its images exists or can be read.
        FileNotFoundError: `data` does not exist.
    """
    reading.home_of(data)
    dataset = reading.dataset_of(data, dataset, columns=columns)
    understood: list[str] = []

    def say(text: str) -> None:
        understood.append(text)
        progress.message(text)

    with tell_warnings(progress) as notes:
        table = reading.read_table(dataset, data, uncertain="keep", columns=columns, say=say)
    rows = len(table)
    table, missing = reading.drop_missing(table)
    skipped = [missing]
    copies: tuple[summary.Copies, ...] = ()
    if read_images:
        paths = list(table["Image_path"])
        with progress.task(f"reading {counted(len(paths), 'image')}", len(paths)) as advance:
            prints = duplicates.fingerprints(paths, on_file=advance)
        table, unreadable = reading.drop_unreadable(table, prints.unreadable)
        skipped.append(unreadable)
        kept = {path: prints.hashes[path] for path in table["Image_path"]}
        copies = summary.find_copies(table, duplicate_images(kept, kept).within)
    spec = split or SplitSpec()
    parts, leaked, split_notes = summary.would_be_split(table, spec)
    return DataSummary(
        data=str(data), dataset=dataset, rows=rows, usable=len(table), images_read=read_images,
        left_out=summary.left_out(pd.concat(skipped, ignore_index=True)),
        patients=int(table["Patient_ID"].nunique()), without_patient=int(table["Patient_ID"].isna().sum()),
        findings=summary.count_findings(table), facts=summary.count_facts(table), copies=copies,
        split=parts, split_by=spec.by, leaked_patients=leaked, split_notes=split_notes,
        understood=tuple(understood), notes=tuple(notes),
    )  # fmt: skip


def as_text(found: DataSummary) -> str:
    """The summary as Markdown, for a terminal."""
    patients = counted(found.patients, "patient") if found.patients else "no patients"
    if found.without_patient and found.patients:
        patients += f" ({counted(found.without_patient, 'image names', 'images name')} none)"
    state = "can be read" if found.images_read else "exist (not read)"
    lines = [
        f"{found.data} ({found.dataset}): {found.usable:,} of {counted(found.rows, 'image')} {state}; {patients}",
        "",
    ]
    head = ["finding", "positive", "negative", "uncertain", "unknown", *["positive patients"] * bool(found.patients)]
    head += [f"{part.part} +" for part in found.split]
    body = []
    for i, f in enumerate(found.findings):
        own = [f.finding, f.positive, f.negative, f.uncertain, f.unknown, *[f.positive_patients] * bool(found.patients)]
        body.append([*own, *(part.positives[i] for part in found.split)])
    lines += _table(head, body)
    if found.split:
        sizes = ", ".join(
            f"{part.part} {counted(part.images, 'image')} of {_patients(part.patients)}" for part in found.split
        )
        lines += ["", f"The split by {found.split_by} would be: {sizes}"]
        lines += [f"  {note}" for note in found.split_notes]
    gaps = [f"{fact.fact} {fact.missing:,}" for fact in found.facts if fact.missing]
    lines += ["", f"Rows without a fact: {', '.join(gaps)}"] if gaps else []
    if found.left_out:
        lines += ["", f"{counted(len(found.left_out), 'image')} cannot be used:"]
        lines += _few([f"  {left.image}: {left.reason}" for left in found.left_out])
    if found.copies:
        lines += ["", f"{counted(len(found.copies), 'group')} of images with the same content:"]
        lines += _few([f"  {', '.join(copies.images[:4])} ({_patients(copies.patients)})" for copies in found.copies])
    told = summary.warnings_of(found)
    return "\n".join([*lines, *(["", "Before training:"] if told else []), *(f"  {text}" for text in told)])


def _patients(count: int | None) -> str:
    return counted(count, "patient") if count else "unknown patients"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    cells = [list(head), *([f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows)]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"| {row[0].ljust(first)} | {' | '.join(t.rjust(w) for t, w in zip(row[1:], others, strict=True))} |"
        for row in cells
    ]
    rule = f"| {'-' * first} | {' | '.join('-' * (width - 1) + ':' for width in others)} |"
    return [lines[0], rule, *lines[1:]]


def _few(lines: Sequence[str]) -> list[str]:
    return [*lines[:_SHOWN], *([f"  and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else [])]
