"""Plans a publication: compares the files of a release with those of the repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.core import files as disk
from zoo.core.errors import HubError, ReleaseError
from zoo.hub.repository import Repository, State
from zoo.release import card, manifest
from zoo.release.folder import ReleaseFolder
from zoo.release.small_files import listed

Action = Literal["new", "changed", "same", "deleted", "unknown"]


@dataclass(frozen=True)
class FileChange:
    """What publishing does (or would do) with one file of the repository.

    Attributes:
        name: Path in the repository.
        size: Size in bytes.
        sha256: SHA-256 of the published file; "" for a deleted file.
        action: What happens to the file; "unknown" if the repository was not queried.

    >>> FileChange("config.json", 120, "", "deleted").action
    'deleted'
    """

    name: str
    size: int
    sha256: str
    action: Action


@dataclass(frozen=True)
class Plan:
    """The state of the repository that publishing makes.

    Attributes:
        paths: Path in the repository -> local file.
        changes: One entry for each of these files, and for each deleted file.
        card: Text of `README.md`.
    """

    paths: Mapping[str, Path]
    changes: tuple[FileChange, ...]
    card: str

    def named(self, *actions: Action) -> list[str]:
        """Names of the files with one of these actions."""
        return [change.name for change in self.changes if change.action in actions]

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of each file of the published release, by name."""
        return {change.name: change.sha256 for change in self.changes if change.action != "deleted"}

    @property
    def nothing_new(self) -> bool:
        """Whether the repository holds all of it, and nothing that has to go."""
        return not self.named("new", "changed", "deleted", "unknown")

    def held_by(self, state: State, but: Sequence[str] = ()) -> bool:
        """Whether a repository in this state is as it shall be, some files aside."""
        wanted = {name: sha256 for name, sha256 in self.sha256.items() if name not in but}
        held = all(n in state.files and state.files[n].same(self.paths[n], sha256) for n, sha256 in wanted.items())
        return held and not any(name in state.files for name in self.named("deleted"))


def plan(
    release: ReleaseFolder, license: str, repo: str, hub: Repository | None, before: State | None, staging: Path
) -> Plan:
    """Compares a release with the contents of a repository; writes only to `staging`.

    Args:
        release: The release to publish.
        license: SPDX name of its licence.
        repo: "owner/name".
        hub: Reads the card and the manifest of the repository; None does not query it.
        before: The current state of the repository; None if it does not exist.
        staging: An empty folder for the published card and manifest, which differ from those of the release folder.

    Raises:
        HubError: A file that does not come from a zoo release would be overwritten, or the card there cannot be edited.
    """
    older, there = _there(repo, hub, before, staging)
    rendered = card.render(
        release.spec,
        release.evaluation,
        decision=release.decision,
        provenance=release.provenance,
        license=license,
        repo=repo,
        storage=release.storage,
        checks=str(release.gate or ""),
    )
    text = _card(repo, rendered, release, there)
    staged = _stage(staging, release, rendered, text, license)
    paths = {name: release.folder / name for name in release.files} | staged
    changes = []
    for name in sorted(paths):
        sha256 = disk.sha256(paths[name]) if name in staged else release.files[name].sha256
        action = _action(name, paths[name], sha256, before) if hub else "unknown"
        changes.append(FileChange(name, paths[name].stat().st_size, sha256, action))
    if before:
        _refuse_strangers(repo, changes, older)
        gone = sorted(name for name in older if name in before.files and name not in paths)
        changes += [FileChange(name, before.files[name].size, "", "deleted") for name in gone]
    return Plan(paths, tuple(changes), text)


def _there(repo: str, hub: Repository | None, before: State | None, staging: Path) -> tuple[set[str], str | None]:
    """The files of the release that is in the repository, which may be changed, and the text of the card there."""
    if hub is None or before is None:
        return set(), None
    folder = staging / "there"
    folder.mkdir()
    readme, listing = (hub.fetch(name, before, folder) for name in (manifest.CARD, manifest.MANIFEST))
    files: set[str] = set()
    if listing:
        try:
            files = {*listed(folder, manifest.read_json(listing)), manifest.MANIFEST}
        except ReleaseError as error:
            why = str(error).replace(f"{folder}/", "").replace(str(folder), manifest.MANIFEST)
            raise HubError(
                f"publishing {repo}: its {manifest.MANIFEST} is not one that this version may replace ({why}); publish "
                "to another repository"
            ) from None
    return files, _text(readme, f"publishing {repo}: the card there") if readme else None


def _card(repo: str, rendered: str, release: ReleaseFolder, there: str | None) -> str:
    """The card to publish. It keeps text that people wrote: on the Hub or, failing that, in the release folder."""
    folder = release.folder
    where, path = f"publishing {repo}: the card there", folder / manifest.CARD
    if there is None:
        stated = release.files.get(manifest.CARD)
        _require_small(path, str(folder))
        if not path.is_file() or (stated is not None and disk.sha256(path) == stated.sha256):
            return rendered
        where = str(folder)
        there = _text(path, where)
    try:
        return card.merge(rendered, there)
    except HubError as error:
        raise HubError(f"{where}: {error}") from None


def _text(path: Path, where: str) -> str:
    _require_small(path, where)
    # Not `read_text`, which would change line ends.
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise HubError(f"{where}: {path.name} is not UTF-8 text; save it as UTF-8") from None


def _require_small(path: Path, where: str) -> None:
    most = manifest.max_bytes(manifest.CARD)
    if path.is_file() and (size := path.stat().st_size) > most:
        raise HubError(f"{where}: {path.name} of {size:,} bytes is too large to be a card (at most {most:,})")


def _stage(staging: Path, release: ReleaseFolder, rendered: str, text: str, license: str) -> dict[str, Path]:
    """Writes the card and the manifest that are published.

    The manifest lists the card as rendered, without text that people wrote. So one release under one licence always has
    the same manifest, and `verify` can report that a card was edited.
    """
    path = staging / manifest.CARD
    path.write_bytes(rendered.encode("utf-8"))
    files = {**release.files, manifest.CARD: manifest.Listed.of(path)}
    path.write_bytes(text.encode("utf-8"))
    listing = {**release.json(manifest.MANIFEST), "license": license, "files": manifest.to_json(files)}
    manifest.write_json(staging / manifest.MANIFEST, listing)
    return {name: staging / name for name in (manifest.CARD, manifest.MANIFEST)}


def _action(name: str, path: Path, sha256: str, before: State | None) -> Action:
    if before is None or name not in before.files:
        return "new"
    return "same" if before.files[name].same(path, sha256) else "changed"


def _refuse_strangers(repo: str, changes: Sequence[FileChange], older: set[str]) -> None:
    """Refuses to overwrite files of another model, such as its config.json."""
    strangers = [c.name for c in changes if c.action == "changed" and c.name not in (*older, manifest.CARD)]
    if strangers:
        raise HubError(
            f"publishing {repo}: it has {', '.join(strangers)} of its own, which no zoo release put there; publish to "
            "another repository, or delete them there first"
        )
