"""Writes the page of `zoo audit`: pictures of images whose label looks wrong, and of nearly equal images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.core.files import write_text
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.report import drawing
from zoo.report.html import environment
from zoo.report.layout import Section, Table
from zoo.report.mistakes import data_uri

#: Pictures of a section on the page, and the longest side of each in pixels; the tables list all.
SHOWN, _SIDE = 60, 224


@dataclass(frozen=True)
class FindingErrors:
    """What was found about the labels of one finding; `absent` is the reason why nothing could be estimated, or ""."""

    finding: str
    known: int
    listed: int
    absent: str = ""


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong; `rank` counts from 1 over all findings, the most suspicious first."""

    image: str
    patient: str
    finding: str
    label: int
    probability: float
    rank: int
    reason: str


@dataclass(frozen=True)
class NearCopy:
    """Two nearly equal images; `kind` is "leak" (two patients), "same patient" or "patient unknown"."""

    image: str
    patient: str
    other_image: str
    other_patient: str
    distance: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        data: The table or its folder.
        images: Number of images that were compared.
        findings: A row for each finding whose labels were judged; () without predictions.
        suspects: Labels that look wrong, by rank.
        copies: Nearly equal images, leaks first.
        notes: What was assumed or left out, a sentence each.
    """

    data: str
    images: int
    findings: tuple[FindingErrors, ...]
    suspects: tuple[Suspect, ...]
    copies: tuple[NearCopy, ...]
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> int:
        """Number of pairs of two patients."""
        return sum(copy.kind == "leak" for copy in self.copies)


@dataclass(frozen=True)
class Shown:
    """One or two images, by name and as the source of an `<img>`, with a title and the reason why they are shown."""

    title: str
    images: tuple[tuple[str, str], ...]
    reason: str


def write_audit_page(found: Audited, read: Callable[[str], np.ndarray], path: str | Path) -> Path:
    """Writes the page, which needs no network and no other file; at most 60 pictures, or pairs, of a section.

    Args:
        found: The result.
        read: Reads an image, by its name, as uint8 (h, w).
        path: The page.
    """

    def shown(title: str, names: Sequence[str], reason: str) -> Shown:
        return Shown(title, tuple((name, data_uri(read(name), _SIDE)) for name in names), reason)

    said = ("labelled negative", "labelled positive")
    suspects = [shown(f"{s.rank}. {s.finding}: {said[s.label]}", (s.image,), s.reason) for s in found.suspects[:SHOWN]]
    copies = [shown(c.kind.capitalize(), (c.image, c.other_image), c.reason) for c in found.copies[:SHOWN]]
    facts = (
        ("Images compared", f"{found.images:,}"),
        ("Labels that look wrong", f"{len(found.suspects):,}" if found.findings else "not judged"),
        ("Nearly equal pairs", f"{len(found.copies):,}"),
        ("Of these, leaks", f"{found.leaks:,}"),
    )
    text = (
        environment()
        .get_template("audit.html.jinja")
        .render(
            title=Path(found.data).name or found.data,
            facts=facts,
            sections=[_labels(found), _copies(found), Section("reading", "How it was read", notes=found.notes)],
            pictures={"labels": suspects, "copies": copies, "reading": []},
            research_only=RESEARCH_ONLY,
            light=drawing.LIGHT,
            dark=drawing.DARK,
        )
    )
    write_text(Path(path), text.strip() + "\n")
    return Path(path)


def _labels(found: Audited) -> Section:
    if not found.findings:
        return Section("labels", "Labels that look wrong", absent="No predictions were given, so no label was judged.")
    rows = tuple((f.finding, f.known, f.listed) for f in found.findings if not f.absent)
    words = (
        "Confident learning (Northcutt, Jiang and Chuang 2021) on the predictions. The number is an upper estimate: an "
        "image that is hard for the model looks wrong too. A reader must decide; no label was changed.",
        f"The first {min(SHOWN, len(found.suspects))} of {len(found.suspects):,}; label_errors.csv lists all.",
    )
    not_judged = tuple(f"{f.finding} was not judged: {f.absent}" for f in found.findings if f.absent)
    table = Table("Labels by finding", ("Finding", "Known labels", "Look wrong"), rows)
    return Section("labels", "Labels that look wrong", words, not_judged, tables=(table,) if rows else ())


def _copies(found: Audited) -> Section:
    title = "Nearly equal images"
    if not found.copies:
        return Section("copies", title, absent="No two images are nearly equal.")
    words = (
        "Pairs by perceptual hash. A leak is a pair of two patients: a split by patient may put one of them into "
        "training and the other into the test. Copies that were cropped or turned are not found.",
        f"The first {min(SHOWN, len(found.copies))} of {len(found.copies):,}; near_duplicates.csv lists all.",
    )
    return Section("copies", title, words)
