"""Exports: models in formats that do not need Keras, each in a folder with `export.json`, also inside releases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import ReleaseError
from zoo.release import manifest, openvino_ir

Format = Literal["openvino", "onnx", "litert", "saved_model"]
Precision = Literal["float32", "bfloat16", "int8"]

#: The only export that a release may include: making int8 needs images in addition to the weights.
INT8 = "openvino-int8"

#: Folder of an export in a release, and its files, starting with the facts.
FOLDER, FACTS = "exports", "export.json"
FILES = (FACTS, "model.xml", "model.bin")

#: Acceptance limits of int8: loss of macro AUC, and share of unchanged decisions.
MAX_AUC_LOSS, MIN_DECISIONS_KEPT = 0.002, 0.99

EXPORT_VERSION = 1


@dataclass(frozen=True)
class Export:
    """An export that has been read and checked.

    Attributes:
        folder: Folder of the export.
        facts: Contents of `export.json`.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def format(self) -> str:
        """Format of the files."""
        return str(self.facts["format"])

    @property
    def precision(self) -> str:
        """Number type of the arithmetic."""
        return str(self.facts["precision"])

    @property
    def temperature(self) -> tuple[float, ...]:
        """Divisor of the logits: one number, or one per finding; (1.0,) for logits equal to those of Keras."""
        return tuple(self.facts["temperature"])


def read(folder: Path, files: Mapping[str, Any] | None = None, root: Path | None = None) -> Export:
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
    facts = manifest.read_json(folder / FACTS)
    if facts.get("format_version") != EXPORT_VERSION:
        raise ReleaseError(f"{folder / FACTS}: format {str(facts.get('format_version'))[:20]} is not {EXPORT_VERSION}")
    listed, temperature = facts.get("files"), facts.get("temperature")
    numbers = isinstance(temperature, list) and all(isinstance(t, int | float) and t > 0 for t in temperature)
    texts = all(isinstance(facts.get(key), str) for key in ("format", "precision"))
    if not isinstance(listed, dict) or not numbers or not texts:
        raise ReleaseError(f"{folder / FACTS}: names no files, format, precision or temperature")
    if files is None:
        manifest.check(folder, listed, root=root)
    return Export(folder, facts)


def carried(folder: Path, listing: Mapping[str, Any]) -> tuple[str, ...]:
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


def files_of(listing: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Selects an export's files from a release's manifest, by their names in the export's folder."""
    prefix = f"{FOLDER}/{kind}/"
    return {name.removeprefix(prefix): facts for name, facts in listing.items() if name.startswith(prefix)}


def check_carried(
    folder: Path,
    listing: Mapping[str, Any],
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
    if files.get("model.xml", {}).get("size", 0) > openvino_ir.MAX_XML_BYTES:
        raise ReleaseError(f"{place / 'model.xml'}: more than {openvino_ir.MAX_XML_BYTES:,} bytes; it is not loaded")
    export = read(place, files, root or folder)
    facts, where = export.facts, place / FACTS
    weights = {f"{m.name}.safetensors": listing[f"{m.name}.safetensors"]["sha256"] for m in spec.members}
    expected = {
        "format": "openvino",
        "precision": "int8",
        "image_size": spec.image_size,
        "findings": list(spec.findings),
        "members": [m.name for m in spec.members],
        # Earlier versions divided the logits of int8 exports by the release's temperature.
        "temperature": list(temperature) if facts["temperature"] != [1.0] else [1.0],
    }
    for key, value in expected.items():
        if facts.get(key) != value:
            raise ReleaseError(
                f"{where}: {key} is not the release's ({str(facts.get(key))[:80]}, not {str(value)[:80]})"
            )
    if _dict(facts, "source").get("weights") != weights:
        raise ReleaseError(f"{where}: it was made from other weights than the release's")
    check_accepted(facts, where)
    openvino_ir.check(place / "model.xml", (place / "model.bin").stat().st_size, spec.image_size, len(spec.findings))
    return export


def check_accepted(facts: Mapping[str, Any], where: Path) -> None:
    """Refuses an int8 export whose stated losses exceed the limits."""
    runs = _dict(_dict(facts, "acceptance"), "runs")
    if "float32" not in runs:
        raise ReleaseError(f"{where}: it does not say that int8 was accepted")
    for name in runs:
        if reasons := beyond(_dict(runs, name)):
            raise ReleaseError(f"{where}: int8 with {name[:20]!r} was not acceptable: {'; '.join(reasons)}")


def beyond(run: Mapping[str, Any]) -> list[str]:
    """Lists how an int8 network's losses exceed the limits; [] if it is acceptable."""
    loss, kept = _value(run, "auc_loss"), _value(run, "decisions_kept")
    reasons = []
    if not loss <= MAX_AUC_LOSS:
        reasons.append(f"macro AUC falls by {loss:.4f}, more than {MAX_AUC_LOSS}")
    if not kept >= MIN_DECISIONS_KEPT:
        reasons.append(f"{100 * kept:.2f} % of decisions stay, fewer than {100 * MIN_DECISIONS_KEPT:g} %")
    return reasons


def _value(run: Mapping[str, Any], key: str) -> float:
    value = _dict(run, key).get("value")
    return float(value) if isinstance(value, int | float) else float("nan")


def _dict(facts: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = facts.get(key)
    return value if isinstance(value, dict) else {}
