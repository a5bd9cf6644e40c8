"""What publishing changes in a repository: the files of a release held against those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.core import files as disk
from zoo.core.errors import HubError, ReleaseError
from zoo.hub.repository import Repository, State
from zoo.release import card, manifest
from zoo.release.folder import ReleaseFolder, listed

Action = Literal["new", "changed", "same", "deleted", "unknown"]


@dataclass(frozen=True)
class FileChange:
    """What publishing does, or would do, with one file of the repository.

    Attributes:
        name: Path in the repository.
        size: Bytes.
        sha256: Of the published file; "" of one that is deleted.
        action: "unknown" where the repository was not asked.
    """

    name: str
    size: int
    sha256: str
    action: Action


@dataclass(frozen=True)
class Plan:
    """The repository as it shall be.

    Attributes:
        paths: Path in the repository -> local file.
        changes: One for each of them, and for each file that goes.
        card: Text of `README.md`.
    """

    paths: Mapping[str, Path]
    changes: tuple[FileChange, ...]
    card: str

    def named(self, *actions: Action) -> list[str]:
        """Files that one of these happens to."""
        return [change.name for change in self.changes if change.action in actions]

    @property
    def sha256(self) -> dict[str, str]:
        """Of each file that shall be there."""
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
    """Compares a release with what a repository holds; nothing is written but to `staging`.

    Args:
        release: What shall be published.
        license: SPDX name that it is published under.
        repo: "owner/name".
        hub: To read the repository's card and manifest with; None: it is not asked.
        before: The repository's state; None: there is no such repository.
        staging: An empty folder for the card and the manifest, which are not those of the release folder.

    Raises:
        HubError: A file that no zoo release put there would be overwritten, or the card there cannot be edited.
    """
    older, there = _there(repo, hub, before, staging)
    listing = release.listing
    rendered = card.render(
        release.spec,
        release.evaluation,
        decision=release.decision,
        provenance=release.provenance,
        license=license,
        repo=repo,
        storage=release.storage,
    )
    text = _card(repo, rendered, release.folder, listing, there)
    staged = _stage(staging, listing, rendered, text, license)
    paths = {name: release.folder / name for name in listing["files"]} | staged
    changes = []
    for name in sorted(paths):
        sha256 = disk.sha256(paths[name]) if name in staged else str(listing["files"][name]["sha256"])
        action = _action(name, paths[name], sha256, before) if hub else "unknown"
        changes.append(FileChange(name, paths[name].stat().st_size, sha256, action))
    if before:
        _refuse_strangers(repo, changes, older)
        gone = sorted(name for name in older if name in before.files and name not in paths)
        changes += [FileChange(name, before.files[name].size, "", "deleted") for name in gone]
    return Plan(paths, tuple(changes), text)


def _there(repo: str, hub: Repository | None, before: State | None, staging: Path) -> tuple[set[str], str | None]:
    """Files of the release that lies there, which are the zoo's to change, and the text of the card."""
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


def _card(repo: str, rendered: str, folder: Path, listing: Mapping[str, Any], there: str | None) -> str:
    """The card to publish: people's words are kept, those on the Hub before those in the release folder."""
    where, path = f"publishing {repo}: the card there", folder / manifest.CARD
    if there is None:
        stated = listing["files"].get(manifest.CARD)
        _require_small(path, str(folder))
        if not path.is_file() or (isinstance(stated, dict) and disk.sha256(path) == stated.get("sha256")):
            return rendered
        where = str(folder)
        there = _text(path, where)
    try:
        return card.merge(rendered, there)
    except HubError as error:
        raise HubError(f"{where}: {error}") from None


def _text(path: Path, where: str) -> str:
    _require_small(path, where)
    # Not `read_text`: it would change the line ends.
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise HubError(f"{where}: {path.name} is not UTF-8 text; save it as UTF-8") from None


def _require_small(path: Path, where: str) -> None:
    most = manifest.max_bytes(manifest.CARD)
    if path.is_file() and (size := path.stat().st_size) > most:
        raise HubError(f"{where}: {path.name} of {size:,} bytes is too large to be a card (at most {most:,})")


def _stage(staging: Path, listing: Mapping[str, Any], rendered: str, text: str, license: str) -> dict[str, Path]:
    """Card and manifest as they are published.

    The manifest lists the card as it was rendered, without people's words: the same release under the same licence
    gives the same manifest, and `verify` can say that a card was edited.
    """
    path = staging / manifest.CARD
    path.write_bytes(rendered.encode("utf-8"))
    files = {**listing["files"], manifest.CARD: {"size": path.stat().st_size, "sha256": disk.sha256(path)}}
    path.write_bytes(text.encode("utf-8"))
    manifest.write_json(
        staging / manifest.MANIFEST, {**listing, "license": license, "files": dict(sorted(files.items()))}
    )
    return {name: staging / name for name in (manifest.CARD, manifest.MANIFEST)}


def _action(name: str, path: Path, sha256: str, before: State | None) -> Action:
    if before is None or name not in before.files:
        return "new"
    return "same" if before.files[name].same(path, sha256) else "changed"


def _refuse_strangers(repo: str, changes: Sequence[FileChange], older: set[str]) -> None:
    """Another model of the owner may lie there: its config.json is not ours to overwrite."""
    strangers = [c.name for c in changes if c.action == "changed" and c.name not in (*older, manifest.CARD)]
    if strangers:
        raise HubError(
            f"publishing {repo}: it has {', '.join(strangers)} of its own, which no zoo release put there; publish to "
            "another repository, or delete them there first"
        )
