"""Who may do what: users, the role of their token, organisations, private and gated repos."""

from __future__ import annotations

from dataclasses import dataclass

from .answers import Refusal
from .store import Repo


@dataclass(frozen=True)
class User:
    """A user as one token shows it: the token's role is "read" or "write"; `orgs` are those it may write to."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.orgs


WRITE_TOKEN, READ_TOKEN, OTHER_TOKEN = "hf_tester_may_write", "hf_tester_may_read", "hf_other_may_write"
# Two tokens of one user, who is in an organisation, and one of a stranger.
USERS = {
    WRITE_TOKEN: User("tester", orgs=("clinic",)),
    READ_TOKEN: User("tester", role="read", orgs=("clinic",)),
    OTHER_TOKEN: User("other"),
}


def identify(authorization: str, users: dict[str, User]) -> User | None:
    """The user of an `Authorization` header, None without one; an unknown token is refused even where none is due."""
    if not authorization:
        return None
    user = users.get(authorization.removeprefix("Bearer "))
    if user is None:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return user


def check_login(user: User | None) -> User:
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    return user


def check_write(user: User | None, namespace: str) -> User:
    user = check_login(user)
    if user.role != "write":
        raise Refusal(403, "Forbidden: you must use a write token to change this repo")
    if not user.owns(namespace):
        raise Refusal(403, f"Forbidden: you don't have the rights to write to {namespace}")
    return user


def check_pull_request(user: User | None) -> User:
    """Anybody who sees a repo may propose a change to it, with a token that writes."""
    user = check_login(user)
    if user.role != "write":
        raise Refusal(403, "Forbidden: you must use a write token to open a pull request")
    return user


def check_read(user: User | None, repo: Repo | None) -> Repo:
    """A private repo looks like none at all: 401 to a stranger without a token, 404 to one with."""
    if repo is None or (repo.private and not (user and user.owns(repo.owner))):
        raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
    return repo


def check_gate(user: User | None, repo: Repo) -> None:
    """The files of a gated repo, unlike the list of them, are for those whom its owner let in."""
    if not repo.gated or (user and (user.owns(repo.owner) or user.name in repo.granted)):
        return
    message = f"Access to model {repo.id} is restricted and you are not in the authorized list."
    raise Refusal(403 if user else 401, message, "GatedRepo")
