"""Writes `report.html`: one page for screen, phone and print, in light and dark, that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from zoo.core.files import write_text
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.evaluation.result import Estimate, Evaluation
from zoo.labels.parts import WHOLE, spoken_part
from zoo.report import (
    checks,
    curves,
    drawing,
    groups,
    layout,
    members,
    points,
    probing,
    results,
    together,
    training_curves,
)
from zoo.report.layout import Section
from zoo.report.mistakes import Mistake, data_uri

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    result: Evaluation,
    folder: str | Path,
    *,
    history: Iterable[Mapping[str, Any]] | None = None,
    mistakes: Sequence[Mistake] = (),
    title: str = "",
    heatmap_method: str = "",
    command: str = "",
) -> Path:
    """Writes `report.html`, and its figures to `figures/<name>.png` beside it.

    Args:
        result: The result of `evaluation.report.evaluate`, perhaps with further blocks. The page says which blocks are
            missing.
        folder: Output folder; created if necessary.
        history: Rows of a run's `history.csv`, for the training curves.
        mistakes: The most confident errors, grouped by finding in the order of the page.
        title: Heading; the model's name by default.
        heatmap_method: How the heatmaps of the errors were made, such as "Grad-CAM, mean over members".
        command: The command that reproduces these numbers.

    Returns:
        The path of the page.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    out = Path(folder)
    sections = _sections(result, history)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    pictures = {
        chart.name: [Markup(markup) for markup in drawing.render(chart, out / "figures")]
        for section in sections
        for chart in section.charts
    }
    page = environment().get_template("report.html.jinja")
    path = out / "report.html"
    write_text(
        path,
        page.render(
            title=title or result.model,
            result=result,
            sections=sections,
            # Our own drawings, whose texts `drawing` and matplotlib escape.
            pictures=pictures,
            mistakes=_grouped(mistakes),
            heatmap_method=heatmap_method,
            command=command,
            research_only=RESEARCH_ONLY,
            light=drawing.LIGHT,
            dark=drawing.DARK,
        ).strip()
        + "\n",
    )
    return path


def _sections(result: Evaluation, rows: Iterable[Mapping[str, Any]] | None) -> list[Section]:
    return [
        results.notes(result),
        results.summary(result),
        results.models(result),
        *members.sections(result),
        *probing.sections(result),
        curves.ranking(result),
        results.readers(result),
        curves.calibration(result),
        points.section(result),
        groups.section(result),
        together.section(result),
        checks.coherence(result),
        checks.leakage(result),
        *checks.left_out(result),
        training_curves.section(rows),
    ]


def _grouped(mistakes: Sequence[Mistake]) -> dict[str, list[Mistake]]:
    by_finding: dict[str, list[Mistake]] = {}
    for mistake in mistakes:
        by_finding.setdefault(mistake.finding, []).append(mistake)
    return by_finding


def environment() -> Any:
    """The environment of all page templates, with the style sheet and the formats of numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimals": layout.decimals,
        "digits": layout.digits,
        "percent": layout.percent,
        "data_uri": data_uri,
        "share": _share,
        "part": lambda part: part if part != WHOLE else spoken_part(part),
    }
    environment.tests |= {
        "a_number": lambda cell: isinstance(cell, Estimate),
        "text": lambda cell: isinstance(cell, str),
    }
    environment.globals["style"] = Markup((_TEMPLATES / "report.css").read_text("utf-8"))
    return environment


def _share(value: float, ends: tuple[float, float]) -> str:
    """The position of a value between two ends, in percent for CSS."""
    share = (value - ends[0]) / (ends[1] - ends[0])
    return f"{100 * min(1.0, max(0.0, share)):.1f}%"
