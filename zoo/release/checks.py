"""The individual checks of `zoo.release.verify`.

Each check returns a line that says what it found, and raises an error if something is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.core.errors import ReleaseError, UnknownNameError
from zoo.gate import reference
from zoo.release import exports, golden, layout, manifest, schema, tested, trained_on
from zoo.release.build import build_model
from zoo.release.folder import ReleaseFolder

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


class Subject:
    """The release under test, and its network after the check "weights" has built it."""

    model: Ensemble

    def __init__(self, found: ReleaseFolder, members: Sequence[str] | None) -> None:
        self.found, self.members = found, members

    @property
    def weights(self) -> list[str]:
        """Names of the weights files of the members under test."""
        return self.found.weights(self.members)


def check_manifest(subject: Subject) -> str:
    """Checks that the list of files is readable, in a known format version, and has no path outside the folder."""
    found = subject.found
    return f"format {found.listing.format_version}, {len(found.files)} files"


def check_files(subject: Subject) -> str:
    """Checks size and sha256 of each listed file; weights files only of the members under test."""
    files = subject.found.files
    left_out = set()
    if subject.members is not None:
        others = {layout.IMAGES, trained_on.FILE, reference.FILE, tested.FILE}
        weights = {n for n in files if n.endswith(".safetensors")} - others
        left_out = weights - {f"{name}.safetensors" for name in subject.members}
    problems = []
    for name in (n for n in files if n not in left_out):
        try:
            subject.found.check([name])
        except ReleaseError as error:
            problems.append(one_line(subject, error))
    _require(not problems, _some(problems))
    sizes = sum(facts.size for name, facts in files.items() if name not in left_out and name != manifest.CARD)
    return f"size and sha256 of {len(files) - len(left_out)} files are those of the manifest ({sizes:,} bytes)"


def check_schemas(subject: Subject) -> str:
    """Reads each JSON file by its type, with all limits that its schema states."""
    problems = []
    for name in schema.NAMES:
        try:
            problems += schema.validate(name, subject.found.json(f"{name}.json"))
        except ReleaseError as error:
            problems.append(one_line(subject, error))
    _require(not problems, _some(problems))
    return f"{len(schema.NAMES)} JSON files are as their schemas want them"


def check_config(subject: Subject) -> str:
    """Checks that the network is within the limits, has known parts, and has the outputs in labels.json."""
    from zoo.models.heads import HEADS

    spec = subject.found.spec
    subject.found.require(spec)
    for member in spec.members:
        if member.head not in HEADS:
            raise UnknownNameError("head", member.head, HEADS)
    names = ", ".join(m.name for m in spec.members)
    return f"{names}; {spec.image_size} px; {len(spec.findings)} findings, labels.json has the same in the same order"


def check_decision(subject: Subject) -> str:
    """Checks that each decision belongs to the ensemble or a member, and has the same outputs in the same order."""
    found = subject.found
    alone = ", ".join(found.member_decisions) or "none"
    points = ", ".join(found.decision.operating_points)
    return f"operating points {points}; of members alone: {alone}; findings as in labels.json"


def check_parameters(subject: Subject) -> str:
    """Checks that the weights contain as many numbers as the manifest states."""
    found = subject.found
    found.check(subject.weights)
    found.check_counts(subject.members)
    names = [file.removesuffix(".safetensors") for file in subject.weights]
    return ", ".join(f"{name} {found.parameters[name]:,}" for name in names) + ", as the manifest says"


def check_weights(subject: Subject) -> str:
    """Checks that the weights have the network's names and shapes and are finite."""
    subject.model = build_model(subject.found, subject.members)
    tensors = sum(len(member.weights) for member in subject.model.members)
    return f"{tensors} tensors with the names and shapes of the network, all finite"


def check_parity(subject: Subject) -> str:
    """Checks that the network reproduces the golden logits on this backend."""
    import keras

    found = subject.found
    found.check([layout.LOGITS, layout.IMAGES])
    facts = found.golden
    difference = golden.gap(found, subject.model)
    if len(subject.model.members) > 1:
        difference = float(np.maximum(difference, golden.gap_of_members(found, subject.model)))
    text = f"golden logits of {facts.backend} and those of {keras.config.backend()} here differ by {difference:.2g}"
    tolerance = facts.tolerance
    hint = "; on an accelerator run it on the CPU" if difference <= layout.LIMIT else ": it is another network"
    # Written so that NaN fails as well.
    _require(difference <= tolerance, f"{text}, more than {tolerance:g}{hint}")
    return f"{text} (tolerance {tolerance:g})"


