"""Reads a complete release; each required file is checked against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from zoo.core import files as disk
from zoo.core.errors import ReleaseError
from zoo.core.file_kinds import looks_like
from zoo.release import golden, manifest
from zoo.release.folder import ReleaseFolder
from zoo.release.layout import MAX_FILES, SMALL
from zoo.release.unsafe import unsafe_alone


def read_release(
    folder: str | Path, members: Sequence[str] | None = None, *, root: Path | None = None, source: str = ""
) -> ReleaseFolder:
    """Reads a release folder and checks every required file against the manifest.

    Args:
        folder: Path of the release.
        members: Members whose weights are required; all by default.
        root: Folder that links may lead to; the release folder by default.
        source: Hub reference of the release.

    Raises:
        FileNotFoundError: The folder does not exist.
        UnknownNameError: There is no such member.
        IntegrityError: A file is missing or altered.
        ReleaseError: The release has a newer format version, or its parts are inconsistent.
    """
    folder = Path(folder).expanduser()
    disk.recover(folder)
    _require_release(folder)
    found = ReleaseFolder(folder, root, source)
    found.require()
    manifest.check(folder, found.files, only=SMALL, root=root)
    weights = found.weights(members)
    found.require(found.spec)
    manifest.check(folder, found.files, only=weights, root=root)
    found.check_counts(members)
    golden.check_images(folder, found.spec.image_size)
    # All parts are read now, while the files are known to match the manifest.
    for part in ("parameters", "_decisions", "listing", "golden", "exports"):
        getattr(found, part)
    golden.check_logits(found)
    found.json("metrics.json")  # `evaluation` takes longer to make and is seldom asked for
    _ = found.manifest_sha256
    return found


def _require_release(folder: Path) -> None:
    if folder.is_file():
        raise ReleaseError(f"{folder} is {looks_like(folder)}: a release is a folder, which 'zoo release RUN' writes")
    if not folder.is_dir():
        raise FileNotFoundError(f"no release folder at {folder}")
    if (folder / manifest.MANIFEST).exists():
        return
    if unsafe := unsafe_alone(path.name for path in islice(folder.iterdir(), MAX_FILES)):
        raise ReleaseError(
            f"{folder}: has no {manifest.MANIFEST}, and weights only in unsafe formats ({unsafe[0][:80]!r}): reading "
            "one may run code; there is no fallback, but 'zoo release RUN' writes a release of a run"
        )
