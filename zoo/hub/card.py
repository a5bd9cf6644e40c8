"""The card of a release: what a person reads before using it. Every number comes from the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from zoo.evaluation import report
from zoo.specs import EnsembleSpec


def render(spec: EnsembleSpec, metrics: Mapping[str, Any], summary: str = "") -> str:
    """The card's Markdown.

    Args:
        spec: What the model is made of.
        metrics: What `report.evaluate` gave; {} says that nothing was evaluated.
        summary: One line on the model.
    """
    members = ", ".join(m.name for m in spec.members)
    return Template(template().read_text("utf-8")).substitute(
        name=spec.name,
        summary=summary or f"Chest X-ray findings from {members}.",
        members=members,
        image_size=spec.image_size,
        n_findings=len(spec.findings),
        results=report.markdown(metrics) if metrics else "Not evaluated.",
    )


def template() -> Path:
    """The card's template: package data in an installed wheel, `hub_cards/` beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "hub_cards" / "template.md"
    return installed if installed.is_file() else package.parent / "hub_cards" / "template.md"
