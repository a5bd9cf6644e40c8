"""The section on which findings occur together, in the labels and in the model's calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.curves import Counts
from zoo.report.layout import Cell, Chart, Margins, Panel, Section, Table, named

_ID, _TITLE = "together", "Findings that occur together"

#: Size of a cell, and width of a letter of a name, in inches.
_CELL, _LETTER = 0.34, 0.078

#: Colours of a share of 0 and of 1: white and a dark blue, between which lightness decreases evenly.
_FROM, _TO = (0.965, 0.975, 0.985), (0.0, 0.22, 0.42)


def section(result: Evaluation) -> Section:
    """The section with the counts of `curves.cooccurrence`: how many images with one finding also have another."""
    block = result.cooccurrence
    if not block:
        return Section(_ID, _TITLE, absent="Without probabilities there are no calls to count.")
    findings = block.findings
    parts = {"Labels": block.labels, f"Calls at {named(block.calls.point)}": block.calls}
    words = (
        "Each row covers the images with one finding; a cell counts those that also have the column's finding, among "
        "images where both are known. Darker cells are larger shares. If a model's calls combine findings that do not "
        "occur together in the labels, it has learned something other than these findings."
    )
    return Section(
        _ID,
        _TITLE,
        charts=(
            Chart("together", "Counts of images", tuple(_panel(*part, findings) for part in parts.items()), words, 2),
        ),
        tables=tuple(_table(title, counts, findings) for title, counts in parts.items()),
    )


def _panel(title: str, counts: Counts, findings: Sequence[str]) -> Panel:
    both, first = counts.both, counts.first
    k = len(findings)

    def draw(axes: Any) -> None:
        shares = [[_share(both[i][j], first[i][j]) for j in range(k)] for i in range(k)]
        colours = [[[a + s * (b - a) for a, b in zip(_FROM, _TO, strict=True)] for s in row] for row in shares]
        axes.pcolormesh(range(k + 1), range(k + 1), colours, edgecolors="white", linewidth=0.8)
        for i, row in enumerate(shares):
            for j, share in enumerate(row):
                place = (j + 0.5, i + 0.5, _short(both[i][j]))
                axes.text(*place, ha="center", va="center", size=7, color="white" if share > 0.68 else "black")
        axes.set_xlim(0, k)
        axes.set_ylim(k, 0)
        axes.grid(False)
        axes.xaxis.tick_top()
        axes.set_xticks([i + 0.5 for i in range(k)], findings, rotation=55, ha="left", rotation_mode="anchor")
        axes.set_yticks([i + 0.5 for i in range(k)], findings)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    longest = min(40, max(map(len, findings))) * _LETTER + 0.2
    margins = Margins(left=longest, right=0.6 * longest, top=0.85 * longest, bottom=0.1)
    size = (margins.left + k * _CELL + margins.right, margins.top + k * _CELL + margins.bottom)
    description = f"{title}: for each two findings the number of images with both. The table of this section has them."
    return Panel(title, description, draw, size, margins, wide=True)


def _table(title: str, counts: Counts, findings: Sequence[str]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (finding, counts.first[i][i], *counts.both[i]) for i, finding in enumerate(findings)
    )
    return Table(
        f"{title}: images with both findings", ("Finding", "Images with it", *findings), tuple(rows), folded=True
    )


def _share(part: int, whole: int) -> float:
    """The share that the colour shows; without the exponent all rare pairs would look alike."""
    return (part / whole) ** 0.7 if whole else 0.0


def _short(count: int) -> str:
    return str(count) if count < 10000 else f"{count // 1000}k"
