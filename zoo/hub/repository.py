"""A repository on the Hub, with the operations that publishing needs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo._version import __version__
from zoo.core import files as disk
from zoo.core.errors import HubError
from zoo.hub.hub_errors import endpoint, hub_errors
from zoo.hub.reference import Reference
from zoo.release import manifest

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd

#: The client silently leaves out files that a repository's .gitignore names; this content names none.
_IGNORE_NOTHING = "# nothing\n"

_BRANCH = "main"


@dataclass(frozen=True)
class RemoteFile:
    """A file in the listing of a repository.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 of a file in LFS or xet; "" for a file in git itself.
        git_sha1: SHA-1 of the git blob.
    """

    size: int
    sha256: str
    git_sha1: str

    def same(self, path: Path, sha256: str) -> bool:
        """Whether a local file with the given SHA-256 has the same bytes."""
        if self.sha256:
            return self.sha256 == sha256
        if path.stat().st_size != self.size:
            return False
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        return blob.hexdigest() == self.git_sha1


@dataclass(frozen=True)
class State:
    """A repository at one commit.

    Attributes:
        commit: Full hash of the commit.
        private: Whether the repository is private.
        files: Path -> file.

    >>> State("0" * 40, True, {}).private
    True
    """

    commit: str
    private: bool
    files: Mapping[str, RemoteFile]


class Repository:
    """A model repository "owner/name" on the Hub of `HF_ENDPOINT`.

    Every method raises `HubError` if the Hub or the connection fails.

    Args:
        repo: "owner/name".
        token: Access token of an account; no message contains it.
    """

    def __init__(self, repo: str, token: str) -> None:
        self.repo, self.owner = repo, repo.partition("/")[0]
        self._doing, self._account = f"publishing {repo}", ""
        with self._errors():
            from huggingface_hub import HfApi

            self._api = HfApi(token=token, library_name="xrayslam-zoo", library_version=__version__)

    def check_account(self, *, pull_request: bool) -> None:
        """Refuses a read-only token, and another owner's repository unless a pull request is made.

        This check runs before anything is created; the Hub may still refuse a fine-grained token later.
        """
        with self._errors():
            user: dict[str, Any] = self._api.whoami()
            name = str(user["name"])
            role = ((user.get("auth") or {}).get("accessToken") or {}).get("role", "")
            groups = {str(org["name"]): org.get("roleInOrg", "") for org in user.get("orgs") or []}
        if role == "read":
            raise HubError(
                f"{self._doing}: the token of {name!r} can only read; make one that can write at "
                f"{endpoint()}/settings/tokens"
            )
        may = [name, *(org for org, part in groups.items() if part != "read")]
        if not pull_request and self.owner.lower() not in {owner.lower() for owner in may}:
            raise HubError(
                f"{self._doing}: {name!r} may not publish under {self.owner!r}: the owner must be {' or '.join(may)}; "
                "elsewhere propose it as a pull request (--pr)"
            )
        self._account = name

    def state(self, revision: str = _BRANCH) -> State | None:
        """The state at a revision, or None if there is no such repository or the token has no access to it."""
        with self._errors():
            from huggingface_hub import RepoFile
            from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

            try:
                info = self._api.model_info(self.repo, revision=revision)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return None
            commit = _whole(self.repo, info.sha)
            entries = self._api.list_repo_tree(self.repo, revision=commit, recursive=True)
            files = {
                entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else "", entry.blob_id)
                for entry in entries
                if isinstance(entry, RepoFile)
            }
            return State(commit, bool(info.private), files)

    def fetch(self, name: str, state: State, folder: Path) -> Path | None:
        """Downloads a small file of a state into a folder; None if the repository has no such file."""
        if (file := state.files.get(name)) is None:
            return None
        if file.size > manifest.MAX_JSON_BYTES:
            raise HubError(
                f"{self._doing}: {name} there has {file.size:,} bytes, too many for this file; delete it there"
            )
        with tempfile.TemporaryDirectory() as cache:
            return Path(shutil.copyfile(self._download(name, state.commit, cache), folder / name))

    def refs(self) -> tuple[set[str], dict[str, str]]:
        """Names of the branches, and the commit of each tag."""
        with self._errors():
            refs = self._api.list_repo_refs(self.repo)
            return {b.name for b in refs.branches}, {t.name: t.target_commit for t in refs.tags}

    def proposals(self) -> dict[str, str]:
        """The account's open pull requests: revision -> page."""
        with self._errors():
            pulls = self._api.get_repo_discussions(
                self.repo, author=self._account, discussion_type="pull_request", discussion_status="open"
            )
            return {f"refs/pr/{int(p.num)}": f"{endpoint()}/{self.repo}/discussions/{int(p.num)}" for p in pulls}

    def check_card(self, text: str) -> None:
        """Has the client and the Hub validate a card; nothing is written."""
        with self._errors():
            from huggingface_hub import ModelCard

            try:
                ModelCard(text).validate()
            except ValueError as error:
                reason = " ".join(str(error).split())[:300]
                raise HubError(
                    f"{self._doing}: the Hub refuses the card: {reason}; correct the front matter of {manifest.CARD}"
                ) from error

    def create(self, *, private: bool) -> None:
        """Creates the repository if it does not exist."""
        with self._errors():
            self._api.create_repo(self.repo, private=private, exist_ok=True)

    def upload(self, files: Mapping[str, Path], *, pull_request: bool) -> list[CommitOperationAdd]:
        """Uploads new files that belong in LFS or xet; they become visible only with a commit."""
        with self._errors():
            from huggingface_hub import CommitOperationAdd

            additions = [CommitOperationAdd(name, path) for name, path in files.items()]
            self._api.preupload_lfs_files(
                self.repo, additions, create_pr=pull_request, gitignore_content=_IGNORE_NOTHING
            )
            return additions

    def commit(
        self,
        additions: Iterable[CommitOperationAdd],
        deletions: Iterable[str],
        *,
        parent: str,
        message: str,
        pull_request: bool,
    ) -> CommitInfo:
        """Makes one commit on top of `parent`; the Hub refuses it if the branch has changed meanwhile."""
        with self._errors():
            from huggingface_hub import CommitOperationDelete

            gone = [CommitOperationDelete(name, is_folder=False) for name in deletions]
            info = self._api.create_commit(
                self.repo, [*additions, *gone], commit_message=message, parent_commit=parent, create_pr=pull_request
            )
            _whole(self.repo, info.oid)
            return info

    def tag(self, name: str, commit: str) -> None:
        """Tags a commit."""
        with self._errors():
            self._api.create_tag(self.repo, tag=name, revision=commit)

    def altered(self, commit: str, files: Mapping[str, str]) -> list[str]:
        """Downloads files of a commit without any cache, and returns the names of those with another SHA-256.

        Args:
            commit: Full hash of the commit.
            files: Path -> expected SHA-256.
        """
        found = []
        for name, wanted in files.items():
            # A cache for each file, so that the disk needs space for the largest file only, not for the whole model.
            with tempfile.TemporaryDirectory() as cache:
                if disk.sha256(self._download(name, commit, cache)) != wanted:
                    found.append(name)
        return found

    def _download(self, name: str, commit: str, cache: str) -> Path:
        with self._errors():
            return Path(self._api.hf_hub_download(self.repo, name, revision=commit, cache_dir=cache))

    def _errors(self) -> AbstractContextManager[None]:
        return hub_errors(self._doing)


def _whole(repo: str, commit: object) -> str:
    """Checks that a commit is a full hash, since the client would accept any text and use it in paths."""
    if not isinstance(commit, str) or not Reference(repo, commit).pinned:
        raise HubError(
            f"publishing {repo}: {endpoint()} gives no commit hash but {str(commit)[:60]!r}: check HF_ENDPOINT"
        )
    return commit
