"""Writes the page of `zoo data`: what a table and its images hold, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from zoo.core.counting import counted
from zoo.core.files import write_text
from zoo.data.summary import DataSummary, warnings_of
from zoo.report import drawing
from zoo.report.html import environment
from zoo.report.layout import Cell, Section, Table

#: Rows of a long table on the page; the JSON has all.
_ROWS = 500


def write_data_page(found: DataSummary, path: str | Path) -> Path:
    """Writes the page, which needs no network and no other file.

    Args:
        found: The summary.
        path: The page.
    """
    by = f"{found.patients:,}" + (
        f" ({counted(found.without_patient, 'image names', 'images name')} none)" if found.without_patient else ""
    )
    facts = (
        ("Format", found.dataset),
        ("Images that can be used", f"{found.usable:,} of {found.rows:,}"),
        ("Patients", by if found.patients else "unknown"),
        ("Findings", f"{len(found.findings):,}"),
    )
    page = environment().get_template("data.html.jinja")
    text = page.render(
        title=Path(found.data).name or found.data,
        facts=facts,
        sections=_sections(found),
        light=drawing.LIGHT,
        dark=drawing.DARK,
    )
    write_text(Path(path), text.strip() + "\n")
    return Path(path)


def _sections(found: DataSummary) -> list[Section]:
    return [
        _attention(found),
        _findings(found),
        _split(found),
        _facts(found),
        _left_out(found),
        _copies(found),
        Section("reading", "How the table was read", notes=(*found.understood, *found.notes)),
    ]


def _attention(found: DataSummary) -> Section:
    told = warnings_of(found)
    return Section("attention", "Before training", notes=told, absent="" if told else "Nothing stands in the way.")


def _findings(found: DataSummary) -> Section:
    head: tuple[str, ...] = ("Finding", "Positive", "Negative", "Uncertain", "Unknown")
    rows: list[tuple[Cell, ...]] = [(f.finding, f.positive, f.negative, f.uncertain, f.unknown) for f in found.findings]
    if found.patients:
        head = (*head, "Patients with a positive")
        rows = [(*row, f.positive_patients) for row, f in zip(rows, found.findings, strict=True)]
    return Section("findings", "Findings", tables=(Table("Labels of the images that can be used", head, tuple(rows)),))


def _split(found: DataSummary) -> Section:
    if not found.split:
        return Section("split", "Split", absent=" ".join(found.split_notes))
    names = [part.part for part in found.split]
    head = ("Finding", *(f"{part}, {kind}" for part in names for kind in ("positive", "negative")))
    sizes = tuple(
        (part.part, part.images, "unknown" if part.patients is None else part.patients) for part in found.split
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (f.finding, *(n for part in found.split for n in (part.positives[i], part.negatives[i])))
        for i, f in enumerate(found.findings)
    )
    leaked = (
        f" {counted(found.leaked_patients, 'patient has', 'patients have')} images in several parts."
        if found.leaked_patients
        else ""
    )
    return Section(
        "split",
        "Split",
        words=(f"The split by {found.split_by} that training would make with its defaults.{leaked}",),
        notes=found.split_notes,
        tables=(Table("Parts", ("Part", "Images", "Patients"), sizes), Table("Labels of each part", head, rows)),
    )


def _facts(found: DataSummary) -> Section:
    head = ("Fact", "Known", "Missing", "Values")
    rows = tuple(
        (fact.fact, fact.known, fact.missing, fact.range or ", ".join(f"{v} ({n:,})" for v, n in fact.values))
        for fact in found.facts
    )
    return Section("facts", "Patients, views and other facts", tables=(Table("Facts of the images", head, rows),))


def _left_out(found: DataSummary) -> Section:
    if not found.left_out:
        return Section("left-out", "Images left out", absent="Every image of the table can be used.")
    rows = tuple((left.image, left.reason) for left in found.left_out[:_ROWS])
    words = (f"{counted(len(found.left_out), 'image')} of the table cannot be used.",)
    return Section(
        "left-out", "Images left out", words, tables=(Table("Reasons", ("Image", "Reason"), rows, folded=True),)
    )


def _copies(found: DataSummary) -> Section:
    if not found.images_read:
        return Section("copies", "Equal images", absent="The images were not read, so copies were not looked for.")
    if not found.copies:
        return Section("copies", "Equal images", absent="No two images have the same pixels.")
    rows = tuple(
        (", ".join(c.images[:6]), len(c.images), c.patients or "unknown", "contradict" if c.labels_differ else "agree")
        for c in found.copies[:_ROWS]
    )
    head = ("Images", "Number", "Patients", "Labels")
    have = counted(len(found.copies), "group of images has", "groups of images have")
    words = (f"{have} the same file or the same pixels.",)
    return Section("copies", "Equal images", words, tables=(Table("Groups", head, rows, folded=True),))
