"""Lists the image files in a folder, recognised by content; counts all other files by kind."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.core.counting import counted
from zoo.core.errors import ImageError, UsageTypeError
from zoo.core.file_kinds import HEAD, UNKNOWN, file_kind, image_kind
from zoo.core.paths import IMAGE_EXTENSIONS
from zoo.core.warn import warn_user

#: Names, in lower case, of folders in which systems keep thumbnails, resource forks or deleted files.
_SYSTEM_FOLDERS = frozenset(
    ("@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "recycler", "lost+found")
) | {"system volume information", "@recently-snapshot", "@synoresource"}


@dataclass
class LeftOut:
    """Files and folders that a listing skipped.

    Attributes:
        counts: Kind, such as "text file" -> number of files.
        examples: Kind -> name of the first file.
        expected: Names of files that are used otherwise, such as the table, and not counted.

    Example:
        >>> left_out = LeftOut()
        >>> left_out.add("text file", "notes.txt")
        >>> str(left_out)
        '1 text file (notes.txt)'
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    expected: frozenset[str] = frozenset()

    def add(self, kind: str, name: str) -> None:
        """Counts one more file of a kind, unless it is expected."""
        if name in self.expected:
            return
        self.counts[kind] += 1
        self.examples.setdefault(kind, name)

    def __str__(self) -> str:
        """Returns one line, such as "3 text files (first notes.txt), 1 linked folder (link)", or ""."""
        parts = []
        for kind, count in self.counts.most_common():
            name = self.examples[kind]
            parts.append(f"1 {kind} ({name})" if count == 1 else f"{count:,} {_plural(kind)} (first {name})")
        return ", ".join(parts)


def walk_images(folder: str | Path, left_out: LeftOut | None = None) -> Iterator[str]:
    """Yields the paths of all images below `folder`, sorted.

    A file is an image if it has an image extension or starts with the signature of a known format, whether or not
    that format can be decoded. Skipped are hidden files and folders, system folders (`@eaDir`, `__MACOSX`), and links
    to folders, which could form a cycle. Only the names in one folder are held in memory at a time.

    Args:
        folder: Folder to search; it may itself be hidden or a link.
        left_out: Collects everything that is skipped.

    Raises:
        FileNotFoundError: `folder` is not a folder.
        PermissionError: `folder` or a folder below it cannot be read, so images could be missed unnoticed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.png").write_bytes(b""), (Path(folder) / "notes.txt").write_text("read me")
        ...     [Path(path).name for path in walk_images(folder)]
        ['a.png']
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    yield from _walk(str(folder), LeftOut() if left_out is None else left_out)


def list_images(folder: str | Path) -> list[Path]:
    """Lists all images below `folder` by the rules of `walk_images`; a warning reports what was skipped.

    Raises:
        FileNotFoundError: `folder` is not a folder.
        PermissionError: `folder` or a folder below it cannot be read.
        ImageError: The folder contains no image; states what it contains.
        UsageTypeError: `folder` is not a path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "b.png").write_bytes(b"")
        ...     _ = (Path(folder) / "a").write_bytes(b"GIF89a")
        ...     [path.name for path in list_images(folder)]
        ['a', 'b.png']
    """
    _require_path(folder)
    return [Path(path) for path in find_images([Path(folder)])]


def check_exist(sources: Iterable[Path]) -> None:
    """Raises `FileNotFoundError` for the first source that does not exist; costs nothing, so it is asked early."""
    for source in sources:
        _require_path(source)
        if not source.exists():
            hint = "; addresses are not read, local paths only" if ":/" in str(source) else ""
            raise FileNotFoundError(f"no such file or folder: {source}{hint}")


def _require_path(value: object) -> None:
    """Refuses contents of files, arrays and tensors, which other functions accept as images."""
    if not isinstance(value, str | os.PathLike):
        kind = type(value).__name__
        raise UsageTypeError(
            f"a path of a file or folder is wanted here, got a {kind}: bytes, arrays and tensors are given to "
            "Predictor.predict or read_image"
        )


def find_images(sources: Sequence[Path], say: Callable[[str], None] = warn_user) -> list[str]:
    """Lists the given image files and the images in the given folders, in the given order, without duplicates.

    Args:
        sources: Files, which are included whatever their content, and folders.
        say: Called with a line on what was skipped in each folder and on the number of files given twice.

    Raises:
        FileNotFoundError: A source does not exist.
        PermissionError: A folder cannot be read.
        ImageError: A folder contains no image; states what it contains.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.png"
        ...     _ = path.write_bytes(b"")
        ...     found = find_images([path, Path(folder)], say=lambda line: None)
        ...     [Path(path).name for path in found]
        ['a.png']
    """
    check_exist(sources)
    found: list[str] = []  # a hundred bytes each; a `Path` takes ten times as much
    for source in sources:
        if not source.is_dir():
            found.append(str(source))
            continue
        left_out, before = LeftOut(), len(found)
        found += walk_images(source, left_out)
        if len(found) == before:
            raise ImageError(f"{source}: no image in this folder or below it; it holds {str(left_out) or 'nothing'}")
        if left_out.counts:
            say(f"{source}: left out {left_out}")
    if len(sources) < 2:
        return found
    once: dict[str, str] = {}
    for path in found:
        once.setdefault(str(Path(path).absolute()), path)
    twice = len(found) - len(once)
    if twice:
        those = counted(twice, "image is", "images are")
        say(f"{those} in several of the files and folders named; {'it' if twice == 1 else 'each'} is taken once")
    return list(once.values())


def _walk(folder: str, left_out: LeftOut) -> Iterator[str]:
    with os.scandir(folder) as entries:
        # Folders are visited among the files, so that the paths are in the order of their sorted parts.
        names = sorted((e.name, e.path, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries)
    for name, path, is_folder, is_link in names:
        kind = _passed_over(name, path, is_folder or (is_link and Path(path).is_dir()), is_link)
        if kind is not None:
            left_out.add(kind, name)
        elif is_folder:
            yield from _walk(path, left_out)
        else:
            yield path


def _passed_over(name: str, path: str, is_folder: bool, is_link: bool) -> str | None:
    """Returns the kind of a skipped file or folder; None for an image and for a folder to descend into."""
    if is_folder:
        if name.lower() in _SYSTEM_FOLDERS:
            return "system folder"
        return "hidden folder" if name[0] == "." else "linked folder" if is_link else None
    if name[0] == ".":
        return "hidden file"
    # A name states what the file should be: an empty "a.png" is listed, and reported as an unreadable image.
    return None if name.lower().endswith(IMAGE_EXTENSIONS) else _kind_of(path)


def _kind_of(path: str) -> str | None:
    """Returns the kind of a file that is not an image, by its first bytes; None for an image."""
    if not Path(path).is_file():  # opening a pipe would block
        return "broken link" if Path(path).is_symlink() else "special file"
    try:
        with Path(path).open("rb", buffering=0) as file:
            head = file.read(HEAD)
    except PermissionError:
        return "file that may not be read"
    return None if image_kind(head) else _short(file_kind(head), head)


def _short(kind: str, head: bytes) -> str:
    """Returns a kind without its article and explanation."""
    if kind != UNKNOWN:
        return re.sub(r"^an? |[,(].*", "", kind).strip()
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a letter may be cut in two at the end
            return "other file"
    return "other file" if b"\0" in head else "text file"


def _plural(kind: str) -> str:
    noun, rest = re.fullmatch(r"(.*?)((?: that | without ).*)?", kind).groups("")  # type: ignore[union-attr]
    return (re.sub(r"([^aeiou])y$", r"\1ie", noun) + "s") + rest
