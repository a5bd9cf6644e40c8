"""A release folder as one typed object that parses each of its files once.

The contents of each file, and the consistency of the files, are checked here, before a network is built. `read_release`
checks everything; `inspect` and `verify` request one part at a time and report the error of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from zoo.config.codec import read_document
from zoo.config.specs import MAX_MEMBERS, EnsembleSpec, from_dict
from zoo.config.weighting import check_stored
from zoo.core import files as disk
from zoo.core.errors import IntegrityError, RecipeError, ReleaseError, UnknownNameError, UsageError, WeightsError
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation
from zoo.gate import reference
from zoo.gate.reference import Reference
from zoo.models.weights.header import count_parameters
from zoo.release import exports, layout, manifest, tested, trained_on
from zoo.release.documents import OPEN, Golden, Manifest, Storage
from zoo.release.layout import MAX_FILES, SMALL
from zoo.release.manifest import Listed
from zoo.release.small_files import (
    check_version,
    entry,
    is_object,
    listed,
    max_bytes,
    read_decision,
    read_evaluation,
    read_members,
    require_count,
    shown,
)
from zoo.release.tested import OwnScores
from zoo.release.trained_on import TrainedOn

T = TypeVar("T")


@dataclass(frozen=True)
class ReleaseFolder:
    """A release folder. Each part is read and cached when it is first requested; `read_release` reads all parts.

    Attributes:
        folder: Path of the folder.
        root: Folder that links may lead to; None for the folder itself. A Hub cache keeps files elsewhere.
        source: Hub reference "hf://owner/repo@commit" of the release, or "".

    Each property raises a `ReleaseError` if its file is missing or broken or contradicts other files.
    """

    folder: Path
    root: Path | None = None
    source: str = ""
    _documents: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def json(self, name: str) -> dict[str, Any]:
        """Returns a JSON file of the release, which is parsed on the first call."""
        if name not in self._documents:
            self._documents[name] = manifest.read_json(manifest.inside(self.folder, name, self.root))
        return self._documents[name]

    @cached_property
    def listing(self) -> Manifest:
        """Contents of `manifest.json`, of a supported format version; every name of a file is a path in the folder."""
        data = self.json(manifest.MANIFEST)
        for name in listed(self.folder, data):
            manifest.inside(self.folder, name, self.root)
        # Said before the types are checked, in words for a reader who does not know them.
        counts = data.get("parameters")
        for name, count in counts.items() if is_object(counts) else ():
            require_count(self.folder, name, count)
        return self._read(Manifest, manifest.MANIFEST)

    @cached_property
    def entries(self) -> Mapping[str, Listed]:
        """First `MAX_FILES` files in a manifest of any version, unchecked: to describe, not to open.

        The size is -1 unless it is a whole number, the sha256 "" unless it is text.
        """
        files = self.json(manifest.MANIFEST).get("files")
        return {name: entry(facts) for name, facts in islice(files.items(), MAX_FILES)} if is_object(files) else {}

    @property
    def files(self) -> Mapping[str, Listed]:
        """Files in the manifest: name -> size and sha256."""
        return self.listing.files

    @cached_property
    def manifest_sha256(self) -> str:
        """SHA-256 of `manifest.json`, which identifies the whole release."""
        return disk.sha256(self.folder / manifest.MANIFEST)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Origin of the weights as it is stored, with the facts of this run alone; `listing.provenance` has types."""
        _ = self.listing
        found: dict[str, Any] = self.json(manifest.MANIFEST).get("provenance", {})
        return found

    @property
    def storage(self) -> Storage:
        """Number type of the stored weights, and the resulting change of the logits."""
        return self.listing.storage

    @property
    def license(self) -> str:
        """SPDX name of the licence, or "" if none is stated."""
        return self.listing.license

    @property
    def split_hash(self) -> str:
        """Hash of the training's split, or "" if none is stated."""
        return self.listing.provenance.split.hash

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Contents of `config.json`; its format version must be supported."""
        data = self.json("config.json")
        check_version(self.folder, data)
        return data

    @cached_property
    def ensemble(self) -> EnsembleSpec:
        """Specification of the model from `config.json` alone; `spec` also checks that it can be built."""
        try:
            found = from_dict(EnsembleSpec, self.json("config.json").get("ensemble", {}), "ensemble")
            check_stored(found.weighting)
            return found
        except (RecipeError, UnknownNameError) as error:
            raise ReleaseError(f"{self.folder / 'config.json'}: {manifest.plain(error)}") from None

    @cached_property
    def spec(self) -> EnsembleSpec:
        """Specification of the model: known backbones, within the limits, with the outputs in `labels.json`."""
        from zoo.models import architectures

        _ = self.config  # checks the format version
        spec = self.ensemble
        try:
            for member in spec.members:
                architectures.get(member.backbone).require_image_size(spec.image_size)
        except (UsageError, UnknownNameError) as error:
            raise ReleaseError(f"{self.folder / 'config.json'}: {manifest.plain(error)}") from None
        if self.json("labels.json").get("findings") != list(spec.findings):
            raise ReleaseError(
                f"{self.folder}: labels.json and config.json differ in their findings or the order of them"
            )
        return spec

    @cached_property
    def _decisions(self) -> tuple[Decision, Mapping[str, Decision]]:
        stored = self.json("decision.json")
        members = read_members(self.folder, stored, self.spec)
        return read_decision(self.folder, stored.get("ensemble"), self.spec), members

    @property
    def decision(self) -> Decision:
        """Temperature and thresholds of the ensemble."""
        return self._decisions[0]

    @property
    def member_decisions(self) -> Mapping[str, Decision]:
        """Temperature and thresholds of each member alone, by name."""
        return self._decisions[1]

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """Contents of `metrics.json`; None if nothing was evaluated."""
        found = read_evaluation(self.json("metrics.json"))
        if found is not None and tuple(found.findings) != self.spec.findings:
            raise ReleaseError(f"{self.folder / 'metrics.json'}: its findings are not the model's, or in another order")
        return found

    @cached_property
    def golden(self) -> Golden:
        """Golden logits in `parity.json`; `zoo.release.golden` compares them."""
        return self._read(Golden, layout.LOGITS)

    @cached_property
    def trained_on(self) -> TrainedOn | None:
        """Digests of the images that the model was trained on; None if the release has no record of them."""
        if trained_on.FILE not in self.files:
            return None
        self.check([trained_on.FILE])
        return trained_on.read(self.folder)

    @cached_property
    def gate(self) -> Reference | None:
        """What the training images look like, for quality checks; None if the release has none that can be used."""
        if reference.FILE not in self.files:
            return None
        self.check([reference.FILE])
        return reference.load(self.folder / reference.FILE)

    @cached_property
    def tested(self) -> OwnScores | None:
        """Scores of the test part, to compare a running site with; None if the release has none."""
        if tested.FILE not in self.files:
            return None
        self.check([tested.FILE])
        return tested.read(self.folder, len(self.spec.findings))

    @cached_property
    def exports(self) -> tuple[str, ...]:
        """Names of the exports in the release, such as "openvino-int8"; `zoo.release.exports` reads them."""
        return exports.carried(self.folder, self.files)

    @cached_property
    def parameters(self) -> Mapping[str, int]:
        """Number of values in each member's weights as stated in the manifest, checked against the backbones."""
        from zoo.models import architectures

        stated = self.listing.parameters
        for member in self.spec.members:
            least = architectures.get(member.backbone).parameters
            require_count(self.folder, member.name, stated.get(member.name), least)
        return stated

    def weights(self, members: Sequence[str] | None = None) -> list[str]:
        """Returns the names of the weights files of these members; all by default."""
        chosen = [m.name for m in self.spec.members] if members is None else [self.spec.member(m).name for m in members]
        return [f"{name}.safetensors" for name in dict.fromkeys(chosen)]

    def check(self, names: Collection[str]) -> None:
        """Raises `IntegrityError` unless these files match the manifest; other files are not opened."""
        for name in names:
            if name not in self.entries:
                raise IntegrityError(f"{name!r} is not listed in {manifest.MANIFEST}")
            path, limit = manifest.inside(self.folder, name, self.root), self._limit(name)
            if (size := self.entries[name].size) > limit:
                raise IntegrityError(f"{path}: {size:,} bytes are too many for this file (at most {limit:,})")
        manifest.check(self.folder, {name: self.entries[name] for name in names}, root=self.root)

    def check_counts(self, members: Collection[str] | None = None) -> None:
        """Raises `ReleaseError` unless these members' weights contain as many numbers as the manifest states."""
        for file in self.weights(None if members is None else [*members]):
            try:
                held = count_parameters(self.folder / file)
            except WeightsError as error:
                raise ReleaseError(str(error)) from None
            if held != (n := self.parameters[file.removesuffix(".safetensors")]):
                raise ReleaseError(f"{self.folder / file}: {held:,} numbers, the manifest says {n:,}")

    def require(self, spec: EnsembleSpec | None = None) -> None:
        """Checks that the manifest lists every required file (without a spec: except the weights).

        A file larger than any file of a release is refused here, before the time is spent to hash it.
        """
        files = listed(self.folder, self.json(manifest.MANIFEST))
        for name in (*SMALL, *(f"{m.name}.safetensors" for m in (spec.members if spec else ()))):
            if name not in files:
                raise ReleaseError(
                    f"{self.folder}: {name!r} is not listed in {manifest.MANIFEST}; the release is incomplete"
                )
            if not 0 <= self.entries[name].size <= max_bytes(name):
                stated = files[name].get("size") if is_object(files[name]) else None
                raise ReleaseError(
                    f"{self.folder / manifest.MANIFEST}: the size of {name!r} must be 0 to {max_bytes(name):,} bytes, "
                    f"got {shown(stated)}"
                )

    def _limit(self, name: str) -> int:
        """Returns the maximum size of a listed file; all files except exports and weights are small."""
        counts = self.json(manifest.MANIFEST).get("parameters")
        members = list(islice(counts, MAX_MEMBERS)) if is_object(counts) else []
        large = (
            name in (*SMALL, trained_on.FILE, reference.FILE, tested.FILE)
            or exports.belongs(name)
            or name in [f"{member}.safetensors" for member in members]
        )
        return max_bytes(name) if large else min(max_bytes(name), manifest.MAX_JSON_BYTES)

    def _read(self, cls: type[T], name: str) -> T:
        """Reads a file by its type."""
        try:
            return read_document(cls, self.json(name), OPEN.__contains__)
        except (RecipeError, UnknownNameError) as error:
            raise ReleaseError(f"{self.folder / name}: {manifest.plain(error)}") from None
