"""Which function answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from . import card, commits, downloads, repos, trees, uploads, xet
from .answers import Answer, Refusal
from .request import Request

Route = Callable[[Request], Answer]

_REPO = "/api/{kind}/{owner}/{name}"
_PATTERNS = {
    "kind": "(?P<kind>models|datasets|spaces)",
    "kind/": "((?P<kind>datasets|spaces)/)?",
    "oid": "(?P<oid>[0-9a-f]{64})",
    "number": "(?P<number>[0-9]+)",
    "role": "(?P<role>read|write)",
    "/path": "(/(?P<path>.+))?",
    "path": "(?P<path>.+)",
    "/revision": "(/revision/(?P<revision>[^/]+))?",
    "/write": "(?P<write>/write)?",
}

# What the Hub itself answers, and what the other origin does, to which no token may go.
_HUB: list[tuple[str, str, Route]] = [
    ("GET", "/api/whoami-v2", repos.whoami),
    ("GET", "/api/agent-harnesses", repos.harnesses),
    ("POST", "/api/repos/create", repos.create),
    ("DELETE", "/api/repos/delete", repos.delete),
    ("POST", "/api/validate-yaml", card.validate_yaml),
    ("PUT", _REPO + "/settings", repos.settings),
    ("GET", _REPO + "/auth-check{/write}", repos.auth_check),
    ("GET", _REPO + "/refs", repos.refs),
    ("GET", _REPO + "/commits/{revision}", repos.commits),
    ("POST", _REPO + "/tag/{revision}", repos.add_tag),
    ("DELETE", _REPO + "/tag/{revision}", repos.delete_tag),
    ("POST", _REPO + "/branch/{revision}", repos.add_branch),
    ("DELETE", _REPO + "/branch/{revision}", repos.delete_branch),
    ("GET", _REPO + "/tree/{revision}{/path}", trees.tree),
    ("POST", _REPO + "/paths-info/{revision}", trees.paths_info),
    ("POST", _REPO + "/preupload/{revision}", uploads.preupload),
    ("POST", _REPO + "/commit/{revision}", commits.commit),
    ("GET", _REPO + "/discussions", commits.discussions),
    ("POST", _REPO + "/discussions/{number}/merge", commits.merge),
    ("GET", _REPO + "/xet-{role}-token/{revision}", xet.token),
    ("GET", _REPO + "{/revision}", repos.info),
    ("POST", "/{kind/}{owner}/{name}\\.git/info/lfs/objects/batch", uploads.lfs_batch),
    ("POST", "/lfs/complete/{oid}", uploads.lfs_complete),
    ("POST", "/lfs/verify", uploads.lfs_verify),
    ("GET", "/{kind/}{owner}/{name}/resolve/{revision}/{path}", downloads.resolve),
]
_CDN: list[tuple[str, str, Route]] = [
    ("GET", "/cdn/{oid}{/path}", downloads.cdn),
    ("PUT", "/upload/{oid}", uploads.lfs_put),
    ("PUT", "/upload/{oid}/{number}", uploads.lfs_part),
]


def _compile(rows: list[tuple[str, str, Route]]) -> list[tuple[str, re.Pattern[str], Route]]:
    def group(match: re.Match[str]) -> str:
        return _PATTERNS.get(match[1], f"(?P<{match[1]}>[^/]+)")

    return [(method, re.compile(re.sub(r"\{(.+?)\}", group, pattern)), route) for method, pattern, route in rows]


_COMPILED = {False: _compile(_HUB), True: _compile(_CDN)}


def find(method: str, path: str, cdn: bool) -> tuple[Route, dict[str, str]]:
    """The route of a request and the parts of its path, decoded.

    The path is cut at "/" before it is decoded: a revision "refs/pr/1" comes as one part, `refs%2Fpr%2F1`.

    Raises:
        Refusal: 404.
    """
    for allowed, pattern, route in _COMPILED[cdn]:
        match = pattern.fullmatch(path)
        if match and allowed == ("GET" if method == "HEAD" else method):
            return route, {name: unquote(part or "") for name, part in match.groupdict().items()}
    raise Refusal(404, f"Nothing at {method} {path}")
