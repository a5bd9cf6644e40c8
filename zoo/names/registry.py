"""Registry of model names: known, included in the package, installed, registered or pinned by the user."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from zoo.config.specs import EnsembleSpec
from zoo.core import home
from zoo.core.errors import UnknownNameError, UsageError
from zoo.hub import pins
from zoo.models import architectures
from zoo.names.catalog import CATALOG

Kind = Literal["ensemble", "backbone"]

_REGISTERED: dict[str, EnsembleSpec] = {}


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model that are available without building it.

    Attributes:
        name: Name in the zoo.
        kind: "ensemble" (images to logits) or "backbone" (images to a feature map).
        summary: One line on the model.
        parameters: Number of parameters of the backbones without heads; 0 if unknown.
        image_size: Height and width of the input in pixels, or None if any size is accepted.
        findings: Outputs of an ensemble; () for a backbone.
        members: Backbones of an ensemble.
        preprocessing: How the graph of a backbone transforms pixels in 0..255.
        installed: Folder of the installed release, or of the one that comes with the package, or "".
        repo: Hub repository that the user pinned the name to, or "".
        revision: Pinned commit, or "".
        paper: Title, authors and year of the paper on a backbone.
    """

    name: str
    kind: Kind
    summary: str
    parameters: int = 0
    image_size: int | None = None
    findings: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    preprocessing: str = ""
    installed: str = ""
    repo: str = ""
    revision: str = ""
    paper: str = ""


def list_models(pattern: str = "*", kind: Kind | None = None) -> list[str]:
    """Returns the names of models that match a shell pattern, sorted.

    Args:
        pattern: Shell pattern, such as "*121*"; case is ignored.
        kind: "ensemble" or "backbone" to list only these; None for both.

    Example:
        >>> list_models("densenet*")
        ['densenet121', 'densenet169', 'densenet201']
    """
    if kind not in (None, "ensemble", "backbone"):
        raise UnknownNameError("kind", kind, ("ensemble", "backbone"))
    names: set[str] = set()
    if kind in (None, "ensemble"):
        names |= {*CATALOG, *_REGISTERED, *home.installed(), *home.included(), *pins.read()}
    if kind in (None, "backbone"):
        names |= set(architectures.ARCHITECTURES)
    return sorted(n for n in names if fnmatchcase(n.lower(), pattern.lower()))


def info(name: str) -> ModelInfo:
    """Returns facts about a model without building it, reading weights, or contacting a Hub.

    >>> info("densenet121").kind
    'backbone'

    Raises:
        UnknownNameError: There is no such model; names the closest ones.
        ReleaseError: The model's release, or the user's catalog, is damaged.
    """
    if name in architectures.ARCHITECTURES:
        return _backbone_info(name)
    pin = _pin(name)
    spec = _find_spec(name, pin)
    if spec is None and pin is None:
        raise UnknownNameError("model", name, list_models())
    later = f"pinned to a Hub, not fetched yet: zoo.load({name!r}) does"
    known = _ensemble_info(name, spec) if spec else ModelInfo(name, "ensemble", later)
    return dataclasses.replace(known, repo=pin.repo, revision=pin.revision) if pin else known


def ensemble_spec(name: str) -> EnsembleSpec:
    """Returns the spec of an ensemble by name: registered, installed, pinned and cached, or shipped, in this order.

    Raises:
        UnknownNameError: There is no such ensemble, or a pinned one is not downloaded yet; names the closest ones.
    """
    spec = _find_spec(name, _pin(name))
    if spec is None:
        raise UnknownNameError("model", name, list_models())
    return spec


def register_ensemble(spec: EnsembleSpec) -> None:
    """Registers an ensemble under `spec.name`, so that recipes and `info` find it.

    Raises:
        ValueError: Another spec has the same name.
        UnknownNameError: The backbone of a member is not registered.
    """
    home.release_dir(spec.name)  # checks that the name is also valid as a folder
    for member in spec.members:
        architectures.get(member.backbone)
    taken = CATALOG[spec.name].spec if spec.name in CATALOG else _REGISTERED.get(spec.name, spec)
    if taken != spec:
        raise UsageError(f"the name {spec.name!r} is taken by another ensemble: choose a new one")
    _REGISTERED[spec.name] = spec


def _backbone_info(name: str) -> ModelInfo:
    row = architectures.get(name)
    return ModelInfo(
        name=name,
        kind="backbone",
        summary=f"{row.preprocessing} preprocessing in its graph, {row.channels} feature channels",
        parameters=row.parameters,
        preprocessing=row.preprocessing,
        paper=row.paper,
    )


def _pin(name: str) -> pins.Pin | None:
    """Returns the user's pin of a name, or None; an installed or included release takes priority over it."""
    return None if home.find_release(name) else pins.read().get(name)


def _find_spec(name: str, pin: pins.Pin | None) -> EnsembleSpec | None:
    if name in _REGISTERED:
        return _REGISTERED[name]
    if (folder := home.find_release(name)) is not None:
        from zoo.release.folder import ReleaseFolder

        return ReleaseFolder(folder).spec
    if pin is not None:
        from zoo.hub import pull

        if (cached := pull.cached_spec(pin.reference, manifest_sha256=pin.manifest_sha256)) is not None:
            return cached
    return CATALOG[name].spec if name in CATALOG else None


def _ensemble_info(name: str, spec: EnsembleSpec) -> ModelInfo:
    members = tuple(m.name for m in spec.members)
    return ModelInfo(
        name=name,
        kind="ensemble",
        summary=CATALOG[name].summary if name in CATALOG else f"mean of the logits of {', '.join(members)}",
        parameters=sum(architectures.get(m.backbone).parameters for m in spec.members),
        image_size=spec.image_size,
        findings=spec.findings,
        members=members,
        installed=str(home.find_release(name) or ""),
    )
