"""Looking at a release without loading it: what it says it is, what lies in it, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from zoo.config.specs import EnsembleSpec, MemberSpec, from_dict
from zoo.core import files as disk
from zoo.core.errors import IntegrityError, RecipeError, ReleaseError, UnknownNameError
from zoo.release import exports, manifest, schema
from zoo.release.folder import MAX_FILES, UNSAFE, ReleaseFolder, limit_of
from zoo.release.manifest import plain

#: "edited": a card that people changed, which is no fault. "remote": not pulled. "refused": leads out of the folder.
State = Literal["ok", "edited", "altered", "missing", "remote", "refused"]

#: More files than this that no manifest lists are not counted further.
MAX_EXTRA = 1000


@dataclass(frozen=True)
class File:
    """One file that the manifest lists.

    Attributes:
        name: Path in the release.
        size: Bytes, as the manifest says.
        state: Whether it is the file that the manifest means.
    """

    name: str
    size: int
    state: State


@dataclass(frozen=True)
class Inspection:
    """What a release folder says of itself; what could not be read is empty, and named in `problems`.

    Attributes:
        folder: Where it lies.
        source: Where it was pulled from, or "".
        name: Of the model.
        members: What it is made of.
        image_size: Height and width of the input in pixels; 0 where unknown.
        findings: Names of the outputs, in order.
        format_version: Of the folder's form; 0 where unknown.
        versions: Name -> version of what wrote it: zoo, keras.
        license: SPDX name, or "".
        storage: Number type of the stored weights, and how far it moves a logit.
        parameters: Member -> numbers in its weights.
        provenance: Where it came from, a line a fact: recipe, split, seed, date and the like.
        manifest_sha256: Of `manifest.json`, or "".
        files: What the manifest lists.
        extra: Files that it does not list -> size. They are never opened.
        unsafe: Those files of both kinds whose format can run code or crash the reader.
        problems: What is wrong, a line each; () for a release that loads.
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
    storage: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    manifest_sha256: str = ""
    files: tuple[File, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)
    unsafe: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All of it for a terminal: a line a fact, a file, a problem; nothing in it can move the cursor."""
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
            "storage": _joined(self.storage),
            **self.provenance,
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
    """What a release says of itself, and what is wrong with it; its weights are hashed, never read.

    Args:
        where: A release, or a folder that should be one.
        root: Where links in the folder may lead to; the folder itself by default.
        source: Where it was pulled from.
        others: Files of the place it was pulled from -> size, where not all were pulled.

    Returns:
        An `Inspection`; a broken release is one with `problems`.

    Raises:
        FileNotFoundError: No such folder.

    Example:
        >>> print("\\n".join(inspect("release").lines()))  # doctest: +SKIP
    """
    here = where if isinstance(where, ReleaseFolder) else ReleaseFolder(Path(where).expanduser(), root, source)
    folder = here.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"no release folder at {folder}")
    problems: list[str] = []
    documents = {name: _document(here, name, problems) for name in schema.NAMES}
    listing, config = documents["manifest"], documents["config"]
    listed = dict(islice(_object(listing, "files").items(), MAX_FILES))
    files = tuple(
        _file(here, name, facts, limit_of(name, listing), others or {}, problems) for name, facts in listed.items()
    )
    spec = _spec(config, problems)
    problems += [] if problems else _misfits(here)
    found = others if others is not None else _walk(folder, here.root)
    extra = {name: size for name, size in sorted(found.items()) if name not in listed and name != manifest.MANIFEST}
    sizes = {name: n for name, n in _object(listing, "parameters").items() if type(n) is int}
    return Inspection(
        folder=folder,
        source=here.source,
        name=spec.name if spec else "",
        members=spec.members if spec else (),
        image_size=spec.image_size if spec else 0,
        findings=spec.findings if spec else (),
        format_version=next((v for d in (listing, config) if type(v := d.get("format_version")) is int), 0),
        versions={key: str(config[key]) for key in ("zoo", "keras") if key in config},
        license=str(listing.get("license") or ""),
        storage=_object(listing, "storage"),
        parameters=sizes,
        provenance=_provenance(_object(listing, "provenance")),
        manifest_sha256=here.manifest_sha256 if listing else "",
        files=files,
        extra=extra,
        unsafe=tuple(n for n in (*listed, *extra) if Path(n).suffix.lower() in UNSAFE and not exports.belongs(n)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _document(here: ReleaseFolder, name: str, problems: list[str]) -> dict[str, Any]:
    """A JSON file of the release, {} where there is none that can be read."""
    try:
        data = here.json(f"{name}.json")
    except (ReleaseError, OSError) as error:
        problems.append(str(error))
        return {}
    problems += schema.validate(name, data)
    return data


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _file(
    here: ReleaseFolder, name: str, facts: Any, limit: int, others: Mapping[str, int], problems: list[str]
) -> File:
    size = facts.get("size") if isinstance(facts, dict) else None
    size = size if type(size) is int else 0
    try:
        path = manifest.inside(here.folder, name, here.root)
        if name in others and not path.exists():
            return File(name, size, "remote")
        if name == manifest.CARD:
            return File(name, size, _card(path, facts))
        if size > limit:
            raise IntegrityError(f"{path}: {size:,} bytes are too many for this file (at most {limit:,})")
        manifest.check(here.folder, {name: facts}, only=(name,), root=here.root)
    except IntegrityError as error:
        problems.append(str(error))
        return File(name, size, "altered" if path.exists() else "missing")
    except (ReleaseError, OSError) as error:
        problems.append(str(error))
        return File(name, size, "refused")
    return File(name, size, "ok")


def _card(path: Path, facts: Any) -> State:
    if not path.is_file():
        return "missing"
    small = path.stat().st_size <= manifest.max_bytes(manifest.CARD)
    released = small and isinstance(facts, dict) and disk.sha256(path) == facts.get("sha256")
    return "ok" if released else "edited"


def _spec(config: Mapping[str, Any], problems: list[str]) -> EnsembleSpec | None:
    if not config:
        return None
    try:
        return from_dict(EnsembleSpec, _object(config, "ensemble"), "ensemble")
    except (RecipeError, UnknownNameError) as error:
        # What the schema has found already is not said twice.
        problems += [] if any(p.startswith("config.json: ") for p in problems) else [f"config.json: {error}"]
        return None


def _misfits(found: ReleaseFolder) -> list[str]:
    """Where files that are each as they should be do not fit each other."""
    try:
        found.require(found.spec)
        _ = found.parameters, found.decision
    except (ReleaseError, UnknownNameError, OSError) as error:
        return [str(error)]
    return []


def _walk(folder: Path, root: Path | None) -> dict[str, int]:
    """Files below a folder -> size, the first `MAX_EXTRA`; nothing is opened and no link to a folder is followed."""
    inner = (root or folder).resolve()

    def size(path: Path) -> int:
        here = path.exists() and path.resolve().is_relative_to(inner)
        return (path.stat() if here else path.lstat()).st_size

    paths = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return {path.relative_to(folder).as_posix(): size(path) for path in islice(paths, MAX_EXTRA)}


def _provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts a person asks for first, as text."""
    recipe, split = _object(facts, "recipe"), _object(facts, "split")
    texts = {
        "recipe": str(recipe.get("name") or ""),
        "split": f"by {split.get('by')}, seed {split.get('seed')}, hash {split.get('hash')}" if split else "",
        "trained": _joined({key: facts[key] for key in ("zoo", "keras", "backend", "python") if key in facts}),
        **{key: str(facts.get(key, "")) for key in ("seed", "code", "date")},
    }
    return {key: text for key, text in texts.items() if text}


def _joined(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
