"""The files of a commit, listed page by page or looked up by path."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode

from .answers import Answer, Refusal, as_json
from .request import Request
from .store import Entry


def tree(request: Request) -> Answer:
    commit = request.repo().at(request.args["revision"])
    folder = (request.args["path"] or "").strip("/")
    rows = _rows(commit.tree, folder + "/" if folder else "", request.query.get("recursive", "").lower() == "true")
    if folder and not rows:
        raise Refusal(404, f'"{folder}" does not exist on "{request.args["revision"]}"', "EntryNotFound")
    start = int(request.query.get("cursor", 0))
    stop = start + request.server.page_size
    headers = {"X-Repo-Commit": commit.id}
    if stop < len(rows):
        query = urlencode(request.query | {"cursor": str(stop)})
        headers["Link"] = f'<{request.server.url}{request.path.split("?")[0]}?{query}>; rel="next"'
    return as_json(rows[start:stop], headers)


def paths_info(request: Request) -> Answer:
    files = request.repo().at(request.args["revision"]).tree
    is_json = "json" in request.headers.get("Content-Type", "")
    paths = request.json()["paths"] if is_json else parse_qs(request.body.decode()).get("paths", [])
    rows = []
    for path in paths:
        if path in files:
            rows.append(_file_row(path, files[path]))
        elif any(name.startswith(path.rstrip("/") + "/") for name in files):
            rows.append(_folder_row(path))
    return as_json(rows)


def _rows(files: dict[str, Entry], prefix: str, recursive: bool) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            folder = prefix + "/".join(parts[:depth])
            if recursive or depth == 1:
                rows.setdefault(folder, _folder_row(folder))
        if recursive or len(parts) == 1:
            rows[path] = _file_row(path, entry)
    return list(rows.values())


def _file_row(path: str, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
    if entry.sha256:
        row["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
    if entry.xet:
        row["xetHash"] = entry.xet
    return row


def _folder_row(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
