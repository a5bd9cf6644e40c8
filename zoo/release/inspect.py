"""Describes a release without loading it: what it states, which files it has, and what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from zoo.config.specs import EnsembleSpec, MemberSpec, to_dict
from zoo.core import files as disk
from zoo.core.errors import IntegrityError, ReleaseError, UnknownNameError
from zoo.gate import reference
from zoo.release import exports, manifest, schema, trained_on
from zoo.release.documents import Storage
from zoo.release.folder import ReleaseFolder
from zoo.release.manifest import Listed, plain
from zoo.release.unsafe import UNSAFE

#: "edited": a card changed by people, which is permitted. "remote": not downloaded. "refused": outside the folder.
State = Literal["ok", "edited", "altered", "missing", "remote", "refused"]

T = TypeVar("T")

#: Maximum number of unlisted files that are counted.
MAX_EXTRA = 1000


@dataclass(frozen=True)
class File:
    """A file listed in the manifest.

    Attributes:
        name: Path in the release.
        size: Size in bytes as stated in the manifest.
        state: Whether the file matches the manifest.
    """

    name: str
    size: int
    state: State


@dataclass(frozen=True)
class Inspection:
    """Description of a release folder; parts that could not be read are empty, and reported in `problems`.

    Attributes:
        folder: Path of the folder.
        source: Hub reference of the release, or "".
        name: Name of the model.
        members: Members of the model.
        image_size: Height and width of the input in pixels; 0 if unknown.
        findings: Names of the outputs, in order.
        format_version: Version of the release format; 0 if unknown.
        versions: Library that wrote the release (zoo, keras) -> version.
        license: SPDX name of the licence, or "".
        storage: Number type of the stored weights, and the resulting change of the logits.
        parameters: Member -> number of values in its weights.
        provenance: Origin of the weights, one line per fact: recipe, split, seed, date etc.
        trained_on: Numbers of images whose digests are recorded as trained on; "" if the release has no record.
        quality_checks: What the quality checks were fitted on; "" if the release has none.
        manifest_sha256: SHA-256 of `manifest.json`, or "".
        files: Files listed in the manifest.
        extra: Unlisted files -> size. They are never opened.
        unsafe: Listed and unlisted files in formats that can run code or crash the reader.
        problems: Problems, one line each; () for a release that can be loaded.
    """

    folder: Path
    source: str = ""
    name: str = ""
    members: tuple[MemberSpec, ...] = ()
    image_size: int = 0
    findings: tuple[str, ...] = ()
    format_version: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    storage: Storage | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    trained_on: str = ""
    quality_checks: str = ""
    manifest_sha256: str = ""
    files: tuple[File, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)
    unsafe: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Returns the description for a terminal, one line per fact, file and problem, without control characters."""
        members = (f"{m.name} ({m.backbone}, {m.head}{self._count(m.name)})" for m in self.members)
        facts = {
            "folder": str(self.folder),
            "source": self.source,
            "model": self.name,
            "members": "; ".join(members),
            "input": f"{self.image_size} x {self.image_size} px" if self.image_size else "",
            "findings": ", ".join(self.findings),
            "format": f"{self.format_version or 'unknown'}, {_joined(self.versions) or 'versions unknown'}",
            "license": self.license or "none stated",
            "storage": _joined(to_dict(self.storage)) if self.storage else "",
            **self.provenance,
            "trained on": self.trained_on or "unknown: no record of the images",
            "quality": reference.described(self.quality_checks),
            "manifest": f"sha256 {self.manifest_sha256}" if self.manifest_sha256 else "",
        }
        rows = [(key, value) for key, value in facts.items() if value]
        rows += [("file", f"{f.name}, {f.size:,} bytes, {f.state}") for f in self.files]
        rows += [("not listed", f"{name}, {size:,} bytes") for name, size in self.extra.items()]
        rows += [("unsafe", f"{name}: never opened by the zoo; do not open it yourself") for name in self.unsafe]
        rows += [("problem", problem) for problem in self.problems]
        return [f"{plain(key):>10}  {plain(value)}" for key, value in rows]

    def _count(self, member: str) -> str:
        return f", {self.parameters[member]:,} parameters" if member in self.parameters else ""


def inspect(
    where: str | Path | ReleaseFolder,
    root: Path | None = None,
    source: str = "",
    others: Mapping[str, int] | None = None,
) -> Inspection:
    """Describes a release and its problems; weights are hashed but not loaded.

    Args:
        where: A release, or a folder that should be one.
        root: Folder that links may lead to; the release folder by default.
        source: Hub reference of the release.
        others: Remote files that were not downloaded -> size.

    Returns:
        An `Inspection`; for a broken release it has `problems`.

    Raises:
        FileNotFoundError: The folder does not exist.

    Example:
        >>> print("\\n".join(inspect("release").lines()))  # doctest: +SKIP
    """
    here = where if isinstance(where, ReleaseFolder) else ReleaseFolder(Path(where).expanduser(), root, source)
    folder = here.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"no release folder at {folder}")
    problems: list[str] = []
    documents = {name: _document(here, name, problems) for name in schema.NAMES}
    return _view(here, documents["manifest"], documents["config"], others, problems)


