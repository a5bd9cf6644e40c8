"""What the Hub keeps: repos with their commits, branches, tags and pull requests; the bytes of files on the disk."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .answers import Refusal

# What a new repo's .gitattributes sends to large-file storage.
LFS_SUFFIXES = (".safetensors", ".h5", ".keras", ".npz", ".npy", ".bin", ".onnx", ".zip", ".png", ".jpg", ".pkl", ".pt")
LFS_SIZE = 10_000_000


@dataclass(frozen=True)
class Entry:
    """A file of a commit: `oid` is git's sha1 of the file or, of a large object, of the pointer to its `sha256`."""

    size: int
    oid: str
    sha256: str = ""
    pointer_size: int = 0
    xet: str = ""

    @classmethod
    def of_object(cls, sha256: str, size: int, xet: str = "") -> Entry:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return cls(size, git_sha1(pointer), sha256, len(pointer), xet)


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str
    tree: dict[str, Entry]
    title: str
    message: str
    author: str
    date: str


@dataclass
class PullRequest:
    number: int
    title: str
    author: str
    base: str
    head: str
    status: str = "open"


@dataclass
class Repo:
    id: str
    kind: str = "models"
    private: bool = False
    gated: bool | str = False
    granted: set[str] = field(default_factory=set)
    heads: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a pull request, or a commit hash of 7 digits or more.

        Raises:
            Refusal: 404, RevisionNotFound.
        """
        pulls = {f"refs/pr/{p.number}": p.head for p in self.pulls.values()}
        for names in (self.heads, self.tags, pulls):
            if revision in names:
                return self.commits[names[revision]]
        close = [c for c in self.commits if re.fullmatch(r"[0-9a-f]{7,40}", revision) and c.startswith(revision)]
        if len(close) != 1:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[close[0]]

    def add(self, tree: dict[str, Entry], title: str, *, parent: str = "", message: str = "", author: str) -> Commit:
        """A new commit, which no branch points to yet."""
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        commit = Commit(secrets.token_hex(20), parent, dict(tree), title, message, author, date)
        self.commits[commit.id] = commit
        return commit


class Store:
    """All repos by (kind, id), and their bytes under `root`; `lock` is held by whoever changes something."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.repos.clear()
            for folder in ("blobs", "parts", "xet"):
                shutil.rmtree(self.root / folder, ignore_errors=True)
                (self.root / folder).mkdir(parents=True)

    def create(self, id: str, *, kind: str = "models", private: bool = False, author: str = "") -> Repo:
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
        with self.lock:
            repo = self.repos[kind, id] = Repo(id, kind, private)
            tree = {".gitattributes": self.put_file(attributes)}
            repo.heads["main"] = repo.add(tree, "initial commit", author=author or repo.owner).id
        return repo

    def get(self, id: str, kind: str = "models") -> Repo | None:
        return self.repos.get((kind, id))

    def __getitem__(self, id: str) -> Repo:
        return self.repos["models", id]

    def plant(
        self, id: str, files: Mapping[str, bytes | None] | Path, revision: str = "main", *, private: bool = False
    ) -> str:
        """Commits files as they are, without the client and its checks, so also what no client would send.

        Args:
            id: owner/name; made if it is not there.
            files: Bytes by path, any name at all ("../x"), None to remove it; or a folder, which is copied.
            revision: The branch; made from main if it is not there, under any name.
            private: Of a repo that is made.

        Returns:
            The commit's hash.
        """
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in sorted(files.rglob("*")) if p.is_file()}
        with self.lock:
            repo = self.get(id) or self.create(id, private=private)
            parent = repo.heads.get(revision, repo.heads["main"])
            tree = dict(repo.commits[parent].tree)
            for path, data in files.items():
                if data is None:
                    del tree[path]
                else:
                    tree[path] = self.put_object(data) if is_large(path, len(data), data) else self.put_file(data)
            repo.heads[revision] = repo.add(tree, "planted", parent=parent, author=repo.owner).id
            return repo.heads[revision]

    def read(self, id: str, path: str, revision: str = "main") -> bytes:
        """The bytes of a file that was planted, or uploaded without xet."""
        return self.blob(self[id].at(revision).tree[path]).read_bytes()

    def files(self, id: str, revision: str = "main") -> list[str]:
        """The paths of a commit, sorted, without the .gitattributes that every repo begins with."""
        return sorted(path for path in self[id].at(revision).tree if path != ".gitattributes")

    def blob(self, entry: Entry) -> Path:
        return self.blob_path(entry.sha256 or entry.oid)

    def blob_path(self, oid: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", oid):
            raise Refusal(400, f"not an object id: {oid}")
        return self.root / "blobs" / oid

    def put_file(self, data: bytes) -> Entry:
        entry = Entry(len(data), git_sha1(data))
        return self._put(entry, data)

    def put_object(self, data: bytes) -> Entry:
        entry = Entry.of_object(hashlib.sha256(data).hexdigest(), len(data))
        return self._put(entry, data)

    def _put(self, entry: Entry, data: bytes) -> Entry:
        part = self.root / "parts" / secrets.token_hex(8)
        part.write_bytes(data)
        part.replace(self.blob(entry))
        return entry


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file goes to large-file storage: by its suffix, its size, or its first bytes."""
    return path.endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample[:512]


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
