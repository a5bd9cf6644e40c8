"""The sections on what should not be: contradictions between findings, and films or patients that were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.report.layout import Cell, Section, Table, listed


def coherence(metrics: Mapping[str, Any]) -> Section:
    """What `coherence.contradictions` found."""
    block = metrics.get("coherence")
    if not block or not (block["children"] or block["normal"]):
        return Section(
            "coherence", "Coherence", absent="These findings have no rules between them that could be broken."
        )
    rows: list[tuple[Cell, ...]] = [
        (f"{child} without {own['parent']}", own["probability"]["n"], own["probability"], own["calls"])
        for child, own in block["children"].items()
    ]
    rows += [
        (f"{finding} beside the normal finding", own["probability"]["n"], own["probability"], own["calls"])
        for finding, own in block["normal"].items()
    ]
    rows.append(("Any of these", block["any"]["probability"]["n"], block["any"]["probability"], block["any"]["calls"]))
    tables = [
        Table(
            "Share of films that contradict themselves",
            ("Contradiction", "Films", "In probability", "In calls"),
            tuple(rows),
            last_is_mean=True,
        )
    ]
    if projection := metrics.get("projection"):
        tables.append(_projection(projection))
    notes = [f"Not looked at, since a finding is missing: {rule}." for rule in block["skipped"]]
    return Section(
        "coherence",
        "Coherence",
        words=(
            "A finding contradicts its parent where it is the more probable of the two, and the normal finding where "
            "both add up to more than 1. Calls are those at the operating point.",
        ),
        notes=tuple(notes),
        tables=tuple(tables),
    )


def _projection(projection: Mapping[str, Any]) -> Table:
    """What `coherence.reordering` found."""
    rows: list[tuple[Cell, ...]] = []
    for finding, own in projection.items():
        measured = (own.get(name, {}).get("value") for name in ("reordered", "mean_change", "largest_change"))
        rows.append((finding, own["reordered"]["n"], own["reordered"]["positives"], *measured))
    head = ("Finding", "Films", "Changed", "Pairs turned round", "Mean change", "Largest change")
    return Table("What making the probabilities coherent does to each finding", head, tuple(rows))


def leakage(metrics: Mapping[str, Any]) -> Section:
    """What `leakage` found: overlaps of patients and file names, and films that are there twice."""
    block = {name: found for name, found in (metrics.get("leakage") or {}).items() if isinstance(found, Mapping)}
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for name, found in block.items():
        if "shared" in found:
            rows.append((f"{name}: shared with training", *_share(found["shared"])))
            rows.append((f"{name}: films concerned", *_share(found["rows"])))
            if found["unknown"]:
                notes.append(f"{name}: {found['unknown']:,} films have none, and can be neither shared nor cleared.")
            if found["names"]:
                notes.append(f"{name} shared with training: {listed(found['names'])}.")
        elif "within" in found:
            if "with_train" in found:
                rows.append((f"{name}: the same film in training", *_share(found["with_train"])))
            rows.append((f"{name}: the same film twice here", *_share(found["within"])))
            if found["not_compared"]:
                notes.append(f"{name}: {found['not_compared']:,} films could not be compared.")
            notes += [
                f"{p['evaluated']} is {p['train']} of the training part (by its {p['by']})." for p in found["pairs"]
            ]
            notes += [f"The same film: {listed(group)}." for group in found["groups"]]
    if not rows:
        return Section(
            "leakage", "Leakage", absent="The training films were not given, so nothing was compared with them."
        )
    if not any("shared" in found or "with_train" in found for found in block.values()):
        notes.insert(0, "The training films were not given, so nothing was compared with them.")
    table = Table("What the evaluated films share with training", ("What", "Found", "Of", "Share"), tuple(rows))
    return Section(
        "leakage",
        "Leakage",
        words=("Numbers on films, or on patients, that a model was trained on flatter it.",),
        notes=tuple(notes),
        tables=(table,),
    )


def _share(number: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    return number["positives"], number["n"], number["value"]
