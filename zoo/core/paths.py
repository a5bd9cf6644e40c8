"""Parts of paths as people and systems of all kinds write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

#: Extensions of image files, in lower case.
IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
    *(".dcm", ".dicom", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k"),
)

#: What is stripped from a name, which may also be that of an array or a volume; anything else behind a dot is a part
#: of the name, such as the last number of a DICOM UID.
_STRIPPED = (*IMAGE_EXTENSIONS, ".npy", ".nii.gz", ".nii")

#: File name, then the folders upwards: what begins alike ends alike as a path.
Key: TypeAlias = tuple[str, ...]

#: How a path begins that says where it was on a machine, perhaps another one.
_ABSOLUTE = re.compile(r"\s*(?:[\\/]|[A-Za-z]:[\\/]|\w+://)")

_NO_FOLDER = frozenset(("", ".", ".."))


def file_name(path: str) -> str:
    """The last part of a path of any system.

    Example:
        >>> file_name("a/b.png"), file_name(r"C:\\a\\b.png")
        ('b.png', 'b.png')
    """
    return path.replace("\\", "/").rpartition("/")[2].strip()


def short_names(paths: Sequence[str]) -> list[str]:
    """The file name of each path, or the whole path where two have one file name."""
    names = [file_name(path) for path in paths]
    seen: set[str] = set()
    twice = {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return [path if name in twice else name for path, name in zip(paths, names, strict=True)]


def relative_path(name: str) -> str:
    """A path that leads down only, with "/" between its parts and in Unicode's composed form (NFC).

    Example:
        >>> relative_path(r"..\\PA\\1.png"), relative_path("/etc/passwd")
        ('PA/1.png', 'etc/passwd')
    """
    return "/".join(reversed(path_key(name)))


def stem(name: str) -> str:
    """A name without the extension of an image.

    Example:
        >>> stem("film.1.png"), stem("film.1"), stem("1.2.276.4.1001")
        ('film.1', 'film.1', '1.2.276.4.1001')
    """
    lower = name.lower()
    if not lower.endswith(_STRIPPED):
        return name
    return name[: -next(len(end) for end in _STRIPPED if lower.endswith(end))] or name


def path_key(text: str) -> Key:
    """The parts of a path from its end, in Unicode's composed form (NFC) and without blanks around them.

    Example:
        >>> path_key(r"..\\PA\\1.png"), path_key("/")
        (('1.png', 'PA'), ())
    """
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    parts = [part.strip() for part in text.replace("\\", "/").split("/")]
    return tuple([part for part in reversed(parts) if part not in _NO_FOLDER])


def is_absolute(path: str) -> bool:
    """Whether a path begins at the root of some machine, as on Linux, Windows or in a bucket."""
    return _ABSOLUTE.match(path) is not None


def bare(key: Key) -> Key:
    """Without the extension of an image."""
    return (stem(key[0]), *key[1:]) if key else key
