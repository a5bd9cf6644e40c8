"""Parts of paths in the notation of any operating system."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

#: Extensions of image files, in lower case.
IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
    *(".dcm", ".dicom", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k"),
)

#: Extensions that are stripped from a name, including those of arrays and volumes. Any other text after a dot is part
#: of the name, such as the last number of a DICOM UID.
_STRIPPED = (*IMAGE_EXTENSIONS, ".npy", ".nii.gz", ".nii")

#: The parts of a path from its end: file name, then the folders upwards.
Key: TypeAlias = tuple[str, ...]

#: The beginning of an absolute path or URL, perhaps of another machine.
_ABSOLUTE = re.compile(r"\s*(?:[\\/]|[A-Za-z]:[\\/]|\w+://)")

#: The beginning of an address.
_ADDRESS = re.compile(r"\s*(?:[A-Za-z][\w+.-]+://|file:)")

#: Why the file of an address is not found.
NOT_LOCAL = "an address: only local paths are read"

_NO_FOLDER = frozenset(("", ".", ".."))


def file_name(path: str) -> str:
    """The last part of a path in the notation of any operating system.

    Example:
        >>> file_name("a/b.png"), file_name(r"C:\\a\\b.png")
        ('b.png', 'b.png')
    """
    return path.replace("\\", "/").rpartition("/")[2].strip()


def is_file(path: str) -> bool:
    """Whether there is such a file; a path that no file can have, such as one that is too long, is none.

    Example:
        >>> is_file("x" * 5000)
        False
    """
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def short_names(paths: Sequence[str]) -> list[str]:
    """The file name of each path, or the whole path where two paths have the same file name.

    Example:
        >>> short_names(["a/1.png", "a/2.png", "b/2.png"])
        ['1.png', 'a/2.png', 'b/2.png']
    """
    names = [file_name(path) for path in paths]
    seen: set[str] = set()
    twice = {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return [path if name in twice else name for path, name in zip(paths, names, strict=True)]


def relative_path(name: str) -> str:
    """A relative path without "..", with "/" between its parts and in Unicode's composed form (NFC).

    Example:
        >>> relative_path(r"..\\PA\\1.png"), relative_path("/etc/passwd")
        ('PA/1.png', 'etc/passwd')
    """
    return "/".join(reversed(path_key(name)))


def stem(name: str) -> str:
    """A name without the extension of an image.

    Example:
        >>> stem("xray.1.png"), stem("xray.1"), stem("1.2.276.4.1001")
        ('xray.1', 'xray.1', '1.2.276.4.1001')
    """
    lower = name.lower()
    if not lower.endswith(_STRIPPED):
        return name
    return name[: -next(len(end) for end in _STRIPPED if lower.endswith(end))] or name


def path_key(text: str) -> Key:
    """The parts of a path from its end, in Unicode's composed form (NFC) and stripped of surrounding spaces.

    Example:
        >>> path_key(r"..\\PA\\1.png"), path_key("/")
        (('1.png', 'PA'), ())
    """
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    parts = [part.strip() for part in text.replace("\\", "/").split("/")]
    return tuple([part for part in reversed(parts) if part not in _NO_FOLDER])


def is_absolute(path: str) -> bool:
    """Whether a path is absolute on Linux or Windows, or a URL.

    Example:
        >>> is_absolute("/data/1.png"), is_absolute("C:/1.png"), is_absolute("data/1.png")
        (True, True, False)
    """
    return _ABSOLUTE.match(path) is not None


def is_address(path: str) -> bool:
    """Whether a path is an address, such as https://..., s3://... or file://..., that no function reads as a file.

    Example:
        >>> is_address("https://example.org/1.png"), is_address("C:/1.png")
        (True, False)
    """
    return _ADDRESS.match(path) is not None


def bare(key: Key) -> Key:
    """The parts of a path without the extension of an image.

    Example:
        >>> bare(("1.png", "PA"))
        ('1', 'PA')
    """
    return (stem(key[0]), *key[1:]) if key else key


def may_be_same(names: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Tells for each name whether it may mean one of the others, ignoring case and Unicode form: (n,) bool.

    One path must be the end of the other; the extension is compared if both have one. If one of the two is an absolute
    path, perhaps of another machine, equal file names suffice if they are unique on both sides.

    Example:
        >>> may_be_same(["a/1.png", "c/1.png", "2"], ["data/a/1.png", "2.png"]).tolist()
        [True, False, True]
    """
    own, theirs = ([_folded(path_key(text)) for text in texts] for texts in (names, others))
    absolute = {key[0]: is_absolute(text) for text, key in zip(others, theirs, strict=True) if key}
    counts = [Counter(key[0] for key in set(keys) if key) for keys in (own, theirs)]
    # Unchanged paths; paths with an extension against those without; and the reverse.
    whole, with_none = _Ends(theirs), _Ends(key for key in theirs if key == bare(key))
    without = _Ends(map(bare, theirs))

    def same(name: str, key: Key) -> bool:
        if not key:
            return False
        if whole.meets(key) or with_none.meets(bare(key)) or (key == bare(key) and without.meets(key)):
            return True
        return all(count[key[0]] == 1 for count in counts) and (absolute[key[0]] or is_absolute(name))

    return np.array([same(name, key) for name, key in zip(names, own, strict=True)], bool)


def _folded(key: Key) -> Key:
    return tuple([text.casefold() for text in key])


class _Ends:
    """A set of paths with all of their ends."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._whole = {key for key in keys if key}
        self._ends = {key[:n] for key in self._whole for n in range(1, len(key) + 1)}

    def meets(self, key: Key) -> bool:
        """Whether this path is the end of one of the paths, or one of them is its end."""
        return key in self._ends or any(key[:n] in self._whole for n in range(1, len(key)))
