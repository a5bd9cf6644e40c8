"""What the files of a release must say, and how they must fit each other; checked before a network is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from zoo._version import __version__
from zoo.config.specs import FORMAT_VERSION, EnsembleSpec, from_dict
from zoo.core.errors import EvaluationError, RecipeError, ReleaseError, UnknownNameError, WeightsError
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation, from_json
from zoo.models.weights.header import count_parameters
from zoo.release import manifest, parity

#: The files beside weights and card that a release is read from; the manifest lists them.
SMALL = ("config.json", "labels.json", "decision.json", "metrics.json", parity.LOGITS, parity.IMAGES)

#: More numbers than any network of the zoo has in one member, and more files than any release.
MAX_PARAMETERS, MAX_FILES = 1_000_000_000, 1000

#: Endings of files that can run code when they are opened, or crash the process. No release needs one.
_PICKLES = {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
_MODELS = {".h5", ".hdf5", ".keras", ".onnx", ".pb"}
_PROGRAMS = {".dll", ".dylib", ".exe", ".ps1", ".py", ".pyc", ".pyd", ".sh", ".so"}
UNSAFE = frozenset(_PICKLES | _MODELS | _PROGRAMS | {".tar", ".zip"})


def listed(folder: Path, listing: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's files, of a format that this version reads."""
    check_version(folder, listing)
    files = listing.get("files")
    if not isinstance(files, dict):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: lists no files")
    if len(files) > MAX_FILES:
        raise ReleaseError(f"{folder / manifest.MANIFEST}: lists {len(files):,} files, at most {MAX_FILES:,} are read")
    return files


def unsafe_alone(names: Iterable[str]) -> list[str]:
    """The files that may hold weights in unsafe formats, where no file holds them in a safe one."""
    names = list(names)
    safe = any(name.endswith(".safetensors") for name in names)
    return [] if safe else [name for name in names if PurePosixPath(name).suffix.lower() in _PICKLES | _MODELS]


def max_bytes(name: str) -> int:
    """The size that no file of a release of this name exceeds; the golden images have their own."""
    return parity.MAX_BYTES if name == parity.IMAGES else manifest.max_bytes(name)


def object_of(folder: Path, listing: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under `key` of the manifest, {} where there is none."""
    value = listing.get(key, {})
    if not isinstance(value, dict):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: {key} must be an object, got {type(value).__name__}")
    return value


def check_version(folder: Path, data: Mapping[str, Any]) -> None:
    """Refuses a file of a newer format than this version reads."""
    version = data.get("format_version")
    if type(version) is not int or version < 1:
        raise ReleaseError(f"{folder}: format_version must be a number from 1, got {_shown(version)}")
    if version > FORMAT_VERSION:
        provenance = data.get("provenance")
        wrote = data.get("zoo") or (provenance.get("zoo") if isinstance(provenance, dict) else None)
        needs = f"xrayslam-zoo >= {manifest.plain(wrote)[:40]}" if wrote else "a newer xrayslam-zoo"
        have = f"this is {__version__} (pip install --upgrade xrayslam-zoo)"
        raise ReleaseError(f"{folder}: format {version} is newer than {FORMAT_VERSION}: it needs {needs}, {have}")


def read_spec(folder: Path) -> EnsembleSpec:
    """What the model is made of: known backbones and heads, within the limits, outputs as `labels.json` has them."""
    config = manifest.read_json(folder / "config.json")
    check_version(folder, config)
    from zoo.models import architectures

    try:
        spec = from_dict(EnsembleSpec, config.get("ensemble", {}), "ensemble")
        for member in spec.members:
            least = architectures.get(member.backbone).min_size
            if spec.image_size < least:
                raise RecipeError(f"{member.backbone!r} takes images of {least} px or more, not {spec.image_size}")
    except (RecipeError, UnknownNameError) as error:
        raise ReleaseError(f"{folder / 'config.json'}: {manifest.plain(error)}") from None
    labels = manifest.read_json(folder / "labels.json").get("findings")
    if labels != list(spec.findings):
        raise ReleaseError(f"{folder}: labels.json and config.json differ in their findings or the order of them")
    return spec


def require(folder: Path, files: Mapping[str, Any], spec: EnsembleSpec | None = None) -> None:
    """Each file the model is read from (without a spec: each but the weights) must be under the manifest's hash.

    A size that no file of a release has is refused here: hashing it would already take long.
    """
    for name in (*SMALL, *(f"{m.name}.safetensors" for m in (spec.members if spec else ()))):
        if name not in files:
            raise ReleaseError(f"{folder}: {name!r} is not listed in {manifest.MANIFEST}; the release is incomplete")
        size = files[name].get("size") if isinstance(files[name], dict) else None
        if type(size) is not int or not 0 <= size <= max_bytes(name):
            raise ReleaseError(
                f"{folder / manifest.MANIFEST}: the size of {name!r} must be 0 to {max_bytes(name):,} bytes, got "
                f"{_shown(size)}"
            )


def read_evaluation(metrics: Mapping[str, Any]) -> Evaluation | None:
    """What `metrics.json` holds as a typed result; None where nothing was evaluated ({}).

    Raises:
        ReleaseError: Something is missing or of another type; says where.
    """
    try:
        return from_json(metrics) if metrics else None
    except EvaluationError as error:
        raise ReleaseError(str(error)) from error


def read_decision(folder: Path, data: Any, spec: EnsembleSpec) -> Decision:
    """One decision of `decision.json`, for the findings of `spec` in its order."""
    try:
        decision = Decision.from_dict(data)
    except ValueError as error:
        raise ReleaseError(f"{folder / 'decision.json'}: {manifest.plain(error)}") from None
    if decision.findings != spec.findings:
        raise ReleaseError(f"{folder / 'decision.json'}: its findings are not the model's, or in another order")
    return decision


def read_parameters(
    folder: Path, listing: Mapping[str, Any], spec: EnsembleSpec, members: Collection[str]
) -> Mapping[str, int]:
    """Numbers in each member's weights: the files of `members` agree with the manifest, and it with the backbones."""
    from zoo.models import architectures

    stated = object_of(folder, listing, "parameters")
    for member in spec.members:
        n, backbone = stated.get(member.name), architectures.get(member.backbone)
        if type(n) is not int or not backbone.parameters <= n <= MAX_PARAMETERS:
            least = f"{backbone.parameters:,} to {MAX_PARAMETERS:,}"
            raise ReleaseError(
                f"{folder / manifest.MANIFEST}: parameters of {member.name!r} must be {least}, got {_shown(n)}"
            )
        if member.name not in members:
            continue
        try:
            held = count_parameters(folder / f"{member.name}.safetensors")
        except WeightsError as error:
            raise ReleaseError(str(error)) from None
        if held != n:
            raise ReleaseError(f"{folder / member.name}.safetensors: {held:,} numbers, the manifest says {n:,}")
    return stated


def _shown(value: object) -> str:
    """What came, for an error: not endless."""
    return manifest.plain(repr(value))[:80]
