"""References to releases on a Hub, `hf://owner/repo` and `hf://owner/repo@revision`, checked before any request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from zoo.core.errors import HubError

#: The beginning of a reference.
SCHEME = "hf://"

MAX_NAME, MAX_REVISION = 96, 200

_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """A repository on the Hub of `HF_ENDPOINT`, at a revision.

    Attributes:
        repo: "owner/name".
        revision: A branch, a tag, "refs/pr/N" or a commit.

    Raises:
        HubError: One of the two is not valid; no request is made.

    >>> str(Reference("owner/name", "v1")), Reference("owner/name", "0" * 40).pinned
    ('hf://owner/name@v1', True)
    """

    repo: str
    revision: str = "main"

    def __post_init__(self) -> None:
        check_repo(self.repo)
        check_revision(self.revision)

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}@{self.revision}"

    @property
    def pinned(self) -> bool:
        """Whether the revision is a full commit hash; only such a revision always means the same files."""
        return _COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str) -> Reference:
        """The same repository at a commit."""
        return Reference(self.repo, commit)


def parse(text: str) -> Reference:
    """Parses "hf://owner/repo" or "hf://owner/repo@revision".

    Raises:
        HubError: Another scheme, a web address (the message gives the hf:// form), or an invalid name or revision.

    >>> parse("hf://owner/name@v1").revision
    'v1'
    """
    if not text.startswith(SCHEME):
        raise HubError(_other_scheme(text))
    repo, at, revision = text.removeprefix(SCHEME).partition("@")
    return Reference(repo, revision) if at else Reference(repo)


def check_repo(text: str) -> None:
    """Refuses a text that is not "owner/name" of letters, digits, '.', '_' and '-'.

    Raises:
        HubError: The text is not valid; the message says what would be right.

    >>> check_repo("owner/name")
    """
    parts = text.split("/")
    good = len(parts) == 2 and all(_PART.fullmatch(part) and len(part) <= MAX_NAME for part in parts)
    if not good or ".." in text or "--" in text or text.endswith(".git"):
        raise HubError(
            f"a repository is 'owner/name': letters, digits, '_', and single '.' or '-' between them, each at most "
            f"{MAX_NAME} characters, not ending in .git; got {_shown(text)}"
        )


def check_revision(text: str) -> None:
    """Refuses a text that cannot name a branch, tag or commit; some texts would lead the client out of its cache.

    Raises:
        HubError: The text is not valid; the message says what would be right.

    >>> check_revision("main")
    """
    if not _REVISION.fullmatch(text) or len(text) > MAX_REVISION or ".." in text or "//" in text:
        raise HubError(
            "a revision is a branch, a tag or a commit: letters, digits, '.', '_', '-' and single '/', a letter or "
            f"digit first, at most {MAX_REVISION} characters; got {_shown(text)}"
        )


def _other_scheme(text: str) -> str:
    """The message for other schemes, such as "https://host/owner/repo/tree/revision"."""
    meant = _in_address(text)
    right = f"'{meant}'" if meant else f"'{SCHEME}owner/repo' or '{SCHEME}owner/repo@revision'"
    return f"{_shown(text)} names no release on a Hub: write {right} (HF_ENDPOINT says on which Hub)"


def _in_address(text: str) -> str:
    """The reference that corresponds to the web address of a repository's page, or ""."""
    try:
        owner, name, *rest = unquote(urlsplit(text).path).strip("/").split("/") if "://" in text else []
        if owner in ("datasets", "spaces"):
            return ""
        kind, tail = (rest[0], rest[1:]) if rest else ("", [])
        revision = "/".join(tail) if kind == "tree" else "".join(tail[:1])
        meant = f"{SCHEME}{owner}/{name}" + (f"@{revision}" if revision else "")
        parse(meant)
    except ValueError:  # too short, no address at all, or no reference in it (HubError is one too)
        return ""
    return meant


def _shown(text: str) -> str:
    """The given text for a message, shortened and without passwords and tokens."""
    text = re.sub(r"(?<=//)[^/\s]*@|(?<=:)(?!//)[^/\s@]+|\bhf_[A-Za-z0-9]{16,}", "***", text.partition("?")[0])
    return repr(text if len(text) <= 100 else f"{text[:100]}...")
