"""Exports: a model in a form that needs no Keras, in a folder with `export.json`; and those that a release carries."""

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

#: The one export that a release may carry: int8 cannot be made from the weights alone, it takes images.
INT8 = "openvino-int8"

#: Where a release keeps it, and its files, the facts first.
FOLDER, FACTS = "exports", "export.json"
FILES = (FACTS, "model.xml", "model.bin")

#: Limits of the loss that int8 arithmetic is accepted with: of macro AUC, and of the share of decisions that stay.
MAX_AUC_LOSS, MIN_DECISIONS_KEPT = 0.002, 0.99

EXPORT_VERSION = 1


@dataclass(frozen=True)
class Export:
    """An export's folder, read and checked.

    Attributes:
        folder: Where it lies.
        facts: What `export.json` holds.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def format(self) -> str:
        """Which format the files are in."""
        return str(self.facts["format"])

    @property
    def precision(self) -> str:
        """Number type that it computes in."""
        return str(self.facts["precision"])

    @property
    def temperature(self) -> tuple[float, ...]:
        """What its logits have been divided by: one number, or one a finding; (1.0,) for Keras' own."""
        return tuple(self.facts["temperature"])


def read(folder: Path, files: Mapping[str, Any] | None = None, root: Path | None = None) -> Export:
    """Reads an export's facts, and checks each of its files.

    Args:
        folder: The export's.
        files: Name -> size and sha256, where somebody else than `export.json` says so: a release's manifest.
        root: As for `manifest.inside`.

    Raises:
        IntegrityError: A file is missing or altered.
        ReleaseError: Its facts are none.
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
    """The exports that a release's manifest lists, each whole.

    Raises:
        ReleaseError: It lists some of an export's files alone, or files that belong to none.
    """
    names = [name for name in listing if name.startswith(f"{FOLDER}/")]
    wanted = [f"{FOLDER}/{INT8}/{file}" for file in FILES]
    if names and sorted(names) != sorted(wanted):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: exports must be {', '.join(wanted)}, got {names[:4]}")
    return (INT8,) if names else ()


def belongs(name: str) -> bool:
    """Whether a file of a release is one of an export's."""
    return re.fullmatch(rf"{FOLDER}/{INT8}/({'|'.join(map(re.escape, FILES))})", name) is not None


def files_of(listing: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """An export's files as a release's manifest lists them, by their names in its folder."""
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
    """Reads an export that a release carries, as somebody else's.

    Args:
        folder: Of the release.
        listing: The manifest's files.
        spec: Of the release.
        temperature: Of the release's decision.
        kind: Which export.
        root: As for `manifest.inside`.

    Raises:
        ReleaseError: It is altered, of another model, was never accepted, or holds what no export does.
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
    """Refuses an int8 export whose stated losses are beyond the limits."""
    runs = _dict(_dict(facts, "acceptance"), "runs")
    if "float32" not in runs:
        raise ReleaseError(f"{where}: it does not say that int8 was accepted")
    for name in runs:
        if reasons := beyond(_dict(runs, name)):
            raise ReleaseError(f"{where}: int8 with {name[:20]!r} was not acceptable: {'; '.join(reasons)}")


def beyond(run: Mapping[str, Any]) -> list[str]:
    """By what an int8 network's comparison with float32 is beyond the limits; [] where it is acceptable."""
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
