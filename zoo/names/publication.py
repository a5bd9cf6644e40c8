"""What is known of weights that others published: a type for each row of `zoo.names.published`."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config.pixels import PixelSpec

#: A licence that is not stated: such weights are loaded, and never passed on.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reported:
    """An AUC that somebody reports for the weights.

    Attributes:
        auc: Mean over findings.
        on: The images it was measured on.
        by: Who measured it, and where that is written.
    """

    auc: float
    on: str
    by: str


@dataclass(frozen=True)
class Published:
    """Weights that others published.

    Attributes:
        name: Name in the zoo.
        kind: Kind of file, a name of `zoo.models.ports.kinds`.
        summary: One line.
        urls: Addresses of the file, tried in turn; () if it comes from an installed package.
        package: Package of the Python index that ships the file, with the file's path in it; ("", "") if none does.
        size: Size of the file in bytes, or 0 if it is not known to this project.
        sha256: SHA-256 of the file, or "" if it is not known to this project: what comes first is trusted then.
        findings: Names of the outputs in order, "" for one that no data trained; () for those of the kind.
        thresholds: Operating points that the authors published, one a finding, None for an output without one.
        point: Name of that operating point.
        pixels: Pixel contract, if it is not that of the kind.
        image_size: Height and width in pixels, if they are not those of the kind; 0 otherwise.
        licence: SPDX name, or "unknown".
        origin: The people and the page.
        data: What the weights were trained on.
        citation: BibTeX.
        unverified: What this project could not verify.
        reported: AUCs that somebody measured.
    """

    name: str
    kind: str
    summary: str
    urls: tuple[str, ...] = ()
    package: tuple[str, str] = ("", "")
    size: int = 0
    sha256: str = ""
    findings: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    point: str = ""
    pixels: PixelSpec | None = None
    image_size: int = 0
    licence: str = UNKNOWN
    origin: str = ""
    data: str = ""
    citation: str = ""
    unverified: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()