def _document(here: ReleaseFolder, name: str, problems: list[str]) -> Mapping[str, Any]:
    """Reads a JSON file of the release, {} if it is unreadable; violations of its schema are added to `problems`."""
    data = _part(problems, "", lambda: here.json(f"{name}.json"), None)
    problems += [] if data is None else schema.validate(name, data)
    return data or {}


def _view(
    here: ReleaseFolder,
    listing: Mapping[str, Any],
    config: Mapping[str, Any],
    others: Mapping[str, int] | None,
    problems: list[str],
) -> Inspection:
    def part(read: Callable[[], T], default: T, document: str = manifest.MANIFEST) -> T:
        return _part(problems, document, read, default)

    nothing: Mapping[str, Any] = {}
    counts: Mapping[str, int] = {}
    none: Mapping[str, Listed] = {}
    listed = part(lambda: here.entries, none)
    files = tuple(_file(here, name, entry, others or {}, problems) for name, entry in listed.items())
    spec: EnsembleSpec | None = part(lambda: here.ensemble, None, "config.json")
    if not problems:
        part(lambda: _fit(here), None)
    found = others if others is not None else _walk(here.folder, here.root)
    extra = {name: size for name, size in sorted(found.items()) if name not in listed and name != manifest.MANIFEST}
    return Inspection(
        folder=here.folder,
        source=here.source,
        name=spec.name if spec else "",
        members=spec.members if spec else (),
        image_size=spec.image_size if spec else 0,
        findings=spec.findings if spec else (),
        format_version=next((v for d in (listing, config) if type(v := d.get("format_version")) is int), 0),
        versions={key: str(config[key]) for key in ("zoo", "keras") if key in config},
        license=part(lambda: here.license, ""),
        storage=part(lambda: here.storage, None),
        parameters=part(lambda: here.listing.parameters, counts),
        provenance=_provenance(part(lambda: here.provenance, nothing)),
        trained_on=part(lambda: _trained_on(here), ""),
        quality_checks=part(lambda: _quality_checks(here), ""),
        manifest_sha256=here.manifest_sha256 if listing else "",
        files=files,
        extra=extra,
        unsafe=tuple(n for n in (*listed, *extra) if Path(n).suffix.lower() in UNSAFE and not exports.belongs(n)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _part(problems: list[str], document: str, read: Callable[[], T], default: T) -> T:
    """Returns the result of `read`, or `default` and its error as a problem unless the schema reported one there."""
    try:
        return read()
    except (ReleaseError, UnknownNameError, OSError) as error:
        if not any(problem.startswith(f"{document}: ") for problem in problems):
            problems.append(str(error))
        return default


def _fit(here: ReleaseFolder) -> None:
    """Checks that the files, each of which is valid, are consistent."""
    here.require(here.spec)
    _ = here.parameters, here.decision


def _trained_on(here: ReleaseFolder) -> str:
    if trained_on.FILE in here.entries and not (here.folder / trained_on.FILE).is_file():
        return "recorded in a file that is not here"
    return str(here.trained_on or "")


def _quality_checks(here: ReleaseFolder) -> str:
    if reference.FILE in here.entries and not (here.folder / reference.FILE).is_file():
        return "in a file that is not here"
    return str(here.gate or "")


def _file(here: ReleaseFolder, name: str, entry: Listed, others: Mapping[str, int], problems: list[str]) -> File:
    size = max(entry.size, 0)
    try:
        path = manifest.inside(here.folder, name, here.root)
        if name in others and not path.exists():
            return File(name, size, "remote")
        if name == manifest.CARD:
            return File(name, size, _card(path, entry))
        here.check([name])
    except IntegrityError as error:
        problems.append(str(error))
        return File(name, size, "altered" if path.exists() else "missing")
    except (ReleaseError, OSError) as error:
        problems.append(str(error))
        return File(name, size, "refused")
    return File(name, size, "ok")


def _card(path: Path, entry: Listed) -> State:
    if not path.is_file():
        return "missing"
    small = path.stat().st_size <= manifest.max_bytes(manifest.CARD)
    return "ok" if small and disk.sha256(path) == entry.sha256 else "edited"


def _walk(folder: Path, root: Path | None) -> dict[str, int]:
    """Returns file -> size below a folder, up to `MAX_EXTRA`; opens no file and follows no link to a folder."""
    inner = (root or folder).resolve()

    def size(path: Path) -> int:
        here = path.exists() and path.resolve().is_relative_to(inner)
        return (path.stat() if here else path.lstat()).st_size

    paths = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return {path.relative_to(folder).as_posix(): size(path) for path in islice(paths, MAX_EXTRA)}


def _provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    """Returns the most important facts of the provenance as text."""
    recipe, split = (value if isinstance(value := facts.get(key), dict) else {} for key in ("recipe", "split"))
    texts = {
        "recipe": str(recipe.get("name") or ""),
        "split": f"by {split.get('by')}, seed {split.get('seed')}, hash {split.get('hash')}" if split else "",
        "trained": _joined({key: facts[key] for key in ("zoo", "keras", "backend", "python") if key in facts}),
        **{key: str(facts.get(key, "")) for key in ("seed", "code", "date")},
    }
    return {key: text for key, text in texts.items() if text}


def _joined(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