def check_exports(subject: Subject) -> str:
    """Checks that each export has these weights and this temperature, was accepted, and contains only a network."""
    found = subject.found
    files, kinds = found.files, found.exports
    for kind in kinds:
        exports.check_carried(found.folder, files, found.spec, found.decision.temperature, kind, found.root)
    return f"{', '.join(kinds)}: of these weights, accepted, and safe to open" if kinds else "none"


def check_trained_on(subject: Subject) -> str:
    """Checks the record of the images that the model was trained on."""
    record = subject.found.trained_on
    return f"{record}" if record is not None else "unknown: the release has no record of the images"


def check_gate(subject: Subject) -> str:
    """Checks the reference that the quality of images is judged by."""
    gate = subject.found.gate
    if gate is None:
        return "none that this version can use: the quality of images is unknown"
    return f"quality checks {gate}"


def check_tested(subject: Subject) -> str:
    """Checks the scores of the test part, which a running site is compared with."""
    scores = subject.found.tested
    return f"{scores}" if scores is not None else "none: `zoo monitor` needs a file of a reference period"


def check_metrics(subject: Subject) -> str:
    """Checks that the metrics have the split named in the provenance, and the outputs of the network."""
    metrics = subject.found.evaluation
    if metrics is None:
        return "none: nothing was evaluated"
    split = subject.found.split_hash
    _require(bool(split), "provenance names no split, so the numbers are of unknown images")
    stated = _short(metrics.split_hash)
    _require(metrics.split_hash == split, f"they are of split {stated}, the provenance is of {_short(split)}")
    return f"{metrics.split} part of split {_short(split)}, n {metrics.n}, {len(metrics.findings)} findings"


def check_split(subject: Subject) -> str:
    """Checks that nothing was fitted on the images of the reported metrics."""
    metrics = subject.found.evaluation
    reported = metrics.split if metrics else "none"
    fitted = set()
    found = subject.found
    for name, decision in {"ensemble": found.decision, **found.member_decisions}.items():
        points = {f"point {point!r}": p.origin for point, p in decision.operating_points.items()}
        for what, origin in {**points, "temperature": decision.temperature_origin}.items():
            if origin is None or origin.split == "none":
                continue
            _require(origin.split not in ("test", reported), f"{what} of {name} is fitted on reported images")
            same = metrics is None or origin.split_hash == metrics.split_hash
            _require(same, f"{what} of {name} is of split {_short(origin.split_hash)}, which may hold reported images")
            fitted.add(origin.split)
    return f"decisions are fitted on {', '.join(sorted(fitted)) or 'nothing'}, reported on {reported}"


def check_card(subject: Subject) -> str:
    """Checks that the card exists and that its front matter can be parsed."""
    import yaml

    path = manifest.inside(subject.found.folder, manifest.CARD, subject.found.root)
    released = subject.found.files.get(manifest.CARD)
    _require(path.is_file(), f"{manifest.CARD} is missing")
    _require(path.stat().st_size <= manifest.max_bytes(manifest.CARD), f"{manifest.CARD} is too large to be a card")
    lines = [line.rstrip() for line in path.read_text("utf-8-sig").lstrip().split("\n")]
    same = released is not None and released.sha256 == manifest.sha256(path)
    state = "is as it was released" if same else "was edited since"
    if lines[:1] != ["---"]:
        return f"{manifest.CARD} {state}; it has no front matter"
    _require("---" in lines[1:], "its front matter has no end: a line with --- is missing")
    try:
        # Composes nodes without constructing objects, which aliases could expand beyond memory.
        node = yaml.compose("\n".join(lines[1 : lines.index("---", 1)]), yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ReleaseError(f"its front matter is not YAML: {error}") from None
    _require(isinstance(node, yaml.MappingNode), "its front matter is no list of 'key: value'")
    return f"{manifest.CARD} {state}; its front matter can be read"


def one_line(subject: Subject, error: Exception) -> str:
    """Formats an error in one line, without the leading folder name, which the caller has already stated."""
    text = " ".join(str(error).split()) or type(error).__name__
    folder = subject.found.folder
    return text.removeprefix(f"{folder}: ").removeprefix(f"{folder}/")


def _require(fits: bool, otherwise: str) -> None:
    if not fits:
        raise ReleaseError(otherwise)


def _some(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _short(split_hash: object) -> str:
    return str(split_hash or "unnamed")[:12]
