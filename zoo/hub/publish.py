"""Publishes a release in one commit on the Hub, merges its card with the existing one, and verifies the upload."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from zoo._version import __version__
from zoo.core.errors import HubError, ReleaseError
from zoo.hub import reference
from zoo.hub.changes import FileChange as FileChange
from zoo.hub.changes import Plan, plan
from zoo.hub.hub_errors import endpoint, hub_errors, status
from zoo.hub.repository import Repository, State
from zoo.release import card_facts, manifest
from zoo.release.folder import ReleaseFolder
from zoo.release.read import read_release

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


@dataclass(frozen=True)
class Publication:
    """The result of publishing, or of a dry run.

    Attributes:
        repo: "owner/name".
        commit: Full hash of the commit that holds the release; "" in a dry run.
        url: Page of the repository.
        tag: Tag of the commit, or "".
        pr_url: Page of the pull request, or "".
        files: All files of the release, and the deleted files of an older release.
        card: Text of the published `README.md`.
        dry_run: Whether nothing was written.
        why_dry: The reason why nothing was written; "" otherwise.
        nothing_new: Whether the repository, or an open pull request, already held the release, so that no commit was
            needed.
    """

    repo: str
    commit: str
    url: str
    tag: str
    pr_url: str
    files: tuple[FileChange, ...]
    card: str
    dry_run: bool
    why_dry: str
    nothing_new: bool


def publish(
    folder: str | Path,
    repo: str,
    *,
    private: bool | None = None,
    tag: str = "",
    license: str = "",
    dry_run: bool = False,
    pr: bool = False,
    message: str = "",
) -> Publication:
    """Publishes a release folder as a model repository, in one commit, or in none if nothing has changed.

    Only new or changed files that the manifest lists are uploaded. In an existing card, only the zoo's own blocks and
    keys are updated. Files of an older release that this one lacks are deleted in the same commit; all other files of
    the repository stay. After a failure, publish again: uploaded files are not sent twice.

    Args:
        folder: A release folder; it is not changed.
        repo: "owner/name" on the Hub of `HF_ENDPOINT`.
        private: Whether the repository is private; True by default for a new one. An existing one must already be so.
        tag: Tag for the commit, set after the upload was verified.
        license: SPDX name of the weights' licence; by default that of the manifest, or the known one of model and data.
        dry_run: Whether to only report what would be done. Without a token this is always so, and no request is made.
        pr: Whether to make a pull request instead of a commit on main.
        message: Commit message.

    Raises:
        ReleaseError: The folder is not a complete release, or lacks licence, split hash or metrics.
        HubError: The Hub refused the release, or returned different bytes; the message says what to do.
    """
    _check_request(repo, tag, pr)
    found = read_release(folder)
    license = _check_publishable(found, license)
    hub, why_dry = _connect(repo, dry_run, pr)
    with tempfile.TemporaryDirectory() as staging:
        before = _look(hub, private, pr) if hub else None
        wanted = plan(found, license, repo, hub, before, Path(staging))
        tagged = _check_wanted(hub, before, wanted, tag) if hub else False
        if hub is None or why_dry:
            return _publication(repo, wanted, wanted.nothing_new, tag=tag, why_dry=why_dry)
        before = before or _create(hub, wanted, private)
        message = message or f"Publish {found.spec.name} (zoo {__version__})"
        commit, pr_url, sent = _send(hub, before, wanted, pr, message)
        _check_published(hub, wanted, commit)
        if tag and not tagged:
            _tag(hub, tag, commit)
    return _publication(repo, wanted, not sent, tag=tag, commit=commit, pr_url=pr_url)


def _check_request(repo: str, tag: str, pr: bool) -> None:
    """Checks the arguments, without the release and the Hub."""
    reference.check_repo(repo)
    if not tag:
        return
    if pr:
        raise HubError(f"tag {tag!r} with a pull request: a tag names a commit that is merged; tag after the merge")
    if reference.Reference(repo, tag).pinned:
        raise HubError(f"tag {tag!r} reads as a commit: choose a name such as 'v1'")


def _check_publishable(found: ReleaseFolder, license: str) -> str:
    """Returns the licence to publish under; refuses a release without licence, split hash or metrics."""
    facts = card_facts.of_data(card_facts.of_model(found.spec), found.provenance)
    # The Hub knows licences by their SPDX names in lower case.
    license = (license or found.license or facts.license).lower()
    port = found.listing.provenance.port
    if port is not None and port.licence == "unknown":
        raise ReleaseError(
            f"{found.folder}: weights that others published without a licence known to this project are not passed on"
        )
    if found.provenance.get("distillation", {}).get("licence") == "unknown":
        raise ReleaseError(
            f"{found.folder}: it was taught by weights without a licence known to this project, so it is not passed on"
        )
    missing = []
    if not license:
        missing.append("a licence (give --license, such as cc-by-4.0)")
    if not found.split_hash:
        missing.append("the hash of its split (provenance.split.hash: a run of zoo train has it)")
    if found.evaluation is None:
        missing.append("metrics (metrics.json is empty: a finished run of zoo train has them)")
    if missing:
        raise ReleaseError(f"{found.folder}: not fit to be published, it lacks {'; '.join(missing)}")
    if not _LICENSE.fullmatch(license):
        raise ReleaseError(f"licence {license[:80]!r}: expected an id such as 'apache-2.0' or 'cc-by-4.0'")
    return license


def _connect(repo: str, dry_run: bool, pr: bool) -> tuple[Repository | None, str]:
    """The repository, if it can be queried, and the reason if nothing will be written."""
    with hub_errors(f"publishing {repo}"):
        from huggingface_hub import get_token, is_offline_mode

        token = get_token()
    if not token:
        return None, "there is no token (log in with 'hf auth login' or set HF_TOKEN); the repository was not asked"
    if dry_run and is_offline_mode():
        return None, "it is a dry run, and the client is offline; the repository was not asked"
    hub = Repository(repo, token)
    hub.check_account(pull_request=pr)
    return hub, "it is a dry run" if dry_run else ""


def _look(hub: Repository, private: bool | None, pr: bool) -> State | None:
    """The current state of the repository; refuses one that cannot be published to as requested."""
    state = hub.state()
    if state is None and pr:
        raise HubError(f"{hub.repo} is not there, or hidden from this token: there is nothing to propose to; drop --pr")
    if state is not None and private is not None and private != state.private:
        is_so, asked = ("private", "public") if state.private else ("public", "private")
        raise HubError(
            f"{hub.repo} is {is_so}, and publishing does not make it {asked}: drop --{asked}, or change it first at "
            f"{endpoint()}/{hub.repo}/settings"
        )
    return state


def _check_wanted(hub: Repository, before: State | None, wanted: Plan, tag: str) -> bool:
    """Checks what would otherwise fail after the upload: a card that the Hub refuses, a tag that is taken.

    Returns:
        Whether the tag already exists and names this release.
    """
    hub.check_card(wanted.card)
    if not tag or before is None:
        return False
    branches, tags = hub.refs()
    if tag in branches:
        raise HubError(f"publishing {hub.repo}: {tag!r} is a branch there; choose another tag")
    if tag not in tags:
        return False
    # The card may have been edited since; the tagged release is still the same.
    if wanted.nothing_new and (state := hub.state(tag)) and wanted.held_by(state, but=[manifest.CARD]):
        return True
    raise HubError(f"publishing {hub.repo}: tag {tag!r} exists at {tags[tag][:7]} with other content; choose another")


def _create(hub: Repository, wanted: Plan, private: bool | None) -> State:
    hub.create(private=private is not False)
    state = hub.state()
    if state is None or any(name in state.files for name in wanted.paths):
        raise HubError(f"publishing {hub.repo}: somebody made or changed the repository meanwhile: run again")
    return state


def _send(hub: Repository, before: State, wanted: Plan, pr: bool, message: str) -> tuple[str, str, bool]:
    """Uploads and commits what is new.

    Returns:
        The commit that holds the release, the page of the pull request, and whether a commit was made for it.
    """
    if wanted.nothing_new:
        return before.commit, "", False
    if pr and (proposed := _find(hub, wanted, pr)):
        return *proposed, False
    additions = hub.upload({name: wanted.paths[name] for name in wanted.named("new", "changed")}, pull_request=pr)
    try:
        info = hub.commit(additions, wanted.named("deleted"), parent=before.commit, message=message, pull_request=pr)
    except HubError as error:
        # Without a proper answer the commit may still exist, so look at the state of the repository.
        if error.__cause__ is None or 400 <= status(error.__cause__) < 500:
            raise
        if made := _find(hub, wanted, pr):
            return *made, True
        raise HubError(f"{error} (nothing was changed there; what is uploaded is not sent twice)") from error
    return info.oid, info.pr_url or "", True


def _find(hub: Repository, wanted: Plan, pr: bool) -> tuple[str, str] | None:
    """The commit on main, or in an open pull request of ours, that holds the release; and the request's page."""
    for revision, page in (hub.proposals() if pr else {"main": ""}).items():
        if (state := hub.state(revision)) and wanted.held_by(state):
            return state.commit, page
    return None


def _check_published(hub: Repository, wanted: Plan, commit: str) -> None:
    """Downloads the files again and compares their hashes, which neither the client nor the Hub does."""
    if altered := hub.altered(commit, wanted.sha256):
        raise HubError(
            f"{hub.repo}@{commit}: {', '.join(altered)} came back with other bytes than were sent: nobody should load "
            "this commit; run again, and if it stays ask the people of the Hub or of the proxy"
        )


def _tag(hub: Repository, tag: str, commit: str) -> None:
    try:
        hub.tag(tag, commit)
    except HubError as error:
        # The tag may exist although the answer was lost.
        if hub.refs()[1].get(tag) != commit:
            raise HubError(f"{error}; {commit[:7]} is published, without the tag") from error


def _publication(
    repo: str, wanted: Plan, nothing_new: bool, *, tag: str, why_dry: str = "", commit: str = "", pr_url: str = ""
) -> Publication:
    return Publication(
        repo=repo,
        commit=commit,
        url=f"{endpoint()}/{repo}",
        tag=tag,
        pr_url=pr_url,
        files=wanted.changes,
        card=wanted.card,
        dry_run=bool(why_dry),
        why_dry=why_dry,
        nothing_new=nothing_new,
    )
