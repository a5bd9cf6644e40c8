"""The parts of the page: sections with paragraphs, tables and charts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from zoo.evaluation.result import HALF, Estimate

#: Text, a count, a number, a number with its interval, or None for an undefined value.
Cell: TypeAlias = str | int | float | Estimate | None

#: Draws on matplotlib axes.
Draw: TypeAlias = Callable[[Any], None]

DASH, MINUS = "\u2013", "\u2212"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: Caption.
        head: Column names; the first column names the rows.
        rows: Rows of as many cells as `head`.
        last_is_mean: Whether the last row is the mean of the others.
        bars: Column -> range of the bars that show its intervals; a bar that reaches below 0.5 has a mark there.
        errors: Columns of calibration errors: one that may be 0 is told with the most that it may be.
        folded: Whether the table is closed until the reader opens it (it is always printed).

    >>> sorted(Table("Labels", ("Finding", "n"), (("Edema", 3),)).text_columns)
    [0]
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    last_is_mean: bool = False
    bars: Mapping[int, tuple[float, float]] | None = None
    errors: Collection[int] = ()
    folded: bool = False

    @property
    def text_columns(self) -> frozenset[int]:
        """The columns that hold text only."""
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
    """One plot, legible at the width of a phone.

    Attributes:
        title: Its subject, such as a finding.
        description: Its content in words and numbers, for readers who cannot see it.
        draw: Draws the plot on axes.
        size: Width and height in inches, with margins.
        margins: Space for the labels around the axes.
        wide: Whether the plot is too wide for a phone and scrolls sideways there.

    >>> Panel("Edema", "ROC curve of Edema.", lambda axes: None).wide
    False
    """

    title: str
    description: str
    draw: Draw
    size: tuple[float, float] = (3.4, 3.8)
    margins: Margins = Margins()
    wide: bool = False


@dataclass(frozen=True)
class Chart:
    """Panels that belong together, with one heading on the page and one PNG.

    Attributes:
        name: Name of the PNG, without extension.
        title: Heading.
        panels: The panels in order.
        words: How to read the chart, in a sentence or two.
        columns: Number of panels in a row of the PNG.

    >>> Chart("roc", "ROC curves", ()).columns
    4
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
        notes: Items of a list that follows the paragraphs.
        charts: Charts that follow the notes.
        tables: Tables that follow the charts.
        absent: The reason why the section is empty; "" if it is not.

    >>> Section("readers", "Readers", absent="No readers' calls were given.").tables
    ()
    """

    id: str
    title: str
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    absent: str = ""


def decimals(value: float | None) -> str:
    """Formats a number with three decimals; an undefined number is a dash.

    >>> decimals(0.12345), decimals(-0.0001)
    ('0.123', '0.000')
    """
    if value is None:
        return DASH
    text = f"{value:.3f}".replace("-", MINUS)
    return text.removeprefix(MINUS) if float(f"{value:.3f}") == 0 else text


def digits(value: float | None) -> str:
    """Formats a number as `decimals` does, but a small one, such as a threshold of 0.00164, with three digits.

    >>> digits(0.001642), digits(0.5)
    ('0.00164', '0.500')
    """
    return decimals(value) if value is None or value == 0 or abs(value) >= 0.0995 else f"{value:#.3g}"


def spoken(number: Estimate | None, *, error: bool = False) -> str:
    """Formats a number with its interval for a sentence; with `error`, of a calibration error that may be 0.

    >>> spoken(Estimate(0.8, 0.7, 0.9, 50, 10))
    '0.800 [0.700, 0.900]'
    >>> spoken(Estimate(0.012, 0.0, 0.031, 50, 10), error=True)
    '0.012 (at most 0.031)'
    """
    if number is None or number.value is None:
        return "undefined"
    if number.low is None:
        return decimals(number.value)
    if error and number.may_be_zero:
        return f"{decimals(number.value)} (at most {decimals(number.high)})"
    return f"{decimals(number.value)} [{decimals(number.low)}, {decimals(number.high)}]"


def percent(level: float) -> str:
    """Formats a confidence level in percent.

    >>> percent(0.95)
    '95%'
    """
    return f"{100 * level:.4g}%"


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Lists names in a sentence, only the first ones if there are many.

    >>> listed(["a", "b", "c"], 2)
    'a, b and others'
    """
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and others"


def named(point: str) -> str:
    """The name of an operating point in a sentence.

    >>> named("half")
    '0.5'
    """
    return "0.5" if point == HALF else f"\u201c{point}\u201d"
