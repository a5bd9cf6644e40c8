"""The catalog as a table: origin, licence, size, labels, AUC where somebody measured it, and what was verified."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.core import home
from zoo.labels.findings import FINDINGS
from zoo.models import architectures
from zoo.models.ports import kinds
from zoo.names import ported_ensemble
from zoo.names.catalog import CATALOG
from zoo.names.published import PUBLISHED, Published
from zoo.release.folder import ReleaseFolder

#: Headings, in order.
HEADINGS = ("name", "origin", "licence", "size", "labels", "AUC", "verified by this project")

_NOT_FETCHED = "the conversion, on random weights; not the file itself"


@dataclass(frozen=True)
class Row:
    """One model of the catalog, as text.

    Attributes:
        name: Name for `zoo.load`.
        origin: Who made the weights.
        licence: SPDX name of the licence of the weights, or why there is none.
        size: Size of the weights.
        labels: Number of outputs, and how many of them no data trained.
        auc: Mean AUC, on what, and who measured it; "not known" if nobody is known to have.
        verified: What this project could verify.
    """

    name: str
    origin: str
    licence: str
    size: str
    labels: str
    auc: str
    verified: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts in the order of `HEADINGS`."""
        return self.name, self.origin, self.licence, self.size, self.labels, self.auc, self.verified


def rows() -> list[Row]:
    """The models that the zoo knows by name: those in the package, those of others, and those of its recipes.

    >>> [row.licence for row in rows() if row.name == "chexnet-jrzech"]
    ['bsd-3-clause']
    """
    own = [_included(name) for name in home.included()]
    trained = [
        Row(
            name,
            f"you: {entry.how}",
            "yours",
            "none here",
            f"{len(entry.spec.findings)}",
            "that of your run",
            "the steps",
        )
        for name, entry in CATALOG.items()
        if name not in home.included()
    ]
    return [*own, *(_published(row) for row in PUBLISHED.values()), _ensemble(), *trained]


def markdown(table: Sequence[Row] | None = None) -> str:
    """The table in Markdown.

    >>> markdown().splitlines()[0][:18]
    '| name | origin | '
    """
    shown = rows() if table is None else table
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells for row in shown)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def text(table: Sequence[Row] | None = None, width: int = 100) -> str:
    """The table for a terminal: a paragraph for each model, its facts wrapped to `width` characters.

    >>> print(text([Row("mine", "me", "mit", "9 MB", "14", "0.8 (me)", "all")], width=40))
    mine
      origin    me
      licence   mit
      size      9 MB
      labels    14
      AUC       0.8 (me)
      verified  all
    """
    titles = ("origin", "licence", "size", "labels", "AUC", "verified")
    column = 4 + max(map(len, titles))
    paragraphs = []
    for row in rows() if table is None else table:
        lines = [row.name]
        for title, cell in zip(titles, row.cells[1:], strict=True):
            start, below = f"  {title}".ljust(column), " " * column
            lines.append(
                textwrap.fill(cell, width, initial_indent=start, subsequent_indent=below, break_on_hyphens=False)
            )
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def auc_of(found: ReleaseFolder) -> str:
    """The mean AUC of a release with its interval and number of images; "" if it was not evaluated."""
    result = found.evaluation
    if result is None or result.macro.auc.value is None:
        return ""
    mean = result.macro.auc
    limits = f" [{mean.low:.3f}, {mean.high:.3f}]" if mean.low is not None and mean.high is not None else ""
    return f"{mean.value:.3f}{limits} on its {result.split} part, {result.n} images"


def published_auc(row: Published) -> str:
    """The AUCs of weights of others that somebody measured; "" if none is known."""
    return "; ".join(f"{r.auc:.3f} on {r.on} ({r.by})" for r in row.reported)


def _included(name: str) -> Row:
    found = ReleaseFolder(home.INCLUDED / name)
    auc = f"{measured} (this project)" if (measured := auc_of(found)) else "not known"
    size = sum(max(entry.size, 0) for entry in found.entries.values())
    untrained = sum(not known for known in found.decision.trained)
    labels = _labels(len(found.spec.findings), untrained)
    return Row(name, "this project; comes with the package", found.license, _megabytes(size), labels, auc, "everything")


def _published(row: Published) -> Row:
    port = kinds.get(row.kind)
    outputs = row.findings or port.findings or ()
    auc = published_auc(row) or "not known"
    size = _megabytes(row.size) if row.size else f"about {_megabytes(4 * architectures.get(port.backbone).parameters)}"
    verified = "the file and its logits" if row.package[0] else _NOT_FETCHED
    return Row(row.name, row.origin, row.licence, size, _labels(len(outputs), outputs.count("")), auc, verified)


def _ensemble() -> Row:
    members = [PUBLISHED[name] for name in ported_ensemble.MEMBERS]
    given = {ported_ensemble.translated(f) for row in members for f in row.findings}
    untrained = len([finding for finding in FINDINGS if finding not in given])
    licences = ", ".join(sorted({row.licence for row in members}))
    size = f"{len(members)} networks"
    origin = ", ".join(ported_ensemble.MEMBERS)
    return Row(
        ported_ensemble.NAME, origin, licences, size, _labels(len(FINDINGS), untrained), "not known", _NOT_FETCHED
    )


def _labels(outputs: int, untrained: int) -> str:
    return f"{outputs}" + (f" ({untrained} not trained)" if untrained else "")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
