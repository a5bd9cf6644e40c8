"""Lists the files of a folder by size and sha256, and reads files from untrusted sources."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from zoo.config.json_schema import Keywords
from zoo.core.errors import IntegrityError, ReleaseError
from zoo.core.file_kinds import looks_like
from zoo.core.files import sha256

MANIFEST = "manifest.json"

Count = Annotated[int, Keywords(minimum=0)]
Sha256 = Annotated[str, Keywords(pattern="^[0-9a-f]{64}$")]

#: The card may be edited: it is listed, but a changed card is accepted.
CARD = "README.md"

#: JSON files of a release are small, and its file list smaller; larger ones are refused before parsing. Other files are
#: refused above this size before hashing: a billion float32 weights with a header.
MAX_JSON_BYTES, MAX_MANIFEST_BYTES, MAX_FILE_BYTES = 4 * 2**20, 2**20, 4 * 10**9 + 4 * 2**20

#: Maximum length of quoted text in an error message, since texts in files may have any length.
MAX_LINE = 600

#: Names that Windows reserves for devices, with any extension.
_PORTS = (f"{port}{i}" for port in ("COM", "LPT") for i in "0123456789¹²³")
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *_PORTS}

#: Maximum number of digits of a 64-bit integer.
_DIGITS = 20


@dataclass(frozen=True)
class Listed:
    """A file listed in a manifest.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 in hexadecimal digits.
    """

    size: Count
    sha256: Sha256

    @classmethod
    def of(cls, path: Path) -> Listed:
        """Describes a file on this machine."""
        return cls(path.stat().st_size, sha256(path))


def describe(folder: Path) -> dict[str, Listed]:
    """Returns size and sha256 of every file below `folder` except the manifest, by POSIX path, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): Listed.of(p) for p in files}


def to_json(files: Mapping[str, Listed]) -> dict[str, dict[str, int | str]]:
    """Converts listed files to JSON values, sorted by name.

    >>> to_json({"config.json": Listed(2, "44" * 32)})["config.json"]["size"]
    2
    """
    return {name: asdict(files[name]) for name in sorted(files)}


def check(
    folder: Path, files: Mapping[str, Listed], *, only: Collection[str] | None = None, root: Path | None = None
) -> None:
    """Checks files against a manifest; files that are not listed are ignored and never opened.

    Args:
        folder: Folder of the release.
        files: Path -> size and sha256, as from `describe`. All paths are checked before any file is opened.
        only: Files to check; all except the card by default.
        root: Folder that links may lead to; `folder` by default.

    Raises:
        ReleaseError: A path leads out of the folder.
        IntegrityError: A file is missing, is larger than `max_bytes`, or has another size or sha256.
    """
    paths = {name: inside(folder, name, root) for name in files}
    for name, path in paths.items():
        if name == CARD or (only is not None and name not in only):
            continue
        if not path.is_file():
            raise IntegrityError(
                f"{folder}: file {name!r} is missing; the release is incomplete, copy or fetch it again"
            )
        if (size := path.stat().st_size) != (stated := files[name].size):
            short = ", cut off or another file" if size < stated else ""
            raise IntegrityError(
                f"{path}: {looks_like(path)} of {size:,} bytes{short}; its size is not the one in {MANIFEST}: fetch it "
                "again"
            )
        if size > max_bytes(name):
            raise IntegrityError(f"{path}: {size:,} bytes are too many for this file (at most {max_bytes(name):,})")
        if sha256(path) != files[name].sha256:
            raise IntegrityError(f"{path}: altered; its sha256 is not the one in {MANIFEST}: fetch it again")


def max_bytes(name: str) -> int:
    """Returns the maximum size of a release file with this name.

    >>> max_bytes("config.json") < max_bytes("model.safetensors")
    True
    """
    if name == MANIFEST:
        return MAX_MANIFEST_BYTES
    return MAX_JSON_BYTES if name == CARD or name.endswith(".json") else MAX_FILE_BYTES


def inside(folder: Path, name: str, root: Path | None = None) -> Path:
    """Returns the path of a relative POSIX `name` below `folder`, with links resolved.

    Args:
        folder: Folder of the release.
        name: Name in the manifest.
        root: Folder that links may lead to; `folder` by default. A Hub cache keeps the files outside the snapshot.

    Raises:
        ReleaseError: The name is absolute, has "..", a drive, a control character or a name reserved by Windows, or is
            too long for file systems; or a link leads out of the folder or forms a cycle.
    """
    parts = PurePosixPath(name).parts
    # Unprintable characters include those that file systems cannot represent: NUL and single surrogates.
    strange = not name.isprintable() or any(c in '\\:*?"<>|' for c in name) or len(name.encode()) > 255
    reserved = any(part.split(".")[0].rstrip().upper() in _RESERVED or part.endswith((" ", ".")) for part in parts)
    if not parts or strange or reserved or name.startswith("/") or ".." in parts:
        raise ReleaseError(f"{folder}: {name[:80]!r} is not a path inside the release")
    path = folder.joinpath(*parts)
    try:
        led = path.resolve().is_relative_to((root or folder).resolve())
    except (OSError, RuntimeError):  # a link that forms a cycle
        led = False
    if not led:
        raise ReleaseError(f"{folder}: {name!r} leads outside the release")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a small file; refuses duplicate keys, NaN, numbers above 64 bits and single surrogates.

    Raises:
        IntegrityError: The file does not exist.
        ReleaseError: The file is larger than `max_bytes` or not a JSON object; describes its content.
    """
    if not path.is_file():
        raise IntegrityError(f"{path.parent}: {path.name!r} is missing; this is not a complete release folder")
    if (size := path.stat().st_size) > max_bytes(path.name):
        raise ReleaseError(f"{path}: {size:,} bytes are too many for this file (at most {max_bytes(path.name):,})")
    try:
        data = _parse(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: not readable as JSON ({looks_like(path)}): {plain(error)}") from None
    if not isinstance(data, dict):
        raise ReleaseError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def write_json(path: Path, data: Any) -> None:
    """Writes JSON that `read_json` accepts: indented, UTF-8, finite numbers."""
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def plain(text: object) -> str:
    """Returns untrusted text on one line of limited length, without control characters.

    >>> plain("a\\x1b[2Jb")
    'a?[2Jb'
    """
    whole = str(text)
    shown = "".join(c if c.isprintable() else "?" for c in whole[:MAX_LINE])
    return shown + ("..." if len(whole) > MAX_LINE else "")


def _parse(text: str) -> Any:
    data = json.loads(
        text, object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_integer, parse_float=_finite
    )
    if re.search(r"\\u[dD][89a-fA-F]", text):
        # JSON may contain a single surrogate, which can be neither printed nor written nor used in a file name.
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {twice[:80]!r} appears twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
