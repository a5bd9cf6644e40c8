"""One request as a route sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Any

from .access import User, check_read
from .store import Repo, Store

if TYPE_CHECKING:
    from .server import Server


@dataclass
class Request:
    """Method, raw path (still percent-encoded), query, headers, body; `args` are the parts of the route's pattern."""

    server: Server
    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes
    user: User | None
    args: dict[str, str]

    @property
    def store(self) -> Store:
        return self.server.store

    def json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")

    def repo(self) -> Repo:
        """The repo that the path names.

        Raises:
            Refusal: It is not there, or this user may not know that it is.
        """
        kind = self.args.get("kind") or "models"
        return check_read(self.user, self.store.get(f"{self.args['owner']}/{self.args['name']}", kind))

    def repo_url(self, repo: Repo) -> str:
        prefix = "" if repo.kind == "models" else f"{repo.kind}/"
        return f"{self.server.url}/{prefix}{repo.id}"
