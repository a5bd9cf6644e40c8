"""Reading a release whole: each file that is needed is checked against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from zoo.core import files as disk
from zoo.core.errors import ReleaseError
from zoo.core.file_kinds import looks_like
from zoo.release import golden, manifest
from zoo.release.documents import MAX_FILES, SMALL
from zoo.release.folder import ReleaseFolder
from zoo.release.unsafe import unsafe_alone


def read_release(
    folder: str | Path, members: Sequence[str] | None = None, *, root: Path | None = None, source: str = ""
) -> ReleaseFolder:
    """Reads a release folder and checks every file that it needs against the manifest.

    Args:
        folder: The release.
        members: Only the weights of these need be there; all by default.
        root: Where links in the folder may lead to; the folder itself by default.
        source: Where it was pulled from.

    Raises:
        FileNotFoundError: No such folder.
        UnknownNameError: No such member.
        IntegrityError: A file is missing or altered.
        ReleaseError: Of a newer format, or its parts do not fit each other.
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
    # Read now, while the files are known to be those of the manifest.
    for part in ("parameters", "_decisions", "metrics", "provenance", "storage", "golden", "exports"):
        getattr(found, part)
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
