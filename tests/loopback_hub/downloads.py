"""Files on their way out: small ones from the Hub itself, large ones from another origin, without the token."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from urllib.parse import quote

from .access import check_gate
from .answers import Answer, Refusal
from .request import Request


def resolve(request: Request) -> Answer:
    repo = request.repo()
    check_gate(request.user, repo)
    commit = repo.at(request.args["revision"])
    path = request.args["path"]
    headers = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
    entry = commit.tree.get(path)
    if entry is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    if not entry.sha256:
        return _bytes_of(request, request.store.blob(entry), headers | {"ETag": f'"{entry.oid}"'})
    headers |= {"X-Linked-ETag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
    if entry.xet:
        headers["X-Xet-Hash"] = entry.xet
        link = f"{request.server.url}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.id}"
        headers["Link"] = f'<{link}>; rel="xet-auth"'
    name = quote(path.rsplit("/", 1)[-1], safe="")
    headers["Location"] = f"{request.server.cdn_url}/cdn/{entry.sha256}/{name}?signature={secrets.token_hex(8)}"
    return Answer(302, headers=headers)


def cdn(request: Request) -> Answer:
    path = request.store.blob_path(request.args["oid"])
    if not path.exists():
        # A file that came by xet lies in xet's own store: this server cannot put it together again.
        raise Refusal(501, "This file was uploaded by xet, and this server gives it to clients that use xet alone")
    return _bytes_of(request, path, {"ETag": f'"{request.args["oid"]}"', "Accept-Ranges": "bytes"})


def _bytes_of(request: Request, path: Path, headers: dict[str, str]) -> Answer:
    size = path.stat().st_size
    headers["Content-Type"] = "application/octet-stream"
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if not asked:
        return Answer(200, path, headers)
    start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else size, size)
    if start >= size:
        raise Refusal(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return Answer(206, path, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, start, stop)
