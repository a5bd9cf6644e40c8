"""Exports: models in formats that do not need Keras, each in a folder with `export.json`, also inside releases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.config.codec import read_document
from zoo.config.specs import EnsembleSpec
from zoo.core.errors import RecipeError, ReleaseError
from zoo.release import manifest, openvino_ir
from zoo.release.documents import OPEN
from zoo.release.export_facts import ExportFacts, Loss
from zoo.release.layout import (
    EXPORT_VERSION,
    FACTS,
    FILES,
    FOLDER,
    INT8,
    MAX_AUC_LOSS,
    MAX_INT8_DIFFERENCE,
    MIN_DECISIONS_KEPT,
)
from zoo.release.manifest import Listed


@dataclass(frozen=True)
class Export:
    """An export that has been read and checked.

    Attributes:
        folder: Folder of the export.
        facts: Contents of `export.json`.
        checked: The files whose size and sha256 were compared, by name; by default those that the facts name.
    """

    folder: Path
    facts: ExportFacts
    checked: Mapping[str, Listed] | None = None

    @property
    def temperature(self) -> tuple[float, ...]:
        """Divisor of the logits: one number, or one per finding; (1.0,) for logits equal to those of Keras."""
        return self.facts.temperature

    @property
    def content(self) -> dict[str, str]:
        """The sha256 of each file."""
        files = self.facts.files if self.checked is None else self.checked
        return {name: listed.sha256 for name, listed in files.items()}


def read(folder: Path, files: Mapping[str, Listed] | None = None, root: Path | None = None) -> Export:
    """Reads an export's facts and checks its files.

    Args:
        folder: Folder of the export.
        files: Name -> size and sha256 from a release's manifest; by default those in `export.json`.
        root: Folder that links may lead to; `folder` by default.

    Raises:
        IntegrityError: A file is missing or altered.
        ReleaseError: `export.json` is invalid.
    """
    if files is not None:
        manifest.check(folder, files, root=root)
    data = manifest.read_json(folder / FACTS)
    if data.get("format_version") != EXPORT_VERSION:
        raise ReleaseError(f"{folder / FACTS}: format {str(data.get('format_version'))[:20]} is not {EXPORT_VERSION}")
    try:
        facts = read_document(ExportFacts, data, OPEN.__contains__)
    except RecipeError as error:
        raise ReleaseError(f"{folder / FACTS}: {manifest.plain(error)}") from None
    if files is None:
        manifest.check(folder, facts.files, root=root)
    return Export(folder, facts, files)


def carried(folder: Path, listing: Collection[str]) -> tuple[str, ...]:
    """Returns the names of the complete exports in a release's manifest.

    Raises:
        ReleaseError: The manifest lists only some files of an export, or files that belong to no export.
    """
    names = [name for name in listing if name.startswith(f"{FOLDER}/")]
    wanted = [f"{FOLDER}/{INT8}/{file}" for file in FILES]
    if names and sorted(names) != sorted(wanted):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: exports must be {', '.join(wanted)}, got {names[:4]}")
    return (INT8,) if names else ()


def belongs(name: str) -> bool:
    """Whether a file of a release belongs to an export.

    >>> belongs("exports/openvino-int8/export.json"), belongs("config.json")
    (True, False)
    """
    return re.fullmatch(rf"{FOLDER}/{INT8}/({'|'.join(map(re.escape, FILES))})", name) is not None


def files_of(listing: Mapping[str, Listed], kind: str) -> dict[str, Listed]:
    """Selects an export's files from a release's manifest, by their names in the export's folder."""
    prefix = f"{FOLDER}/{kind}/"
    return {name.removeprefix(prefix): facts for name, facts in listing.items() if name.startswith(prefix)}


def check_carried(
    folder: Path,
    listing: Mapping[str, Listed],
    spec: EnsembleSpec,
    temperature: Sequence[float],
    kind: str = INT8,
    root: Path | None = None,
) -> Export:
    """Reads an export inside a release and checks it as untrusted data.

    Args:
        folder: Folder of the release.
        listing: Files in the manifest.
        spec: Specification of the release.
        temperature: Temperature of the release's decision.
        kind: Name of the export.
        root: Folder that links may lead to; `folder` by default.

    Raises:
        ReleaseError: The export is altered, was made from another model, was not accepted, or has forbidden content.
    """
    place = folder / FOLDER / kind
    files = files_of(listing, kind)
    if "model.xml" in files and files["model.xml"].size > openvino_ir.MAX_XML_BYTES:
        raise ReleaseError(f"{place / 'model.xml'}: more than {openvino_ir.MAX_XML_BYTES:,} bytes; it is not loaded")
    export = read(place, files, root or folder)
    facts, where = export.facts, place / FACTS
    members = tuple(m.name for m in spec.members)
    # Earlier versions divided the logits of int8 exports by the release's temperature.
    divisor = tuple(temperature) if facts.temperature != (1.0,) else (1.0,)
    stated = (facts.format, facts.precision, facts.image_size, facts.findings, facts.members, facts.temperature)
    expected = ("openvino", "int8", spec.image_size, spec.findings, members, divisor)
    keys = ("format", "precision", "image_size", "findings", "members", "temperature")
    for key, ours, theirs in zip(keys, expected, stated, strict=True):
        if theirs != ours:
            raise ReleaseError(f"{where}: {key} is not the release's ({str(theirs)[:80]}, not {str(ours)[:80]})")
    if facts.source.weights != {f"{name}.safetensors": listing[f"{name}.safetensors"].sha256 for name in members}:
        raise ReleaseError(f"{where}: it was made from other weights than the release's")
    check_accepted(facts, where)
    openvino_ir.check(place / "model.xml", (place / "model.bin").stat().st_size, spec.image_size, len(spec.findings))
    return export


def check_accepted(facts: ExportFacts, where: Path) -> None:
    """Refuses an int8 export whose stated losses, or difference from Keras, exceed the limits."""
    if facts.acceptance is None:
        raise ReleaseError(f"{where}: it does not say that int8 was accepted")
    for name, run in facts.acceptance.runs.items():
        if reasons := beyond(run):
            raise ReleaseError(f"{where}: int8 with {name[:20]!r} was not acceptable: {'; '.join(reasons)}")
    difference = facts.check.difference * max(facts.temperature)
    if not difference <= MAX_INT8_DIFFERENCE:
        raise ReleaseError(
            f"{where}: it states that a logit of int8 differs by {difference:.3g} from Keras, more than "
            f"{MAX_INT8_DIFFERENCE:g}: use precision 'float32' or 'auto'"
        )


def beyond(run: Loss) -> list[str]:
    """Lists how an int8 network's losses exceed the limits; [] if it is acceptable."""
    loss, kept = run.auc_loss.value, run.decisions_kept.value
    reasons = []
    # Written so that NaN exceeds them as well.
    if not loss <= MAX_AUC_LOSS:
        reasons.append(f"macro AUC falls by {loss:.4f}, more than {MAX_AUC_LOSS}")
    if not kept >= MIN_DECISIONS_KEPT:
        reasons.append(f"{100 * kept:.2f} % of decisions stay, fewer than {100 * MIN_DECISIONS_KEPT:g} %")
    return reasons
