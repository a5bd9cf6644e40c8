"""Writes converted weights of other people as an ordinary release, with a card that says where they are from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from zoo.config.pixels import NAMED
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.config.weighting import numbers
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.models import architectures
from zoo.release.card_facts import DataFacts
from zoo.release.card_metadata import front_matter
from zoo.release.documents import PortFacts
from zoo.release.folder import ReleaseFolder
from zoo.release.write import write_release

#: Name of the operating point of weights whose authors published no thresholds.
NOT_FITTED = "not_fitted"

#: What is said where nobody stated the names of the outputs, and how many findings a line shows.
NAMES_ASSUMED = "The names of its outputs: they are those of its kind of file."
_SHOWN = 8


def write_port(
    folder: str | Path, spec: EnsembleSpec, weights: Mapping[str, Mapping[str, np.ndarray]], facts: PortFacts
) -> Path:
    """Writes a release of converted weights, whole or not at all.

    Args:
        folder: Folder of the release.
        spec: Specification of the model.
        weights: Member -> name in its safetensors file -> value.
        facts: Where the weights are from.

    Raises:
        WeightsError: The weights do not fit the network of `spec`.
        ReleaseError: The thresholds do not fit its findings.
    """
    from safetensors.numpy import save_file

    from zoo.release.build import load_members

    with tempfile.TemporaryDirectory() as place:
        for member in spec.members:
            values = {name: np.ascontiguousarray(value) for name, value in weights[member.name].items()}
            save_file(values, Path(place) / f"{member.name}.safetensors")
        model = load_members(spec, Path(place))
    licence = "" if facts.licence == "unknown" else facts.licence
    provenance = {"port": dataclasses.asdict(facts), "data": {"name": facts.data}}
    members = {member.name: _unfitted(spec) for member in spec.members} if len(spec.members) > 1 else {}
    return write_release(
        folder, model, spec, decision_of(spec, facts), member_decisions=members, provenance=provenance,
        card=card(spec, facts), license=licence,
    )  # fmt: skip


def decision_of(spec: EnsembleSpec, facts: PortFacts) -> Decision:
    """The decision of converted weights: no calibration, and the thresholds of their authors, if there are any.

    >>> from zoo.config.specs import MemberSpec
    >>> spec = EnsembleSpec("x", (MemberSpec("tiny"),), 32, ("Edema", "Mass"))
    >>> decision_of(spec, PortFacts(point="theirs", thresholds=(0.02, None))).point().thresholds
    (0.02, None)
    """
    if not facts.point:
        return _unfitted(spec)
    notes = (f"published by {facts.origin}; on the probability before any calibration; not fitted here",)
    return _of_point(spec, facts.point, facts.thresholds, notes)


def _unfitted(spec: EnsembleSpec) -> Decision:
    notes = ("no threshold was fitted: 'zoo evaluate NAME --data DIR --fit auto' fits some on your images",)
    return _of_point(spec, NOT_FITTED, (None,) * len(spec.findings), notes)


def _of_point(spec: EnsembleSpec, name: str, thresholds: Sequence[float | None], notes: tuple[str, ...]) -> Decision:
    origin = Origin(name, date=datetime.now(UTC).date().isoformat(), notes=notes)
    return Decision(spec.findings, operating_points={name: OperatingPoint(tuple(thresholds), origin)}, default=name)


def card(spec: EnsembleSpec, facts: PortFacts) -> str:
    """The card: what it is, where it is from, what it may be used for, and what was not verified."""
    licence = facts.licence if facts.licence != "unknown" else ""
    head = front_matter(spec, None, DataFacts(title=facts.data), licence)
    trained = [finding for finding in spec.findings if finding not in spec.untrained]
    parts = [
        f"---\n{head.strip()}\n---\n\n# {spec.name}\n\nWeights that others published, converted to "
        f"{', '.join(dict.fromkeys(m.backbone for m in spec.members))} of xrayslam-zoo.",
        "**Research software, not a medical device.** Not for diagnosis, triage or any decision about a patient.",
        _section("Origin", _lines(facts)),
        _section("Findings", f"{', '.join(trained)}.\n\n{_untrained(spec)}{speakers(spec)}".strip()),
        _section("Results", _bullets(facts.reported) or "No AUC of these weights is known to this project."),
        _section("Not verified", _bullets(facts.unverified) or "See the origin."),
        _section("Licence", _licence(facts)),
        _section("Citation", f"```bibtex\n{facts.citation}\n```" if facts.citation else "None is known."),
    ]
    return "\n\n".join(parts) + "\n"


def told(release: ReleaseFolder) -> list[str]:
    """What a converted release is and what was assumed of it, in lines for a terminal."""
    facts, spec = release.listing.provenance.port or PortFacts(), release.spec
    lines = [f"kind: {facts.kind or 'several networks'}, on {', '.join(m.backbone for m in spec.members)}"]
    assumed = f"; {NAMES_ASSUMED} give others with --findings" if NAMES_ASSUMED in facts.unverified else ""
    shown = ", ".join(spec.findings[:_SHOWN]) + (" ..." if len(spec.findings) > _SHOWN else "")
    untrained = f", not trained: {len(spec.untrained)}" if spec.untrained else ""
    lines.append(f"findings: {len(spec.findings)} ({shown}){untrained}{assumed}")
    lines += dict.fromkeys(f"pixels: {_pixels(member)}, at {spec.image_size} px" for member in spec.members)
    lines += [f"note: {note[:1].lower()}{note[1:]}" for note in facts.notes]
    unknown = " (assumed, since none was stated): it loads, and `zoo publish` refuses it"
    return [*lines, f"licence: {facts.licence}{unknown if facts.licence == 'unknown' else ''}"]


def _pixels(member: MemberSpec) -> str:
    pixels = member.pixels or NAMED[architectures.get(member.backbone).preprocessing]
    ends = [(value - m) / d for m, d in zip(pixels.mean, pixels.deviation, strict=True) for value in (0, 255)]
    name = next((f"'{name}'" for name, known in NAMED.items() if known == pixels), "of its own")
    return f"contract {name}: 0..255 becomes {min(ends):.4g} to {max(ends):.4g}, channels {pixels.order}"


def speakers(spec: EnsembleSpec) -> str:
    """Which members speak for which finding, as a table; "" if each speaks for all."""
    if not any(isinstance(weight, tuple) for weight in numbers(spec.weighting)):
        return ""
    rows = [f"| {finding} | {', '.join(names) or 'none'} |" for finding, names in spec.speaking.items()]
    return "\n".join(["| finding | members that give it |", "| --- | --- |", *rows])


def _lines(facts: PortFacts) -> str:
    lines = [
        f"- Authors: {facts.origin or 'not stated'}",
        f"- File: {facts.source or 'several, see the members'}" + (f" (SHA-256 {facts.sha256})" * bool(facts.sha256)),
        f"- Trained on: {facts.data or 'not stated'}",
        *(f"- {note}" for note in facts.notes),
    ]
    return "\n".join(lines)


def _untrained(spec: EnsembleSpec) -> str:
    return f"**Not trained**: {', '.join(spec.untrained)}. Their probabilities are NaN.\n\n" if spec.untrained else ""


def _licence(facts: PortFacts) -> str:
    if facts.licence == "unknown":
        return (
            "Its authors state no licence that is known to this project: use it by their terms, and do not pass it on."
        )
    return f"{facts.licence}, as stated by its authors."


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"
