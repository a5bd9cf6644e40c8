"""The network of a release, built from our own code and filled with the weights of the release."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import ReleaseError, UnknownNameError, WeightsError
from zoo.core.process import require_own_process
from zoo.evaluation.decision import Decision
from zoo.release import golden, manifest
from zoo.release.folder import ReleaseFolder

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


def build_model(release: ReleaseFolder, members: Sequence[str] | None = None) -> Ensemble:
    """Builds the network from our own code and fills in the release's weights; no download, no random start.

    Args:
        release: From `read_release`.
        members: Names of the members to take; all by default.

    Raises:
        ReleaseError: The weights are not those of the network, not finite, or not readable.
        StateError: This process was forked from one that had already loaded a model.
    """
    from zoo.models.heads import HEADS

    require_own_process()
    spec = release.spec
    if strange := [m.head for m in spec.members if m.head not in HEADS]:
        unknown = UnknownNameError("head", strange[0], HEADS, "zoo.register_head adds one.")
        raise ReleaseError(f"{release.folder / 'config.json'}: {unknown}")
    if members is not None:
        wanted = {spec.member(name) for name in members}
        kept = tuple(m for m in spec.members if m in wanted)
        weights = tuple(w for w, m in zip(spec.member_weights, spec.members, strict=False) if m in wanted)
        spec = dataclasses.replace(spec, members=kept, member_weights=weights)
    try:
        return load_members(spec, release.folder)
    except WeightsError as error:
        raise ReleaseError(str(error)) from error


def build_checked(release: ReleaseFolder, members: Sequence[str] | None = None) -> Ensemble:
    """The network as `build_model` gives it, after its logits were held against the golden ones.

    Raises:
        ReleaseError: As for `build_model`; or it is another network than was released (see `golden.check`).
    """
    model = build_model(release, members)
    golden.check(release, model)
    return model


def decision_of(release: ReleaseFolder, members: Sequence[str] | None = None) -> Decision | None:
    """The decision that was fitted for exactly these members (all by default), or None."""
    if members is None or {*members} == {m.name for m in release.spec.members}:
        return release.decision
    return release.member_decisions.get(members[0]) if len(members) == 1 else None


def load_members(spec: EnsembleSpec, folder: Path) -> Ensemble:
    """The network of `spec` with the weights in `<member>.safetensors` of a folder.

    Raises:
        WeightsError: No network can be built, or the weights are not its own, not finite, or not readable.
    """
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights.files import build_uninitialized, load_safetensors

    try:
        model = build_uninitialized(lambda: Ensemble.from_spec(spec))
    except (ValueError, TypeError) as error:
        # Keras has names of its own that no layer may have, and sizes that a network cannot take.
        raise WeightsError(f"{folder}: no network can be built as config.json says: {manifest.plain(error)}") from error
    for member in model.members:
        load_safetensors(member, folder / f"{member.name}.safetensors")
    model.trainable = False
    return model
