"""Accounts and repos: who am I, make, change and delete a repo, its description, its branches and tags."""

from __future__ import annotations

import re
import secrets
from typing import Any

from .access import check_gate, check_login, check_write
from .answers import Answer, Refusal, as_json
from .request import Request
from .store import Commit, Entry, Repo


def whoami(request: Request) -> Answer:
    user = check_login(request.user)
    orgs = [{"type": "org", "id": o, "name": o, "fullname": o, "roleInOrg": "write"} for o in user.orgs]
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
    return as_json(
        {"type": "user", "id": user.name, "name": user.name, "fullname": user.name, "orgs": orgs, "auth": token}
    )


def create(request: Request) -> Answer:
    asked = request.json()
    owner = asked.get("organization") or check_login(request.user).name
    user = check_write(request.user, owner)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", asked["name"]):
        raise Refusal(400, f"Invalid repo name: {asked['name']}")
    kind = asked.get("type", "model") + "s"
    id = f"{owner}/{asked['name']}"
    with request.store.lock:
        there = request.store.get(id, kind)
        if there:
            # The client reads the URL from this answer too, where an existing repo is as good.
            error = {"error": f"You already created this model repo: {id}", "url": request.repo_url(there)}
            return as_json(error, status=409)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repo = request.store.create(id, kind=kind, private=private, author=user.name)
    return as_json({"url": request.repo_url(repo), "name": id, "id": secrets.token_hex(12)})


def delete(request: Request) -> Answer:
    asked = request.json()
    owner = asked.get("organization") or check_login(request.user).name
    request.args = {"kind": asked.get("type", "model") + "s", "owner": owner, "name": asked["name"]}
    repo = request.repo()
    check_write(request.user, repo.owner)
    del request.store.repos[repo.kind, repo.id]
    return as_json({})


def settings(request: Request) -> Answer:
    repo = request.repo()
    check_write(request.user, repo.owner)
    asked = request.json()
    if "visibility" in asked:
        repo.private = asked["visibility"] == "private"
    if "private" in asked:
        repo.private = asked["private"]
    if "gated" in asked:
        repo.gated = asked["gated"]
    return as_json({"private": repo.private, "gated": repo.gated})


def auth_check(request: Request) -> Answer:
    repo = request.repo()
    check_gate(request.user, repo)
    if request.args["write"]:
        check_write(request.user, repo.owner)
    return as_json({})


def info(request: Request) -> Answer:
    repo = request.repo()
    commit = repo.at(request.args["revision"] or "main")
    first = next(iter(repo.commits.values()))
    blobs = "blobs" in request.query
    described = {
        "_id": repo.id,
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": commit.id,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "lastModified": commit.date,
        "createdAt": first.date,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(path, entry, blobs) for path, entry in sorted(commit.tree.items())],
    }
    return as_json(described, {"X-Repo-Commit": commit.id})


def _sibling(path: str, entry: Entry, blobs: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"rfilename": path}
    if blobs:
        row |= {"size": entry.size, "blobId": entry.oid}
        if entry.sha256:
            row["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
    return row


def refs(request: Request) -> Answer:
    repo = request.repo()

    def rows(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": n, "ref": prefix + n, "targetCommit": commit} for n, commit in names.items()]

    found = {"branches": rows(repo.heads, "refs/heads/"), "tags": rows(repo.tags, "refs/tags/"), "converts": []}
    if "include_prs" in request.query:
        found["pullRequests"] = rows({str(p.number): p.head for p in repo.pulls.values()}, "refs/pr/")
    return as_json(found)


def commits(request: Request) -> Answer:
    repo = request.repo()
    rows, commit = [], repo.at(request.args["revision"])
    while True:
        rows.append(_commit_row(commit))
        if not commit.parent:
            return as_json(rows)
        commit = repo.commits[commit.parent]


def _commit_row(commit: Commit) -> dict[str, Any]:
    author = [{"user": commit.author}]
    return {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date, "authors": author}


def add_tag(request: Request) -> Answer:
    repo = request.repo()
    check_write(request.user, repo.owner)
    tag = request.json()["tag"]
    return _add_name(request, repo, repo.tags, tag, request.args["revision"])


def delete_tag(request: Request) -> Answer:
    repo = request.repo()
    check_write(request.user, repo.owner)
    return _delete_name(repo.tags, request.args["revision"])


def add_branch(request: Request) -> Answer:
    repo = request.repo()
    check_write(request.user, repo.owner)
    return _add_name(request, repo, repo.heads, request.args["revision"], request.json().get("startingPoint", "main"))


def delete_branch(request: Request) -> Answer:
    repo = request.repo()
    check_write(request.user, repo.owner)
    return _delete_name(repo.heads, request.args["revision"])


def _add_name(request: Request, repo: Repo, names: dict[str, str], name: str, revision: str) -> Answer:
    # What git forbids in a reference.
    if name.startswith(("/", "-", ".")) or ".." in name or re.search(r"[\s~^:?*\[\\]|//|/$", name):
        raise Refusal(400, f"Invalid reference name: {name}")
    with request.store.lock:
        if name in names:
            raise Refusal(409, f"Reference already exists: {name}")
        names[name] = repo.at(revision).id
    return as_json({}, status=201)


def _delete_name(names: dict[str, str], name: str) -> Answer:
    if names.pop(name, None) is None:
        raise Refusal(404, f"Reference not found: {name}", "RevisionNotFound")
    return as_json({})


def harnesses(request: Request) -> Answer:
    """The client asks for this list of programs once a process; there are none."""
    return as_json({"standardEnvVars": [], "harnesses": {}})
