"""One repository on the Hub as publishing needs it: who may write, what is there, one commit, a tag, a second look."""

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

#: The client leaves out, without a word, what a repository's own .gitignore names; this one names nothing.
_IGNORE_NOTHING = "# nothing\n"

_BRANCH = "main"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as its tree lists it.

    Attributes:
        size: Bytes.
        sha256: Of a file in LFS or xet; "" for one in git itself.
        git_sha1: Of its git blob.
    """

    size: int
    sha256: str
    git_sha1: str

    def same(self, path: Path, sha256: str) -> bool:
        """Whether a local file, whose sha256 is known, has the same bytes."""
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
        commit: Its whole hash.
        private: Whether only its owner sees the repository.
        files: By path.
    """

    commit: str
    private: bool
    files: Mapping[str, RemoteFile]


class Repository:
    """A model repository "owner/name" on the Hub that `HF_ENDPOINT` names.

    Every method raises `HubError` where the Hub or the way to it fails.

    Args:
        repo: "owner/name".
        token: Of an account there; kept out of every message.
    """

    def __init__(self, repo: str, token: str) -> None:
        self.repo, self.owner = repo, repo.partition("/")[0]
        self._doing, self._account = f"publishing {repo}", ""
        with self._errors():
            from huggingface_hub import HfApi

            self._api = HfApi(token=token, library_name="xrayslam-zoo", library_version=__version__)

    def check_account(self, *, pull_request: bool) -> None:
        """Refuses a token that only reads, and another's repository unless it is a pull request to it.

        The Hub has the last word (fine-grained tokens); this asks before anything is made.
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
        """What is there, or None where there is no such repository, or this token may not see it."""
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
        """Downloads a small file of a state into a folder; None where the repository has none of the name."""
        if (file := state.files.get(name)) is None:
            return None
        if file.size > manifest.MAX_JSON_BYTES:
            raise HubError(
                f"{self._doing}: {name} there has {file.size:,} bytes, too many for this file; delete it there"
            )
        with tempfile.TemporaryDirectory() as cache:
            return Path(shutil.copyfile(self._download(name, state.commit, cache), folder / name))

    def refs(self) -> tuple[set[str], dict[str, str]]:
        """Names of the branches, and of each tag the commit."""
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
        """The card as the client and the Hub check it; nothing is written."""
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
        """Makes the repository, unless somebody just did."""
        with self._errors():
            self._api.create_repo(self.repo, private=private, exist_ok=True)

    def upload(self, files: Mapping[str, Path], *, pull_request: bool) -> list[CommitOperationAdd]:
        """Sends what goes to LFS or xet and is not there yet; in no commit, so nobody sees it."""
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
        """One commit on top of `parent`, or none: the Hub refuses where the branch has moved on."""
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
        """Downloads files at a commit, past every cache, and names those whose sha256 is another.

        Args:
            commit: Whole hash.
            files: Path -> sha256 that it should have.
        """
        found = []
        for name, wanted in files.items():
            # One cache a file: the disk holds the largest file once more, not the whole model.
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
    """A whole commit hash: the client would take any string for one, and write it into paths."""
    if not isinstance(commit, str) or not Reference(repo, commit).pinned:
        raise HubError(
            f"publishing {repo}: {endpoint()} gives no commit hash but {str(commit)[:60]!r}: check HF_ENDPOINT"
        )
    return commit
