"""Registry of model names: known, included in the package, installed, registered or pinned by the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from zoo.config.specs import EnsembleSpec
from zoo.config.weighting import numbers
from zoo.core import home
from zoo.core.errors import UnknownNameError, UsageError
from zoo.gate import reference
from zoo.hub import pins
from zoo.labels.findings import FINDINGS
from zoo.models import architectures
from zoo.models.ports import kinds
from zoo.names import catalog_table, ported_ensemble
from zoo.names.catalog import CATALOG
from zoo.names.published import PUBLISHED
from zoo.release.folder import ReleaseFolder

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
        auc: Mean AUC with interval and number of images, and who measured it; "" if nobody is known to have.
        image_size: Height and width of the input in pixels, or None if any size is accepted.
        findings: Outputs of an ensemble; () for a backbone.
        members: Backbones of an ensemble.
        preprocessing: How the graph of a backbone transforms pixels in 0..255.
        installed: Folder of the installed release, or of the one that comes with the package, or "".
        repo: Hub repository that the user pinned the name to, or "".
        revision: Pinned commit, or "".
        paper: Title, authors and year of the paper on a backbone.
        origin: Authors of weights that others published.
        licence: SPDX name of the licence of weights that others published, or "unknown".
        quality: What the quality checks of an installed release were fitted on, or that it has none.
        untrained: Outputs that no data trained.
        speakers: Findings for which only some members speak, with these members: "Edema: first + second".
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
    origin: str = ""
    licence: str = ""
    untrained: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    auc: str = ""
    quality: str = ""


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
        names |= {*CATALOG, *PUBLISHED, ported_ensemble.NAME, *_REGISTERED, *home.installed(), *home.included()}
        names |= {*pins.read()}
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
    if (name in PUBLISHED or name == ported_ensemble.NAME) and name not in home.installed():
        return _published_info(name)
    pin = _pin(name)
    spec = _find_spec(name, pin)
    if spec is None and pin is None:
        raise UnknownNameError("model", name, list_models())
    later = f"pinned to a Hub, not fetched yet: zoo.load({name!r}) does"
    known = _ensemble_info(name, spec) if spec else ModelInfo(name, "ensemble", later)
    return dataclasses.replace(known, repo=pin.repo, revision=pin.revision) if pin else known


def register_ensemble(spec: EnsembleSpec) -> None:
    """Registers an ensemble under `spec.name`, so that recipes and `info` find it.

    Raises:
        ValueError: Another spec has the same name.
        UnknownNameError: The backbone of a member is not registered.

    Example:
        >>> from zoo.config.specs import MemberSpec
        >>> register_ensemble(EnsembleSpec("two-networks", (MemberSpec("densenet121"), MemberSpec("resnet50"))))
        >>> info("two-networks").kind
        'ensemble'
    """
    home.release_dir(spec.name)  # checks that the name is also valid as a folder
    for member in spec.members:
        architectures.get(member.backbone)
    if spec.name in PUBLISHED or spec.name == ported_ensemble.NAME:
        raise UsageError(f"the name {spec.name!r} is that of published weights: choose a new one")
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
        return ReleaseFolder(folder).spec
    if pin is not None:
        from zoo.hub import pull

        if (cached := pull.cached_spec(pin.reference, manifest_sha256=pin.manifest_sha256)) is not None:
            return cached
    return CATALOG[name].spec if name in CATALOG else None


def _published_info(name: str) -> ModelInfo:
    """Facts about weights of others that are not fetched yet."""
    later = f"not fetched yet: zoo.load({name!r}) does"
    if name == ported_ensemble.NAME:
        summary = f"{ported_ensemble.SUMMARY}; {later}"
        return ModelInfo(name, "ensemble", summary, findings=FINDINGS, members=ported_ensemble.MEMBERS)
    row = PUBLISHED[name]
    port = kinds.get(row.kind)
    named = port.findings or row.findings
    return ModelInfo(
        name,
        "ensemble",
        f"{row.summary}; {later}",
        parameters=architectures.get(port.backbone).parameters,
        image_size=row.image_size or port.image_size,
        findings=named,
        members=(port.backbone,),
        origin=row.origin,
        licence=row.licence,
        auc=catalog_table.published_auc(row),
        untrained=tuple(known for known, given in zip(named, row.findings, strict=False) if not given),
    )


def _ensemble_info(name: str, spec: EnsembleSpec) -> ModelInfo:
    members = tuple(m.name for m in spec.members)
    row = PUBLISHED.get(name)
    folder = home.find_release(name)
    found = ReleaseFolder(folder) if folder is not None else None
    port = found.listing.provenance.port if found is not None else None
    stated = port.licence if port is not None else found.license if found is not None else ""
    by_finding = any(isinstance(weight, tuple) for weight in numbers(spec.weighting))
    return ModelInfo(
        name=name,
        kind="ensemble",
        summary=_summary(name, members),
        parameters=sum(architectures.get(m.backbone).parameters for m in spec.members),
        image_size=spec.image_size,
        findings=spec.findings,
        members=members,
        installed=str(folder or ""),
        origin=row.origin if row else port.origin if port is not None else _own_origin(name, found),
        licence=row.licence if row else stated,
        auc=catalog_table.published_auc(row) if row else catalog_table.auc_of(found) if found else "",
        quality="" if found is None else reference.described(str(found.gate or "")),
        untrained=spec.untrained,
        speakers=tuple(f"{f}: {' + '.join(names)}" for f, names in spec.speaking.items() if names) * by_finding,
    )


def _own_origin(name: str, found: ReleaseFolder | None) -> str:
    """Who made the weights of a release that was not converted from those of others."""
    if name in home.included():
        return "this project; comes with the package"
    recipe = found.provenance.get("recipe") if found is not None else None
    return f"recipe {recipe}" if isinstance(recipe, str) and recipe else ""


def _summary(name: str, members: Sequence[str]) -> str:
    if name in CATALOG:
        return CATALOG[name].summary
    if name in PUBLISHED:
        return PUBLISHED[name].summary
    return ported_ensemble.SUMMARY if name == ported_ensemble.NAME else f"mean of the logits of {', '.join(members)}"
