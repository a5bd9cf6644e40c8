"""The checks that `zoo.release.verification` makes of a release, each a function that says in a line what it found.

What is wrong it raises, so a check reads as the list of what has to be true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import IntegrityError, ReleaseError, UnknownNameError
from zoo.evaluation.decision import Decision
from zoo.release import contents, exports, manifest, parity, release, schema

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


class Subject:
    """What the checks have found so far and build on; each field is set by the check that is named."""

    def __init__(self, folder: Path, members: Sequence[str] | None, root: Path | None, source: str) -> None:
        self.folder, self.members, self.root, self.source = folder, members, root, source
        self.listing: dict[str, Any] = {}  # "manifest"
        self.spec: EnsembleSpec  # "config"
        self.decisions: dict[str, Decision] = {}  # "decision"
        self.model: Ensemble  # "weights"

    @property
    def chosen(self) -> list[str]:
        """Names of the members whose weights are looked at."""
        names = [m.name for m in self.spec.members] if self.members is None else self.members
        return [self.spec.member(name).name for name in names]

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the release."""
        return manifest.read_json(manifest.inside(self.folder, name, self.root))

    def intact(self, names: Iterable[str]) -> None:
        """Raises `IntegrityError` unless these files are the ones that the manifest lists."""
        files = self.listing["files"]
        for name in names:
            if name not in files:
                raise IntegrityError(f"{name!r} is not listed in {manifest.MANIFEST}")
            manifest.check(self.folder, {name: files[name]}, root=self.root)

    def release(self) -> release.Release:
        """The model and where it lies, without what other checks are for."""
        return release.Release(
            folder=self.folder,
            spec=self.spec,
            decision=Decision(self.spec.findings),
            member_decisions={},
            metrics={},
            provenance={},
            license="",
            storage={},
            parameters={},
            backend="",
            manifest_sha256="",
            source=self.source,
        )


def check_manifest(subject: Subject) -> str:
    """The list of files can be read, is of a format this version knows, and names no path outside."""
    listing = subject.json(manifest.MANIFEST)
    files = contents.listed(subject.folder, listing)
    manifest.check(subject.folder, files, only=(), root=subject.root)
    subject.listing = listing
    return f"format {listing['format_version']}, {len(files)} files"


def check_files(subject: Subject) -> str:
    """Each file that is listed is there with its size and sha256; of the weights only those that are looked at."""
    files = subject.listing["files"]
    left_out = set()
    if subject.members is not None:
        weights = {n for n in files if n.endswith(".safetensors") and n != parity.IMAGES}
        left_out = weights - {f"{name}.safetensors" for name in subject.members}
    problems = []
    for name in (n for n in files if n not in left_out):
        try:
            subject.intact([name])
        except ReleaseError as error:
            problems.append(one_line(subject, error))
    _require(not problems, _some(problems))
    sizes = sum(facts["size"] for name, facts in files.items() if name not in left_out and name != manifest.CARD)
    return f"size and sha256 of {len(files) - len(left_out)} files are those of the manifest ({sizes:,} bytes)"


def check_schemas(subject: Subject) -> str:
    """Each JSON file is as its schema wants it."""
    problems = []
    for name in schema.NAMES:
        try:
            problems += schema.validate(name, subject.json(f"{name}.json"))
        except ReleaseError as error:
            problems.append(one_line(subject, error))
    _require(not problems, _some(problems))
    return f"{len(schema.NAMES)} JSON files are as their schemas want them"


def check_config(subject: Subject) -> str:
    """The network is within the limits, of known backbones and heads, and labels.json has its outputs."""
    from zoo.models import architectures
    from zoo.models.heads import HEADS

    for name in ("config.json", "labels.json"):
        manifest.inside(subject.folder, name, subject.root)
    spec = contents.read_spec(subject.folder)
    contents.require(subject.folder, subject.listing["files"], spec)
    for member in spec.members:
        if member.head not in HEADS:
            raise UnknownNameError("head", member.head, HEADS)
        least = architectures.get(member.backbone).min_size
        _require(spec.image_size >= least, f"{member.name!r} takes images of {least} pixels or more")
    subject.spec = spec
    names = ", ".join(m.name for m in spec.members)
    return f"{names}; {spec.image_size} px; {len(spec.findings)} findings, labels.json has the same in the same order"


def check_decision(subject: Subject) -> str:
    """Every decision is for the same outputs in the same order, of the ensemble or a member."""
    stored, spec = subject.json("decision.json"), subject.spec
    alone = stored.get("members", {})
    _require(isinstance(alone, dict), "decision.json: members must be an object")
    for name in alone:
        _require(name in [m.name for m in spec.members], f"decision.json: {name!r} is no member")
    found = {"ensemble": stored.get("ensemble"), **alone}
    subject.decisions = {name: contents.read_decision(subject.folder, data, spec) for name, data in found.items()}
    points = ", ".join(subject.decisions["ensemble"].operating_points)
    return f"operating points {points}; of members alone: {', '.join(alone) or 'none'}; findings as in labels.json"


def check_parameters(subject: Subject) -> str:
    """The weights hold as many numbers as the manifest says."""
    subject.intact(f"{name}.safetensors" for name in subject.chosen)
    counts = contents.read_parameters(subject.folder, subject.listing, subject.spec, subject.chosen)
    return ", ".join(f"{name} {counts[name]:,}" for name in subject.chosen) + ", as the manifest says"


