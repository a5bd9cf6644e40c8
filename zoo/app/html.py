"""The parts of the page that are ours, from templates; texts are escaped there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from zoo.app.analysis import Result, data_uri
from zoo.app.facts import Facts
from zoo.evaluation.result import Estimate
from zoo.evaluation.tables import RESEARCH_ONLY

_TEMPLATES = Path(__file__).parent / "templates"


def header(facts: Facts) -> str:
    """Returns the head of the page: its title and the model."""
    return _render("header.html.jinja", facts=facts)


def statement() -> str:
    """Returns the statement of intended use, which stays in view."""
    return f'<p class="zoo-statement" role="note">{RESEARCH_ONLY}</p>'


def about(facts: Facts) -> str:
    """Returns the facts of the model."""
    return _render("about.html.jinja", facts=facts)


def results(found: Sequence[Result], facts: Facts, total: int, id: str) -> str:
    """Returns the results so far.

    Args:
        found: Results, in the order of upload.
        facts: Of the model.
        total: Number of files that were uploaded.
        id: Tells these files from the next ones.
    """
    parts = [result.table for result in found if result.table]
    lines = parts[:1] + [part.partition("\n")[2] for part in parts[1:]]
    table = data_uri("text/csv", "".join(lines).encode()) if parts else ""
    return _render("results.html.jinja", results=found, facts=facts, total=total, table=table, id=id)


def asset(name: str) -> str:
    """Returns a file of the page: its style or its script."""
    return (_TEMPLATES / name).read_text("utf-8")


def _render(name: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["interval"] = _interval
    return environment.get_template(name).render(research_only=RESEARCH_ONLY, **values)


def _interval(number: Estimate) -> str:
    """A number with its interval, rounded.

    >>> _interval(Estimate(0.7123, 0.6, 0.8, 100, 30))
    '0.71 [0.60, 0.80]'
    """
    if number.value is None:
        return "\N{EN DASH}"
    if number.low is None or number.high is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f} [{number.low:.2f}, {number.high:.2f}]"
