"""The small files of a release, read and checked from parsed JSON, before `ReleaseFolder` gives them types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from zoo._version import __version__
from zoo.config.specs import FORMAT_VERSION, EnsembleSpec
from zoo.core.errors import EvaluationError, ReleaseError
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation, from_json
from zoo.evaluation.untrained import marked
from zoo.gate import reference
from zoo.release import layout, manifest, tested, trained_on
from zoo.release.layout import MAX_BYTES, MAX_FILES, MAX_PARAMETERS
from zoo.release.manifest import Listed


def listed(folder: Path, listing: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the files in a manifest of a supported format version."""
    check_version(folder, listing)
    files = listing.get("files")
    if not isinstance(files, dict):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: lists no files")
    if len(files) > MAX_FILES:
        raise ReleaseError(f"{folder / manifest.MANIFEST}: lists {len(files):,} files, at most {MAX_FILES:,} are read")
    return files


def require_count(folder: Path, member: str, count: object, least: int = 0) -> None:
    """Refuses a number of parameters that is no whole number from `least` to `MAX_PARAMETERS`."""
    if type(count) is not int or not least <= count <= MAX_PARAMETERS:
        raise ReleaseError(
            f"{folder / manifest.MANIFEST}: parameters of {member[:80]!r} must be {least:,} to {MAX_PARAMETERS:,}, "
            f"got {shown(count)}"
        )


def max_bytes(name: str) -> int:
    """Returns the maximum size of a file with this name; golden images, digests, gate and scores have their own."""
    own = {layout.IMAGES: MAX_BYTES, **{part.FILE: part.MAX_BYTES for part in (trained_on, reference, tested)}}
    return own[name] if name in own else manifest.max_bytes(name)


def check_version(folder: Path, data: Mapping[str, Any]) -> None:
    """Refuses a file of a newer format version than this library supports."""
    version = data.get("format_version")
    if type(version) is not int or version < 1:
        raise ReleaseError(f"{folder}: format_version must be a number from 1, got {shown(version)}")
    if version > FORMAT_VERSION:
        provenance = data.get("provenance")
        wrote = data.get("zoo") or (provenance.get("zoo") if isinstance(provenance, dict) else None)
        needs = f"xrayslam-zoo >= {manifest.plain(wrote)[:40]}" if wrote else "a newer xrayslam-zoo"
        have = f"this is {__version__} (pip install --upgrade xrayslam-zoo)"
        raise ReleaseError(f"{folder}: format {version} is newer than {FORMAT_VERSION}: it needs {needs}, {have}")


def read_members(folder: Path, decisions: Mapping[str, Any], spec: EnsembleSpec) -> dict[str, Decision]:
    """Reads the decisions of single members from `decision.json`, by name."""
    alone = decisions.get("members", {})
    if not isinstance(alone, dict):
        raise ReleaseError(f"{folder / 'decision.json'}: members must be an object, got {type(alone).__name__}")
    names = [member.name for member in spec.members]
    for name in alone:
        if name not in names:
            raise ReleaseError(f"{folder / 'decision.json'}: {name!r} is no member: the members are {', '.join(names)}")
    return {name: read_decision(folder, data, spec) for name, data in alone.items()}


def read_evaluation(metrics: Mapping[str, Any]) -> Evaluation | None:
    """Converts the contents of `metrics.json` to a typed result; None if nothing was evaluated ({}).

    Raises:
        ReleaseError: A field is missing or has the wrong type; the message gives its path.

    Example:
        >>> read_evaluation({}) is None
        True
    """
    try:
        return from_json(metrics) if metrics else None
    except EvaluationError as error:
        raise ReleaseError(str(error)) from error


def read_decision(folder: Path, data: Any, spec: EnsembleSpec) -> Decision:
    """Reads one decision of `decision.json`, for the findings of `spec` in its order."""
    try:
        decision = Decision.from_dict(data)
    except ValueError as error:
        raise ReleaseError(f"{folder / 'decision.json'}: {manifest.plain(error)}") from None
    if decision.findings != spec.findings:
        raise ReleaseError(f"{folder / 'decision.json'}: its findings are not the model's, or in another order")
    return marked(decision, spec.untrained)


def entry(facts: Any) -> Listed:
    """Returns size and sha256 of a listed file: -1 unless it is a whole number, "" unless it is text."""
    stated = facts if is_object(facts) else {}
    size, sha256 = stated.get("size"), stated.get("sha256")
    return Listed(size if type(size) is int else -1, sha256 if isinstance(sha256, str) else "")


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a parsed value is a JSON object."""
    return isinstance(value, dict)


def shown(value: object) -> str:
    """Shortens a value for an error message."""
    return manifest.plain(repr(value))[:80]
