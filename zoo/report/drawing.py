"""Draws panels with matplotlib, one figure each: as SVG in the colours of the page, and together as PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from zoo.core.errors import MissingExtraError
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.report.layout import Chart, Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name -> colour on white. The hues are those of Okabe and Ito (2008), which people with any kind of colour vision can
#: distinguish; the lighter ones of their set would be too faint for lines on white.
LIGHT = {
    "ink": "#1b1f24",
    "muted": "#59636e",
    "grid": "#d3d9e0",
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#00906a",
    "purple": "#b3568f",
}

#: The same names on a dark page.
DARK = {
    "ink": "#e8ebef",
    "muted": "#a3adb8",
    "grid": "#3a424c",
    "blue": "#56b4e9",
    "vermillion": "#e69f00",
    "green": "#1fc79a",
    "purple": "#e08fc0",
}

#: Colour, line and marker of the first, second, ... series, so that no two differ in colour only.
SERIES: tuple[dict[str, Any], ...] = (
    {"color": LIGHT["blue"], "linestyle": "-", "marker": "o"},
    {"color": LIGHT["vermillion"], "linestyle": "--", "marker": "s"},
    {"color": LIGHT["green"], "linestyle": "-.", "marker": "^"},
    {"color": LIGHT["purple"], "linestyle": ":", "marker": "D"},
    {"color": LIGHT["ink"], "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": LIGHT["muted"], "linestyle": (0, (1, 1)), "marker": "P"},
)

#: Resolution of the PNG in pixels per inch.
DPI = 150

#: Height of a panel's title on the PNG, in inches; the page has titles of its own.
_TITLE = 0.3

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.6,
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    # A "$" in the name of a finding must not start a formula.
    "text.parse_math": False,
    # Text stays text, so that it can be searched and read aloud, and follows the theme.
    "svg.fonttype": "none",
    "svg.hashsalt": "zoo",
}


def render(chart: Chart, folder: Path) -> list[str]:
    """Draws each panel of a chart once, writes all of them to one PNG, and returns SVG for the page.

    Args:
        chart: The panels; the PNG is `<folder>/<chart.name>.png`.
        folder: An existing folder.

    Returns:
        One `<svg>` for each panel, which fills the available width; ids begin with the chart's name. Colours are CSS
        variables named as in `LIGHT`, such as `var(--ink)`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _style():
        figures = [_figure(panel) for panel in chart.panels]
        _write_sheet(chart, figures, folder / f"{chart.name}.png")
        named = enumerate(zip(chart.panels, figures, strict=True), 1)
        return [_markup(panel, figure, f"{chart.name}-{i}") for i, (panel, figure) in named]


def _figure(panel: Panel) -> Figure:
    """The panel's axes within its margins, with its title above."""
    # Without pyplot, which would need a window system and keep figures open globally.
    from matplotlib.figure import Figure

    (width, height), margins = panel.size, panel.margins
    whole = height + _TITLE
    figure = Figure(figsize=(width, whole))
    inner = width - margins.left - margins.right, height - margins.top - margins.bottom
    axes = figure.add_axes((margins.left / width, margins.bottom / whole, inner[0] / width, inner[1] / whole))
    panel.draw(axes)
    figure.text(0.08 / width, (height + 0.08) / whole, panel.title, size=10, weight="bold", va="bottom")
    return figure


def _write_sheet(chart: Chart, figures: Sequence[Figure], path: Path) -> None:
    """Writes all panels with their titles, row by row, to one white image."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pictures = [_picture(figure) for figure in figures]
    columns = min(chart.columns, len(pictures))
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    width = max(picture.width for picture in pictures)
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (columns * width, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * width, sum(heights[:number])))
    facts = PngInfo()
    facts.add_text("Disclaimer", RESEARCH_ONLY)
    sheet.save(path, dpi=(DPI, DPI), pnginfo=facts)


def _picture(figure: Figure) -> Any:
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return Image.open(buffer).convert("RGB")


def _markup(panel: Panel, figure: Figure, name: str) -> str:
    """The panel's SVG without its title, with a name and a description for screen readers.

    matplotlib's markup is changed only as a page with several figures requires: unique ids, the colours of the theme,
    and the font of the page.
    """
    from matplotlib.transforms import Bbox

    width, height = panel.size
    for text in figure.texts:
        text.set_visible(False)
    buffer = io.StringIO()
    none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    below = Bbox.from_bounds(0, 0, width, height)
    figure.savefig(buffer, format="svg", transparent=True, metadata=none, bbox_inches=below)
    drawn = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$|<style.*?</style>", "", buffer.getvalue(), flags=re.DOTALL)
    drawn = re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", drawn).replace("xlink:href", "href")
    drawn = re.sub(r'(?<=style=")[^"]*', lambda style: _themed(style[0]), drawn)
    return (
        f'<svg class="figure" role="img" aria-labelledby="{name}-title {name}-text" '
        f'viewBox="0 0 {72 * width:g} {72 * height:g}">'
        f'<title id="{name}-title">{escape(panel.title)}</title>'
        f'<desc id="{name}-text">{escape(panel.description)}</desc>{drawn}</svg>'
    )


def _themed(style: str) -> str:
    """Replaces colours by variables of the theme, and removes the font family but keeps size and weight."""
    for name, colour in LIGHT.items():
        style = style.replace(colour, f"var(--{name})")
    kept = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        found = re.match(r"font: (.*?)([\d.]+px)", declaration)
        if found:  # matplotlib before 3.11 writes one declaration for the whole font
            kept += [f"font-{'weight' if word.isdecimal() else 'style'}: {word}" for word in found[1].split()]
            kept.append(f"font-size: {found[2]}")
        elif not declaration.startswith("font-family"):
            kept.append(declaration)
    return "; ".join(kept)


@contextmanager
def _style() -> Iterator[None]:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("a report with figures", "matplotlib", "report") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A character that the PNG's font lacks is not an error.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
