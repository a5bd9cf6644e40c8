"""A release: one folder that holds a trained model and all it takes to use and to trust it.

config.json          what the model is made of; format version
<member>.safetensors the weights of each member, and nothing that could run
labels.json          the outputs, in order
decision.json        temperature and thresholds with their origin, of the ensemble and of each member
metrics.json         every number of the evaluation, with n and interval
parity.safetensors   golden images and their logits, to hold against another backend
README.md            the same for a person
manifest.json        size and sha256 of all of these, and where the run came from
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo import home
from zoo.data.images import read_image
from zoo.data.phantoms import draw_phantom
from zoo.errors import RecipeError, ReleaseError, UnknownNameError
from zoo.evaluation.decision import Decision
from zoo.hub import manifest
from zoo.specs import FORMAT_VERSION, EnsembleSpec, from_dict, to_dict

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble

#: Golden images are phantoms. Noise will not do: a trained network's logits on it reach hundreds, and differ by tens
#: between backends that agree to 1e-5 on films.
PARITY, PARITY_TOLERANCE = "parity.safetensors", 1e-4


@dataclass(frozen=True)
class Release:
    """A release folder that was read and checked, without its weights in memory.

    Attributes:
        folder: Where it lies.
        spec: What the model is made of.
        decision: Temperature and thresholds of the ensemble.
        member_decisions: The same of each member alone.
        metrics: What `metrics.json` holds.
        provenance: Recipe, seed, split hash, versions.
    """

    folder: Path
    spec: EnsembleSpec
    decision: Decision
    member_decisions: Mapping[str, Decision]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]


def write(
    folder: str | Path,
    model: Ensemble,
    spec: EnsembleSpec,
    decision: Decision,
    *,
    member_decisions: Mapping[str, Decision] | None = None,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    card: str = "",
) -> Path:
    """Writes a release folder in one step: it is there whole, or not at all. An older one of the place is replaced.

    Args:
        folder: Where it shall lie.
        model: The trained ensemble (float32 variables).
        spec: What `model` was built from.
        decision: Fitted on a tuning part; its findings are the spec's.
        member_decisions: The same of each member alone, by name.
        metrics: What the evaluation found; JSON-able.
        provenance: Recipe, seed, split hash, versions; JSON-able.
        card: Text of `README.md`.
    """
    from zoo.models.weights import save_safetensors

    if decision.findings != spec.findings:
        raise ReleaseError(f"the decision is for {decision.findings}, the model for {spec.findings}")
    with _whole(Path(folder)) as new:
        manifest.write_json(new / "config.json", {"format_version": FORMAT_VERSION, "ensemble": to_dict(spec)})
        manifest.write_json(new / "labels.json", {"findings": list(spec.findings)})
        decisions = {"ensemble": decision.to_dict()}
        decisions["members"] = {name: d.to_dict() for name, d in (member_decisions or {}).items()}
        manifest.write_json(new / "decision.json", decisions)
        manifest.write_json(new / "metrics.json", dict(metrics or {}))
        for member in model.members:
            save_safetensors(member, new / f"{member.name}.safetensors")
        _write_parity(new / PARITY, model, spec)
        (new / "README.md").write_text(card, "utf-8")
        facts = {"format_version": FORMAT_VERSION, "provenance": dict(provenance or {})}
        manifest.write_json(new / manifest.MANIFEST, {**facts, "files": manifest.describe(new)})
    return Path(folder)


def read(folder: str | Path) -> Release:
    """Reads a release folder and checks every file that its manifest lists.

    Raises:
        FileNotFoundError: No such folder.
        ReleaseError: Incomplete, altered, of a newer format, or its parts do not fit each other.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"no release folder at {folder}")
    listing = manifest.read_json(folder / manifest.MANIFEST)
    _check_version(folder, listing)
    files = listing.get("files")
    if not isinstance(files, dict):
        raise ReleaseError(f"{folder / manifest.MANIFEST}: lists no files")
    manifest.check(folder, files)
    spec = _read_spec(folder)
    _require(folder, files, spec)
    decisions = manifest.read_json(folder / "decision.json")
    return Release(
        folder=folder,
        spec=spec,
        decision=_read_decision(folder, decisions.get("ensemble"), spec),
        member_decisions={n: _read_decision(folder, d, spec) for n, d in decisions.get("members", {}).items()},
        metrics=manifest.read_json(folder / "metrics.json"),
        provenance=listing.get("provenance", {}),
    )


