"""Writes the page of `zoo monitor`: which distances between two periods are further than chance allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.core.counting import counted, listed
from zoo.core.files import write_text
from zoo.evaluation.drift import Change, Drift
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.report import drawing
from zoo.report.html import environment
from zoo.report.layout import Cell, Section, Table, decimals

_MEANING = (
    "An alarm says that the new images are further from the reference than chance allows. It does not say why, nor "
    "that the model is worse: other patients, another device, another export or an error can cause it. No alarm does "
    "not say that nothing has changed: a change that is small for so few images is not found."
)
_HOW = (
    "KS: largest difference of the distribution functions of a finding's scores. PSI: population stability index, in "
    "tenths of both sides together. h: Cohen's h of two shares. MMD: maximum mean discrepancy of features. Limits hold "
    "for all distances together: images are divided at random {divisions:,} times, and the largest standardised "
    "distance of each division is what chance gives (maxT, Westfall and Young 1993)."
)


@dataclass(frozen=True)
class Row:
    """The distances of one finding, fact or member.

    Attributes:
        name: What it is called.
        share: Share of ones before and now, or None.
        first: Its KS, h or MMD.
        second: Its PSI, or None.
        calls: The h of its calls, or None.
        p: The smallest p value.
        alarm: Whether one of them is an alarm.
    """

    name: str
    share: tuple[float, float] | None
    first: Change
    second: Change | None
    calls: Change | None
    p: float
    alarm: bool


def verdict(found: Drift) -> str:
    """The result in one sentence."""
    rate = f"false alarms: {100 * found.alpha:g} %"
    if not found.alarms:
        return f"No alarm: no distance of {len(found.changes)} is beyond its limit ({rate})."
    names = list(dict.fromkeys(change.name for change in found.alarms))
    many = counted(len(found.alarms), "distance is", "distances are")
    return f"ALARM: {many} beyond the limit, of {len(found.changes)}: {listed(names, 3)} ({rate})."


def rows_of(found: Drift) -> list[Row]:
    """The distances, those of one finding in a row."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in found.changes:
        about = "scores" if change.about == "calls" else change.about
        groups.setdefault((about, change.name), []).append(change)
    return [_row(name, about, changes, found.alpha) for (about, name), changes in groups.items()]


def _row(name: str, about: str, changes: Sequence[Change], alpha: float) -> Row:
    by = {change.measure: change for change in changes}
    h = by.get("h")
    share = None if h is None or h.reference is None or h.new is None else (h.reference, h.new)
    p = min(change.p for change in changes)
    calls = h if about == "scores" else None
    return Row(name, share, changes[0], by.get("PSI"), calls, p, p <= alpha)


def write_drift_page(found: Drift, path: str | Path) -> Path:
    """Writes the page, which needs no network and no other file.

    Args:
        found: The result.
        path: The page.
    """
    sides = (found.reference, found.new)
    facts = (
        ("Result", "ALARM" if found.alarms else "No alarm"),
        *(
            (title, f"{s.compared:,} of {s.images:,} images")
            for title, s in zip(("Reference", "New"), sides, strict=True)
        ),
        ("False alarms", f"{100 * found.alpha:g} %"),
    )
    text = (
        environment()
        .get_template("drift.html.jinja")
        .render(
            title=f"{found.new.name} against {found.reference.name}",
            facts=facts,
            sections=_sections(found),
            research_only=RESEARCH_ONLY,
            light=drawing.LIGHT,
            dark=drawing.DARK,
        )
    )
    write_text(Path(path), text.strip() + "\n")
    return Path(path)


def _sections(found: Drift) -> list[Section]:
    tables = (
        _table("Scores of the findings", [c for c in found.changes if c.about == "scores"], "Median", found.alpha),
        _table("Calls of the findings", [c for c in found.changes if c.about == "calls"], "Share", found.alpha),
        _table("Quality of the images", [c for c in found.changes if c.about == "quality"], "Share", found.alpha),
        _table("Features", [c for c in found.changes if c.about == "features"], "", found.alpha),
    )
    sections = [Section("result", "Result", (verdict(found), _MEANING))]
    words = (_HOW.format(divisions=found.divisions),)
    sections.append(Section("distances", "Distances", words, tables=tuple(t for t in tables if t.rows)))
    sides = tuple((s.name, s.images, s.units, s.unit, s.compared) for s in (found.reference, found.new))
    head = ("Side", "Images", "Different units", "Unit", "Compared, one a unit")
    return [*sections, Section("reading", "How it was read", notes=found.notes, tables=(Table("Images", head, sides),))]


def _table(caption: str, changes: Sequence[Change], of: str, alpha: float) -> Table:
    values = (f"{of}, reference", f"{of}, new") if of else ()
    head = ("", "Measure", "Distance", "By chance", "Limit", "p, adjusted", *values, "n, reference", "n, new", "")
    rows: list[tuple[Cell, ...]] = []
    for c in changes:
        shown: tuple[Cell, ...] = (
            (decimals(c.reference), decimals(c.new)) if of and c.measure != "PSI" else ("",) * len(values)
        )
        said = "ALARM" if c.p <= alpha else ""
        rows.append((c.name, c.measure, c.distance, c.usual, c.limit, c.p, *shown, c.n, c.n_new, said))
    return Table(caption, head, tuple(rows))