def check_weights(subject: Subject) -> str:
    """The weights' names and shapes are those of the network, their values finite."""
    subject.model = release.build_model(subject.release(), subject.members)
    tensors = sum(len(member.weights) for member in subject.model.members)
    return f"{tensors} tensors with the names and shapes of the network, all finite"


def check_parity(subject: Subject) -> str:
    """The network gives the golden logits on this backend."""
    import keras

    subject.intact([parity.LOGITS, parity.IMAGES])
    facts, found = subject.json(parity.LOGITS), subject.release()
    difference = parity.gap(found, subject.model)
    if len(subject.model.members) > 1:
        difference = float(np.maximum(difference, parity.gap_of_members(found, subject.model)))
    text = (
        f"golden logits of {facts.get('backend')} and those of {keras.config.backend()} here differ by {difference:.2g}"
    )
    tolerance = facts["tolerance"]
    hint = "; on an accelerator run it on the CPU" if difference <= parity.LIMIT else ": it is another network"
    # A NaN fails it too.
    _require(difference <= tolerance, f"{text}, more than {tolerance:g}{hint}")
    return f"{text} (tolerance {tolerance:g})"


def check_exports(subject: Subject) -> str:
    """Each export is of these weights and this temperature, was accepted, and holds nothing but a network."""
    files = subject.listing["files"]
    kinds = exports.carried(subject.folder, files)
    _require(not kinds or "ensemble" in subject.decisions, "not checked, since 'decision' failed")
    for kind in kinds:
        temperature = subject.decisions["ensemble"].temperature
        export = exports.check_carried(subject.folder, files, subject.spec, temperature, kind, subject.root)
        problems = schema.validate(schema.EXPORT, dict(export.facts))
        _require(not problems, f"{kind}: {_some(problems)}")
    return f"{', '.join(kinds)}: of these weights, accepted, and safe to open" if kinds else "none"


def check_metrics(subject: Subject) -> str:
    """The numbers are of the split that the provenance names, and of the same outputs."""
    metrics = subject.json("metrics.json")
    if not metrics:
        return "none: nothing was evaluated"
    provenance = contents.object_of(subject.folder, subject.listing, "provenance")
    split = contents.object_of(subject.folder, provenance, "split").get("hash")
    stated = metrics.get("split_hash")
    _require(bool(split), "provenance names no split, so the numbers are of unknown films")
    _require(stated == split, f"they are of split {_short(stated)}, the provenance is of {_short(split)}")
    findings = list(metrics.get("findings", ()))
    _require(findings == list(subject.spec.findings), "their findings are not the model's, or in another order")
    return f"{metrics.get('split')} part of split {_short(split)}, n {metrics.get('n')}, {len(findings)} findings"


def check_split(subject: Subject) -> str:
    """Nothing was fitted on the films that are reported."""
    metrics = subject.json("metrics.json")
    fitted = set()
    for name, decision in subject.decisions.items():
        points = {f"point {point!r}": p.origin for point, p in decision.operating_points.items()}
        for what, origin in {**points, "temperature": decision.temperature_origin}.items():
            if origin is None or origin.split == "none":
                continue
            _require(
                origin.split not in ("test", metrics.get("split")), f"{what} of {name} is fitted on reported films"
            )
            same = not metrics or origin.split_hash == metrics.get("split_hash")
            _require(same, f"{what} of {name} is of split {_short(origin.split_hash)}, which may hold reported films")
            fitted.add(origin.split)
    return (
        f"decisions are fitted on {', '.join(sorted(fitted)) or 'nothing'}, reported on {metrics.get('split', 'none')}"
    )


def check_card(subject: Subject) -> str:
    """The card is there, and a machine can read its front matter."""
    import yaml

    path = manifest.inside(subject.folder, manifest.CARD, subject.root)
    released = subject.listing["files"].get(manifest.CARD)
    _require(path.is_file(), f"{manifest.CARD} is missing")
    _require(path.stat().st_size <= manifest.MAX_JSON_BYTES, f"{manifest.CARD} is too large to be a card")
    lines = [line.rstrip() for line in path.read_text("utf-8-sig").lstrip().split("\n")]
    same = isinstance(released, dict) and released.get("sha256") == manifest.sha256(path)
    state = "is as it was released" if same else "was edited since"
    if lines[:1] != ["---"]:
        return f"{manifest.CARD} {state}; it has no front matter"
    _require("---" in lines[1:], "its front matter has no end: a line with --- is missing")
    try:
        # Composed only: what is built from aliases could be larger than memory.
        node = yaml.compose("\n".join(lines[1 : lines.index("---", 1)]), yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ReleaseError(f"its front matter is not YAML: {error}") from None
    _require(isinstance(node, yaml.MappingNode), "its front matter is no list of 'key: value'")
    return f"{manifest.CARD} {state}; its front matter can be read"


def one_line(subject: Subject, error: Exception) -> str:
    """An error without the folder in front, which the reader has named."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"{subject.folder}: ").removeprefix(f"{subject.folder}/")


def _require(fits: bool, otherwise: str) -> None:
    if not fits:
        raise ReleaseError(otherwise)


def _some(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _short(split_hash: object) -> str:
    return str(split_hash or "unnamed")[:12]