def build_model(release: Release, members: Sequence[str] | None = None) -> Ensemble:
    """Builds the network from our own code and fills in the release's weights; no download, no random start.

    Args:
        release: From `read`.
        members: Names of the members to take; all by default.
    """
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights import load_safetensors, uninitialized

    spec = release.spec
    if members is not None:
        wanted = {spec.member(name) for name in members}
        kept = tuple(m for m in spec.members if m in wanted)
        weights = tuple(w for w, m in zip(spec.member_weights, spec.members, strict=False) if m in wanted)
        spec = dataclasses.replace(spec, members=kept, member_weights=weights)
    with uninitialized():
        model = Ensemble.from_spec(spec)
    for member in model.members:
        load_safetensors(member, release.folder / f"{member.name}.safetensors")
    model.trainable = False
    return model


def parity_gap(release: Release, model: Ensemble) -> float:
    """Largest absolute difference of `model`'s logits to the golden ones of the release, on the running backend."""
    golden = load_file(release.folder / PARITY)
    return float(np.abs(model.predict(golden["images"], verbose=0) - golden["logits"]).max())


def copy(source: str | Path, target: str | Path) -> Path:
    """Copies a release, after checking it, whole or not at all.

    Args:
        source: A release folder, or a finished run's folder that holds one in `release/`.
        target: Where it shall lie.

    Returns:
        `target`.
    """
    source, target = Path(source).expanduser(), Path(target)
    if not (source / manifest.MANIFEST).is_file() and (source / "release" / manifest.MANIFEST).is_file():
        source = source / "release"
    read(source)
    with _whole(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)
    return target


def install(source: str | Path, name: str) -> Path:
    """Copies a run's or a folder's release to where `zoo.load(name)` finds it; returns that folder."""
    return copy(source, home.release_dir(name))


def find(name: str) -> Path | None:
    """The folder of a release installed as `name`, or None."""
    return home.release_dir(name) if name in home.installed() else None


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        new.chmod(0o755)
        if target.exists():
            if not (target / manifest.MANIFEST).is_file():
                raise ReleaseError(f"{target} exists and is no release: choose another place")
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            target.rename(old / target.name)
            new.rename(target)
            shutil.rmtree(old)
        else:
            new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_version(folder: Path, data: Mapping[str, Any]) -> None:
    version = data.get("format_version")
    if type(version) is not int or version < 1:
        raise ReleaseError(f"{folder}: format_version must be a number from 1, got {version!r}")
    if version > FORMAT_VERSION:
        raise ReleaseError(f"{folder}: format {version} is newer than {FORMAT_VERSION}: update xrayslam-zoo to load it")


def _read_spec(folder: Path) -> EnsembleSpec:
    config = manifest.read_json(folder / "config.json")
    _check_version(folder, config)
    try:
        spec = from_dict(EnsembleSpec, config.get("ensemble", {}), "ensemble")
        from zoo.models import architectures

        for member in spec.members:
            architectures.get(member.backbone)
    except (RecipeError, UnknownNameError) as error:
        raise ReleaseError(f"{folder / 'config.json'}: {error}") from None
    labels = manifest.read_json(folder / "labels.json").get("findings")
    if labels != list(spec.findings):
        raise ReleaseError(f"{folder}: labels.json and config.json differ in their findings or the order of them")
    return spec


def _require(folder: Path, files: Mapping[str, Any], spec: EnsembleSpec) -> None:
    """Each file the model is read from must be under the manifest's hash."""
    needed = ["config.json", "labels.json", "decision.json", "metrics.json", PARITY]
    for name in [*needed, *(f"{m.name}.safetensors" for m in spec.members)]:
        if name not in files:
            raise ReleaseError(f"{folder}: {name!r} is not listed in {manifest.MANIFEST}; the release is incomplete")


def _read_decision(folder: Path, data: Any, spec: EnsembleSpec) -> Decision:
    try:
        decision = Decision.from_dict(data)
    except ValueError as error:
        raise ReleaseError(f"{folder / 'decision.json'}: {error}") from None
    if decision.findings != spec.findings:
        raise ReleaseError(f"{folder / 'decision.json'}: its findings are not the model's, or in another order")
    return decision


def parity_images(size: int) -> np.ndarray:
    """uint8 (4, size, size, 1) phantoms with some findings on them."""
    shown = ((), ("Edema",), ("Pleural Effusion", "Support Devices"), ("Cardiomegaly", "Lung Lesion"))
    drawn = [draw_phantom(np.random.default_rng(i), findings)[0] for i, findings in enumerate(shown)]
    return np.stack([read_image(image, size) for image in drawn])


def _write_parity(path: Path, model: Ensemble, spec: EnsembleSpec) -> None:
    images = parity_images(spec.image_size)
    save_file({"images": images, "logits": np.asarray(model.predict(images, verbose=0), np.float32)}, path)
