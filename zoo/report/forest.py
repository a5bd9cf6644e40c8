"""Forest plots: values with their intervals below each other, narrow enough for a phone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.evaluation.result import Estimate
from zoo.report.drawing import LIGHT, SERIES
from zoo.report.layout import Draw, Margins, Panel, decimals, spoken

#: Height of a line, of a heading, and of the gap below a group of lines, in inches.
_LINE, _HEADING, _GAP = 0.15, 0.19, 0.07

#: Lines of one panel; further lines go to the next panel.
_LINES = 36

#: Largest number of characters of a line's name.
_LETTERS = 16


@dataclass(frozen=True)
class Row:
    """One heading and the lines below it.

    Attributes:
        title: The heading.
        numbers: Name of the line -> its value and interval; "not shown" is drawn for None or an undefined value.

    >>> list(Row("Edema", {"model": Estimate(0.8, 0.7, 0.9, 50, 10)}).numbers)
    ['model']
    """

    title: str
    numbers: Mapping[str, Estimate | None]


def forest(title: str, axis: str, rows: Sequence[Row], *, reference: float | None = None) -> tuple[Panel, ...]:
    """Makes one or more panels of rows, all with the same axis.

    Args:
        title: Title of the panel; if there are several panels, their first and last headings are added.
        axis: Label of the axis.
        rows: The rows, from top to bottom.
        reference: Position of a reference line, such as 0.5 for AUC.

    >>> [panel.title for panel in forest("AUC", "AUC", [Row("Edema", {"model": Estimate(0.8, 0.7, 0.9, 50, 10)})])]
    ['AUC']
    """
    limits = _limits([n for row in rows for n in row.numbers.values()], reference)
    parts = _parts(rows)
    panels = []
    for part in parts:
        name = title if len(parts) == 1 else f"{title}: {part[0].title} to {part[-1].title}"
        height = sum(_height(row) for row in part)
        margins = Margins(left=1.25, right=0.12, top=0.05, bottom=0.5)
        panels.append(
            Panel(
                name,
                _described(axis, part),
                _draw(part, axis, limits, reference),
                size=(3.6, height + margins.top + margins.bottom),
                margins=margins,
            )
        )
    return tuple(panels)


def _draw(rows: Sequence[Row], axis: str, limits: tuple[float, float], reference: float | None) -> Draw:
    def draw(axes: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        beside = {"va": "center", "transform": axes.get_yaxis_transform()}
        depth, places = 0.0, list[tuple[int, float, Estimate]]()
        for row in rows:
            axes.text(-0.52, depth + _HEADING / 2, row.title, weight="bold", **beside)
            depth += _HEADING
            for i, (name, number) in enumerate(row.numbers.items()):
                y = depth + _LINE / 2
                axes.text(-0.03, y, _short(name), ha="right", size=8, **beside)
                if number is None or number.value is None:
                    axes.text(0.02, y, "not shown", size=7.5, style="italic", color=LIGHT["muted"], **beside)
                else:
                    places.append((i % len(SERIES), y, number))
                depth += _LINE
            depth += _GAP
        for i, style in enumerate(SERIES):
            _series(axes, style, [(y, number) for series, y, number in places if series == i])
        if reference is not None:
            axes.axvline(reference, color=LIGHT["muted"], linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        axes.set_xlim(*limits)
        axes.set_ylim(depth, 0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis)

    return draw


def _series(axes: Any, style: Mapping[str, Any], places: Sequence[tuple[float, Estimate]]) -> None:
    """Draws the same line of every row: first all intervals, then all values."""
    if not places:
        return
    spans = [(y, number) for y, number in places if number.low is not None]
    ends = ([number.low for _, number in spans], [number.high for _, number in spans])
    axes.hlines([y for y, _ in spans], *ends, color=style["color"], linewidth=1.6)
    values = [number.value for _, number in places]
    plain = {"color": style["color"], "marker": style["marker"], "linestyle": ""}
    axes.plot(values, [y for y, _ in places], markersize=4.5, zorder=3, **plain)


def _limits(numbers: Sequence[Estimate | None], reference: float | None) -> tuple[float, float]:
    ends = [end for n in numbers if n is not None for end in (n.value, n.low, n.high) if end is not None]
    ends += [] if reference is None else [reference]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.05
    return low - margin, high + margin


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    """Divides the rows into panels of about equal height, none much above `_LINES`."""
    count = math.ceil(sum(len(row.numbers) + 2 for row in rows) / _LINES)
    share = math.ceil(len(rows) / max(1, count))
    return [list(rows[i : i + share]) for i in range(0, len(rows), share)]


def _height(row: Row) -> float:
    return _HEADING + _LINE * len(row.numbers) + _GAP


def _described(axis: str, rows: Sequence[Row]) -> str:
    """The panel in words; with many lines only the values, since a table has the intervals."""
    say = spoken if sum(len(row.numbers) for row in rows) <= 8 else _value
    sentences = [f"{row.title}: " + ", ".join(f"{k} {say(n)}" for k, n in row.numbers.items()) for row in rows]
    return f"{axis}. {'; '.join(sentences)}."


def _value(number: Estimate | None) -> str:
    return "not shown" if number is None or number.value is None else decimals(number.value)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "\u2026"
