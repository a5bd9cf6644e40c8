"""Panels drawn with matplotlib: as SVG for the page, in colours that follow its theme, and as sheets of PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from zoo.core.errors import MissingExtraError
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.report.layout import Chart, Panel

#: Name -> colour on white. The hues are those of Okabe and Ito (2008), told apart by every kind of colour vision;
#: the lighter ones of their set would be too faint for lines on white.
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

#: Colour, line and marker of the first, second, ... series: never told apart by colour alone.
SERIES: tuple[dict[str, Any], ...] = (
    {"color": LIGHT["blue"], "linestyle": "-", "marker": "o"},
    {"color": LIGHT["vermillion"], "linestyle": "--", "marker": "s"},
    {"color": LIGHT["green"], "linestyle": "-.", "marker": "^"},
    {"color": LIGHT["purple"], "linestyle": ":", "marker": "D"},
    {"color": LIGHT["ink"], "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": LIGHT["muted"], "linestyle": (0, (1, 1)), "marker": "P"},
)

#: Pixels an inch of the PNG.
DPI = 150

#: Room for a panel's title on a sheet, in inches.
_TITLE = 0.3

#: Attributes that point to another element.
_REFERRING = ("href", "clip-path")

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
    # Names of findings are other people's text: "$" in them starts no formula.
    "text.parse_math": False,
    # Text stays text: it can be searched, read aloud and follows the theme.
    "svg.fonttype": "none",
    "svg.hashsalt": "zoo",
}


def render(chart: Chart, folder: Path) -> list[str]:
    """Draws a chart once, as one PNG and as markup for the page.

    Args:
        chart: Its panels stand on one white sheet, `<folder>/<chart.name>.png`.
        folder: Must exist.

    Returns:
        One `<svg>` a panel, which fills the width it is given; ids begin with the chart's name. Colours are
        `var(--ink)` and the like, as `LIGHT` names them.
    """
    with _style():
        sheet = _Sheet(chart)
        sheet.figure.savefig(
            folder / f"{chart.name}.png", dpi=DPI, metadata={"Software": None, "Disclaimer": RESEARCH_ONLY}
        )
        buffer = io.BytesIO()
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        sheet.figure.savefig(buffer, format="svg", transparent=True, metadata=none)
    root = ElementTree.fromstring(buffer.getvalue())
    groups = {element.get("id"): element for element in root.iter() if element.get("id")}
    return [
        _for_a_page(panel, groups[f"panel-{i}"], groups, box, f"{chart.name}-{i + 1}")
        for i, (panel, box) in enumerate(zip(chart.panels, sheet.boxes, strict=True))
    ]


class _Sheet:
    """All panels of a chart on one figure, and the place of each in points: left, top, width, height."""

    def __init__(self, chart: Chart) -> None:
        # Without pyplot: no window system, nothing global, nothing left open.
        from matplotlib.figure import Figure

        columns = min(chart.columns, len(chart.panels))
        rows = [chart.panels[i : i + columns] for i in range(0, len(chart.panels), columns)]
        width = max(panel.size[0] for panel in chart.panels)
        heights = [max(panel.size[1] for panel in row) + _TITLE for row in rows]
        self._size = (width * columns, sum(heights))
        self.figure = Figure(figsize=self._size)
        self.boxes: list[tuple[float, float, float, float]] = []
        for number, row in enumerate(rows):
            for column, panel in enumerate(row):
                self._add(panel, column * width, sum(heights[:number]) + _TITLE)

    def _add(self, panel: Panel, left: float, top: float) -> None:
        """Puts axes where the panel's margins leave room."""
        (width, height), margins = panel.size, panel.margins
        inner = width - margins.left - margins.right, height - margins.top - margins.bottom
        x, y = left + margins.left, self._size[1] - top - margins.top - inner[1]
        sheet = self._size
        axes = self.figure.add_axes((x / sheet[0], y / sheet[1], inner[0] / sheet[0], inner[1] / sheet[1]))
        axes.set_gid(f"panel-{len(self.boxes)}")
        panel.draw(axes)
        # Outside the axes: the page has a title of its own.
        place = (left + 0.08) / sheet[0], 1 - (top - 0.08) / sheet[1]
        self.figure.text(*place, panel.title, size=10, weight="bold", va="bottom")
        self.boxes.append((72 * left, 72 * top, 72 * width, 72 * height))


@contextmanager
def _style() -> Iterator[None]:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("a report with figures", "matplotlib", "report") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A script that the PNG's font lacks is no reason to lose the report.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _for_a_page(
    panel: Panel, group: Element, groups: Mapping[str | None, Element], box: Sequence[float], name: str
) -> str:
    """One panel's group cut out of the sheet, with what it refers to, and named for screen readers."""
    view = " ".join(f"{edge:g}" for edge in box)
    labels = f"{name}-title {name}-text"
    root = Element("svg", {"class": "figure", "role": "img", "aria-labelledby": labels, "viewBox": view})
    for tag, ending, words in (("title", "title", panel.title), ("desc", "text", panel.description)):
        SubElement(root, tag, {"id": f"{name}-{ending}"}).text = words
    definitions = SubElement(root, "defs")
    own = _copy(group, name)
    for reference in sorted(set(_references(group))):
        definition = _copy(groups[reference], name)
        definition.set("id", f"{name}-{reference}")
        definitions.append(definition)
    root.append(own)
    return ElementTree.tostring(root, encoding="unicode")


def _copy(element: Element, name: str) -> Element:
    """Without namespaces, which a page does not need, and ids, but for those that this panel's references name."""
    attributes = {}
    for key, value in element.attrib.items():
        key = _local(key)
        if key == "style":
            value = _themed(value)
        elif key in _REFERRING:
            value = value.replace("#", f"#{name}-")
        if key != "id":
            attributes[key] = value
    copied = Element(_local(element.tag), attributes)
    copied.text, copied.tail = element.text, None
    copied.extend(_copy(child, name) for child in element if _local(child.tag) != "defs")
    return copied


def _references(group: Element) -> Iterator[str]:
    for element in group.iter():
        for key, value in element.attrib.items():
            if _local(key) in _REFERRING:
                yield re.sub(r"^(url\()?#|\)$", "", value)


def _themed(style: str) -> str:
    """Colours become variables of the theme; the page chooses the font, of which size and weight are kept."""
    for name, colour in LIGHT.items():
        style = style.replace(colour, f"var(--{name})")
    kept = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        found = re.match(r"font: (.*?)([\d.]+px)", declaration)
        if found:  # a matplotlib before 3.11 puts all of a font into one
            kept += [f"font-{'weight' if word.isdecimal() else 'style'}: {word}" for word in found[1].split()]
            kept.append(f"font-size: {found[2]}")
        elif not declaration.startswith("font-family"):
            kept.append(declaration)
    return "; ".join(kept)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
