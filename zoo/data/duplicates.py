"""Hashes that identify an image under another file name or in another file format."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.core.counting import counted
from zoo.core.errors import ImageError, SplitError
from zoo.core.warn import Threads
from zoo.data.images.reading import read_image
from zoo.data.images.sources import file_bytes
from zoo.labels.parts import part_of

_CHUNK = 1024


@dataclass(frozen=True)
class Fingerprints:
    """Hashes of image files.

    Attributes:
        hashes: Path -> {"bytes": hex sha256 of the file, "pixels": hex sha256 of its decoded pixels}, in the order
            given. A file that cannot be decoded has no "pixels"; one that cannot be opened has neither.
        unreadable: Path -> the reason why it cannot be opened or decoded.
    """

    hashes: dict[str, dict[str, str]]
    unreadable: dict[str, str]


def fingerprints(
    paths: Sequence[str | Path],
    *,
    pixels: bool = True,
    workers: int | None = None,
    on_file: Callable[[], None] | None = None,
) -> Fingerprints:
    """Hashes image files; unreadable files are listed in the result and do not stop the others.

    Args:
        paths: Image files.
        pixels: Whether to hash the decoded pixels as well, which finds images that were saved again without loss (as
            PNG, or with other metadata). It takes about 10 ms per image. The pixels are those of `read_image`: grey,
            0..255, full size.
        workers: Number of threads; the number of processors by default.
        on_file: Called after each file, in the caller's thread.

    Example:
        >>> fingerprints(["missing.png"]).unreadable
        {'missing.png': 'no such file'}
    """
    found = Fingerprints({}, {})
    with Threads(workers or os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            chunk = [str(path) for path in paths[start : start + _CHUNK]]
            for path, (hashes, reason) in zip(chunk, pool.map(lambda p: _hash(p, pixels), chunk), strict=True):
                found.hashes[path] = hashes
                if reason:
                    found.unreadable[path] = reason
                if on_file is not None:
                    on_file()
    return found


@dataclass(frozen=True)
class SplitImages:
    """Images of one part of a split: their names, and the patient of each, or () if the manifest lists none."""

    names: tuple[str, ...]
    patients: tuple[str, ...] = ()


def split_images(path: str | Path) -> dict[str, SplitImages]:
    """Reads the images of each part from a split's manifest; the table is not needed.

    Args:
        path: `split.json`, or the run folder that holds it.

    Returns:
        Part -> its images.

    Raises:
        FileNotFoundError: No such file.
        SplitError: The file is not a split manifest.
    """
    path = _split_file(path)
    try:
        parts = json.loads(path.read_text("utf-8"))["parts"]
        lists = {part: (facts["images"], facts.get("patients", [])) for part, facts in parts.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SplitError(f"{path}: not a split manifest ({type(error).__name__}: {error})") from None
    for part, (names, patients) in lists.items():
        if not all(isinstance(texts, list) and all(isinstance(t, str) for t in texts) for texts in (names, patients)):
            raise SplitError(f"{path}: not a split manifest: the images of {part!r} must be a list of names")
        if patients and len(patients) != len(names):
            raise SplitError(
                f"{path}: not a split manifest: {counted(len(patients), 'patient')} of {counted(len(names), 'image')}"
            )
    return {
        part_of(part) or part: SplitImages(tuple(names), tuple(patients)) for part, (names, patients) in lists.items()
    }


def split_hash(path: str | Path) -> str:
    """Reads the hash in a split's manifest; arguments and errors are those of `split_images`."""
    path = _split_file(path)
    try:
        stated = json.loads(path.read_text("utf-8"))["hash"]
    except (ValueError, KeyError, TypeError) as error:
        raise SplitError(f"{path}: not a split manifest ({type(error).__name__}: {error})") from None
    return str(stated)


def _split_file(path: str | Path) -> Path:
    path = Path(path)
    path = path / "split.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such split manifest")
    return path


def _hash(path: str, pixels: bool) -> tuple[dict[str, str], str]:
    try:
        data = file_bytes(path)
    except ImageError as error:
        return {}, str(error)
    except OSError as error:
        return {}, error.strerror or type(error).__name__
    hashes = {"bytes": hashlib.sha256(data).hexdigest()}
    if not pixels:
        return hashes, ""
    try:
        image = read_image(data)
    except ImageError as error:
        return hashes, str(error).partition(": ")[2]
    # The shape is hashed too: the same bytes in another shape are another image.
    return hashes | {"pixels": hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()}, ""
