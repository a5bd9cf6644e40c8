"""One commit from lines of JSON, onto a branch or as a pull request."""

from __future__ import annotations

import base64
import json
from typing import Any

from .access import User, check_pull_request, check_write
from .answers import Answer, Refusal, as_json
from .request import Request
from .store import Commit, Entry, PullRequest, Repo
from .xet import uploaded


def commit(request: Request) -> Answer:
    """Makes the whole commit or nothing of it.

    Raises:
        Refusal: 403 who may not write, 404 no such branch or file, 412 the branch has moved from `parentCommit`,
            400 a path that git forbids or an object that was not uploaded.
    """
    repo = request.repo()
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    with request.store.lock:
        if "create_pr" in request.query:
            return _open_pull_request(request, repo, header, lines)
        user, parent = _writer(request, repo)
        if header.get("parentCommit") and not parent.id.startswith(header["parentCommit"]):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        made = _make(request, repo, parent, header, lines, user)
        _move(repo, request.args["revision"], made)
    return as_json(_made(request, repo, made))


def merge(request: Request) -> Answer:
    """Puts a pull request's files onto its branch."""
    repo = request.repo()
    user = check_write(request.user, repo.owner)
    pull = repo.pulls.get(int(request.args["number"]))
    if pull is None or pull.status != "open":
        raise Refusal(404, "No such open pull request")
    with request.store.lock:
        base = repo.at(pull.base)
        made = repo.add(repo.at(pull.head).tree, pull.title, parent=base.id, author=user.name)
        repo.heads[pull.base] = made.id
        pull.status = "merged"
    return as_json({})


def discussions(request: Request) -> Answer:
    """The pull requests, newest first; there are no other discussions here."""
    repo = request.repo()
    asked, pulls = request.query, sorted(repo.pulls.values(), key=lambda pull: -pull.number)
    if asked.get("status") == "open":
        pulls = [pull for pull in pulls if pull.status == "open"]
    if "author" in asked:
        pulls = [pull for pull in pulls if pull.author == asked["author"]]
    rows = [] if asked.get("type") == "discussion" else [_discussion(repo, pull) for pull in pulls]
    return as_json({"discussions": rows, "count": len(rows), "start": 0})


def _discussion(repo: Repo, pull: PullRequest) -> dict[str, Any]:
    return {
        "num": pull.number,
        "title": pull.title,
        "status": pull.status,
        "isPullRequest": True,
        "author": {"name": pull.author},
        "createdAt": repo.commits[pull.head].date,
        "repo": {"name": repo.id, "type": repo.kind[:-1]},
    }


def _open_pull_request(request: Request, repo: Repo, header: dict[str, Any], lines: list[dict[str, Any]]) -> Answer:
    user = check_pull_request(request.user)
    base = request.args["revision"]
    if base not in repo.heads:
        raise Refusal(404, f"Not a branch: {base}", "RevisionNotFound")
    # A pull request starts from the named parent, wherever its branch is by now.
    parent = repo.at(header.get("parentCommit") or base)
    made = _make(request, repo, parent, header, lines, user)
    number = len(repo.pulls) + 1
    repo.pulls[number] = PullRequest(number, header["summary"], user.name, base, made.id)
    url = f"{request.repo_url(repo)}/discussions/{number}"
    return as_json(_made(request, repo, made) | {"pullRequestUrl": url})


def _writer(request: Request, repo: Repo) -> tuple[User, Commit]:
    """Who commits, and the commit that the branch or pull request is at."""
    revision = request.args["revision"]
    pull = _pull_of(repo, revision)
    if pull:
        user = check_pull_request(request.user)
        if user.name != pull.author:
            check_write(user, repo.owner)
        return user, repo.commits[pull.head]
    user = check_write(request.user, repo.owner)
    if revision not in repo.heads:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return user, repo.at(revision)


def _move(repo: Repo, revision: str, made: Commit) -> None:
    pull = _pull_of(repo, revision)
    if pull:
        pull.head = made.id
    else:
        repo.heads[revision] = made.id


def _pull_of(repo: Repo, revision: str) -> PullRequest | None:
    number = revision.removeprefix("refs/pr/")
    return repo.pulls.get(int(number)) if number != revision and number.isdigit() else None


def _make(
    request: Request, repo: Repo, parent: Commit, header: dict[str, Any], lines: list[dict[str, Any]], user: User
) -> Commit:
    tree = dict(parent.tree)
    for line in lines:
        _apply(request, tree, line["key"], line["value"])
    message = header.get("description", "")
    return repo.add(tree, header["summary"], parent=parent.id, message=message, author=user.name)


def _apply(request: Request, tree: dict[str, Entry], key: str, value: dict[str, Any]) -> None:
    path = value.get("path", "")
    if key in ("file", "lfsFile") and (set(path.split("/")) & {"", ".", "..", ".git"} or "\0" in path):
        raise Refusal(400, f"Invalid path in commit: {path}")
    if key == "file":
        tree[path] = request.store.put_file(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        tree[path] = _object(request, value["oid"])
    elif key == "deletedFile":
        if path not in tree:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        del tree[path]
    elif key == "deletedFolder":
        for name in [name for name in tree if name.startswith(path.rstrip("/") + "/")]:
            del tree[name]
    elif key != "header":
        raise Refusal(400, f"Unknown operation in commit: {key}")


def _object(request: Request, sha256: str) -> Entry:
    path = request.store.blob_path(sha256)
    if path.exists():
        return Entry.of_object(sha256, path.stat().st_size)
    by_xet = uploaded(request.server.xet_store).get(sha256) if request.server.xet_store else None
    if by_xet is None:
        raise Refusal(400, f"The object {sha256} was not uploaded")
    return Entry.of_object(sha256, by_xet.size, by_xet.hash)


def _made(request: Request, repo: Repo, made: Commit) -> dict[str, Any]:
    url = f"{request.repo_url(repo)}/commit/{made.id}"
    return {"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""}
