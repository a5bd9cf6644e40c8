"""Builds the network of a release from the zoo's own code and loads the weights of the release."""

from __future__ import annotations

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
    """Builds the network from the zoo's own code and loads the release's weights, without downloads or random weights.

    Args:
        release: Release from `read_release`.
        members: Names of the members to take; all by default.

    Raises:
        ReleaseError: The weights do not fit the network, are not finite, or cannot be read.
        StateError: This process was forked from one that had already loaded a model.
    """
    from zoo.models.heads import HEADS

    require_own_process()
    spec = release.spec
    if strange := [m.head for m in spec.members if m.head not in HEADS]:
        unknown = UnknownNameError("head", strange[0], HEADS, "zoo.register_head adds one.")
        raise ReleaseError(f"{release.folder / 'config.json'}: {unknown}")
    if members is not None:
        spec = spec.only({spec.member(name).name for name in members})
    try:
        return load_members(spec, release.folder)
    except WeightsError as error:
        raise ReleaseError(str(error)) from error


def build_checked(release: ReleaseFolder, members: Sequence[str] | None = None) -> Ensemble:
    """Builds the network like `build_model`, and compares its logits with the golden logits.

    Raises:
        ReleaseError: The weights cannot be used, or the network differs from the released one (see `golden.check`).
    """
    model = build_model(release, members)
    golden.check(release, model)
    return model


def decision_of(release: ReleaseFolder, members: Sequence[str] | None = None) -> Decision | None:
    """Returns the decision that was fitted for exactly these members (all by default), or None."""
    if members is None or {*members} == {m.name for m in release.spec.members}:
        return release.decision
    return release.member_decisions.get(members[0]) if len(members) == 1 else None


def load_members(spec: EnsembleSpec, folder: Path) -> Ensemble:
    """Builds the network of `spec` with the weights in the files `<member>.safetensors` in a folder.

    Raises:
        WeightsError: The network cannot be built, or the weights do not fit it, are not finite, or cannot be read.
    """
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights.files import build_uninitialized, load_safetensors

    try:
        model = build_uninitialized(lambda: Ensemble.from_spec(spec))
    except (ValueError, TypeError) as error:
        # Keras reserves some layer names, and some sizes are impossible for a network.
        raise WeightsError(f"{folder}: no network can be built as config.json says: {manifest.plain(error)}") from error
    for member in model.members:
        load_safetensors(member, folder / f"{member.name}.safetensors")
    model.trainable = False
    return model
