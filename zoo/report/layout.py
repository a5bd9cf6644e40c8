"""What the page is made of: sections of sentences, tables and charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from zoo.evaluation.result import HALF, Estimate

#: Text, a count, a plain number, a number with its interval, or None: undefined.
Cell: TypeAlias = str | int | float | Estimate | None

#: Draws on matplotlib axes.
Draw: TypeAlias = Callable[[Any], None]

DASH, MINUS = "\u2013", "\u2212"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: What it shows.
        head: Column names; the first column names the rows.
        rows: Cells, as many as `head`.
        last_is_mean: The last row sums up the others.
        bars: Column -> (first, last) value of the bars that show its intervals; those that reach below 0.5 mark it.
        folded: Shown when the reader opens it, and in print.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    last_is_mean: bool = False
    bars: Mapping[int, tuple[float, float]] | None = None
    folded: bool = False

    @property
    def of_words(self) -> frozenset[int]:
        """The columns that hold words, and no numbers."""
        columns = enumerate(zip(*self.rows, strict=True))
        return frozenset(i for i, cells in columns if any(cells) and all(isinstance(cell, str) for cell in cells))


@dataclass(frozen=True)
class Margins:
    """Inches around the axes of a panel."""

    left: float = 0.52
    right: float = 0.1
    top: float = 0.42
    bottom: float = 0.85


@dataclass(frozen=True)
class Panel:
    """One picture, legible at the width of a phone.

    Attributes:
        title: What it is of, such as a finding.
        description: What is to be seen, in words and numbers, for who does not see it.
        draw: Draws it.
        size: Width and height in inches, margins included.
        margins: Room for the words around the axes.
        wide: Too wide for a phone: it can be moved sideways there.
    """

    title: str
    description: str
    draw: Draw
    size: tuple[float, float] = (3.4, 3.8)
    margins: Margins = Margins()
    wide: bool = False


@dataclass(frozen=True)
class Chart:
    """Panels that belong together: one heading on the page, one PNG.

    Attributes:
        name: Name of the PNG, without its ending.
        title: Heading.
        panels: In order.
        words: How it is to be read, in a sentence or two.
        columns: Columns of the PNG.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    words: str = ""
    columns: int = 4


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        id: Anchor.
        title: Heading.
        words: Paragraphs.
        notes: Items of a list, after the paragraphs.
        charts: After the notes.
        tables: After the charts.
        absent: Why there is nothing to show; "" where there is.
    """

    id: str
    title: str
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    absent: str = ""


def decimals(value: float | None) -> str:
    """Three decimals; a dash for an undefined number."""
    if value is None:
        return DASH
    text = f"{value:.3f}".replace("-", MINUS)
    return text.removeprefix(MINUS) if float(f"{value:.3f}") == 0 else text


def digits(value: float | None) -> str:
    """The same with three digits where three decimals would leave little of a number, as of a threshold of 0.00164."""
    return decimals(value) if value is None or value == 0 or abs(value) >= 0.0995 else f"{value:#.3g}"


def spoken(number: Estimate | None) -> str:
    """A number with its interval, in a sentence."""
    if number is None or number.value is None:
        return "undefined"
    if number.low is None:
        return decimals(number.value)
    return f"{decimals(number.value)} [{decimals(number.low)}, {decimals(number.high)}]"


def percent(level: float) -> str:
    """A level such as 0.95 as "95%"."""
    return f"{100 * level:.4g}%"


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Names in a sentence, the first ones where they are many."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and others"


def named(point: str) -> str:
    """What an operating point is called in a sentence."""
    return "0.5" if point == HALF else f"\u201c{point}\u201d"
