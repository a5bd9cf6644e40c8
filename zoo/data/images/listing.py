"""The image files of a folder, told by their content; everything else in it is counted by kind."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.core.errors import ImageError
from zoo.core.file_kinds import HEAD, UNKNOWN, file_kind, image_kind
from zoo.core.paths import IMAGE_EXTENSIONS
from zoo.core.warn import warn_user

#: Folders, in lower case, in which a system keeps thumbnails, shadows of files, or what was thrown away.
_SYSTEM_FOLDERS = frozenset(
    ("@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "recycler", "lost+found")
) | {"system volume information", "@recently-snapshot", "@synoresource"}


@dataclass
class LeftOut:
    """What a listing passed over.

    Attributes:
        counts: Kind, such as "text file" -> how many there were.
        examples: The same kind -> the name of the first.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Counts one more of a kind."""
        self.counts[kind] += 1
        self.examples.setdefault(kind, name)

    def __str__(self) -> str:
        """One line, such as "3 text files (first notes.txt), 1 linked folder (link)"; "" for nothing."""
        parts = []
        for kind, count in self.counts.most_common():
            name = self.examples[kind]
            parts.append(f"1 {kind} ({name})" if count == 1 else f"{count:,} {_plural(kind)} (first {name})")
        return ", ".join(parts)


def walk_images(folder: str | Path, left_out: LeftOut | None = None) -> Iterator[str]:
    """Paths of all images below `folder`, in the order of their paths.

    A file is an image if its name ends as one's or its first bytes are those of a known format, whether or not that
    format can be decoded. Left out are hidden files and folders, folders of the system (`@eaDir`, `__MACOSX`), and
    folders that are links, which could lead round in a circle. The names of one folder are held at a time.

    Args:
        folder: Where to look; it may itself be hidden or a link.
        left_out: Told of everything that is passed over.

    Raises:
        FileNotFoundError: `folder` is not a folder.
        PermissionError: It or a folder below it cannot be read: its images would be missing in silence.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    yield from _walk(str(folder), LeftOut() if left_out is None else left_out)


def list_images(folder: str | Path) -> list[Path]:
    """All images below `folder` as `walk_images` finds them; a warning says what was left out.

    Raises:
        FileNotFoundError: `folder` is not a folder.
        PermissionError: As `walk_images`.
        ImageError: It holds no image; says what it holds.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "b.png").write_bytes(b"")
        ...     _ = (Path(folder) / "a").write_bytes(b"GIF89a")
        ...     [path.name for path in list_images(folder)]
        ['a', 'b.png']
    """
    return [Path(path) for path in find_images([Path(folder)])]


def find_images(sources: Sequence[Path], say: Callable[[str], None] = warn_user) -> list[str]:
    """Paths of the image files named, and of those in the folders named, in that order, each once.

    Args:
        sources: Files, which are taken whatever they are, and folders.
        say: Told in a line what was left out of each folder, and how many files were named twice.

    Raises:
        FileNotFoundError: A source that is not there.
        PermissionError: A folder that cannot be read.
        ImageError: A folder without images; says what it holds.
    """
    found: list[str] = []  # a hundred bytes each; as `Path` they would take ten times that
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"no such file or folder: {source}")
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
        those = "1 image is" if twice == 1 else f"{twice:,} images are"
        say(f"{those} in several of the files and folders named; {'it' if twice == 1 else 'each'} is taken once")
    return list(once.values())


def _walk(folder: str, left_out: LeftOut) -> Iterator[str]:
    with os.scandir(folder) as entries:
        # Folders among the files, so that the paths come out as sorting them by their parts would have it.
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
    """The kind of a file or folder that is left out; None for an image, and for a folder to look into."""
    if is_folder:
        if name.lower() in _SYSTEM_FOLDERS:
            return "system folder"
        return "hidden folder" if name[0] == "." else "linked folder" if is_link else None
    if name[0] == ".":
        return "hidden file"
    # A name says what its file should be: an empty "a.png" is an image that cannot be read, and its row says so.
    return None if name.lower().endswith(IMAGE_EXTENSIONS) else _kind_of(path)


def _kind_of(path: str) -> str | None:
    """What a file is if it is no image, told by its first bytes."""
    if not Path(path).is_file():  # opening a pipe would wait for its other end
        return "broken link" if Path(path).is_symlink() else "special file"
    try:
        with Path(path).open("rb", buffering=0) as file:
            head = file.read(HEAD)
    except PermissionError:
        return "file that may not be read"
    return None if image_kind(head) else _short(file_kind(head), head)


def _short(kind: str, head: bytes) -> str:
    """A kind without its article and explanation."""
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
