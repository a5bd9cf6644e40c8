"""What lies in a folder, by size and sha256; and reading files that somebody else may have written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.errors import ReleaseError

MANIFEST = "manifest.json"

#: A JSON file of a release is small; a larger one is refused before it is parsed.
MAX_JSON_BYTES = 4 * 2**20


def sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file below `folder` but the manifest itself, by POSIX path, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): {"size": p.stat().st_size, "sha256": sha256(p)} for p in files}


def check(folder: Path, files: dict[str, Any]) -> None:
    """Checks each file that a manifest lists; files it does not list are left alone and never opened.

    Raises:
        ReleaseError: A path that leaves the folder, a missing file, another size, another sha256.
    """
    for name, facts in files.items():
        path = inside(folder, name)
        if not path.is_file():
            raise ReleaseError(f"{folder}: file {name!r} is missing; the release is incomplete, copy or fetch it again")
        if not isinstance(facts, dict) or path.stat().st_size != facts.get("size"):
            raise ReleaseError(f"{path}: {looks_like(path)}; its size is not the one in {MANIFEST}: fetch it again")
        if sha256(path) != facts.get("sha256"):
            raise ReleaseError(f"{path}: altered; its sha256 is not the one in {MANIFEST}: fetch it again")


def inside(folder: Path, name: str) -> Path:
    """The path of a relative POSIX `name` below `folder`, links followed.

    Raises:
        ReleaseError: The name is absolute, has "..", a drive or a control character, or a link leads outside.
    """
    parts = PurePosixPath(name).parts
    strange = any(ord(c) < 32 or c in '\\:*?"<>|' for c in name)
    if not parts or strange or name.startswith("/") or ".." in parts:
        raise ReleaseError(f"{folder}: {name!r} is not a path inside the release")
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ReleaseError(f"{folder}: {name!r} leads outside the release")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file; duplicate keys, NaN and other surprises are refused.

    Raises:
        ReleaseError: No such file, too large, no JSON object; says what the file looks like instead.
    """
    if not path.is_file():
        raise ReleaseError(f"{path.parent}: {path.name!r} is missing; this is not a complete release folder")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ReleaseError(f"{path}: {path.stat().st_size} bytes are too many for this file (at most {MAX_JSON_BYTES})")
    try:
        data = json.loads(path.read_text("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: not readable as JSON ({looks_like(path)}): {error}") from None
    if not isinstance(data, dict):
        raise ReleaseError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def write_json(path: Path, data: Any) -> None:
    """Writes JSON that `read_json` accepts: indented, UTF-8, numbers finite."""
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def looks_like(path: Path) -> str:
    """What a file that should have been something else seems to be."""
    with path.open("rb") as file:
        head = file.read(256).lstrip().lower()
    if not head:
        return "an empty file"
    if head.startswith((b"<!doctype", b"<html")):
        return "an HTML page, perhaps an error page saved as the file"
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself (run 'git lfs pull')"
    return "another file"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [k for k, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} appears twice")
    return dict(pairs)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
